"""XMP packets: properties that matter to an upscaled picture, and long packets in JPEG."""

import hashlib
import re
from dataclasses import dataclass, field

from esrgan_tf.imaging.tiff_tags import fraction
from esrgan_tf.imaging.xmp_editing import TAG, Change, as_utf8, edited, remove

STANDARD = b"http://ns.adobe.com/xap/1.0/\0"  # what JPEG has before a packet
EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"
_MAX_STANDARD = 65533 - len(STANDARD)
_MAX_EXTENDED = 65533 - len(EXTENDED) - 40

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
_NOTE = "http://ns.adobe.com/xmp/note/"
_CAMERA = "http://ns.google.com/photos/1.0/camera/"
_PANORAMA = "http://ns.google.com/photos/1.0/panorama/"
_REGIONS, _SIZE = (
    "http://www.metadataworkinggroup.com/schemas/regions/",
    "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
)
_FOCAL_PLANE = (_EXIF, "FocalPlaneXResolution"), (_EXIF, "FocalPlaneYResolution")
_EXCHANGED = {
    (space, f"{prefix}{axis}Resolution"): (space, f"{prefix}{other}Resolution")
    for space, prefix in ((_TIFF, ""), (_EXIF, "FocalPlane"))
    for axis, other in ("XY", "YX")
}
# Of these everything goes, with what it is about.
_GONE = {
    "http://ns.adobe.com/hdr-gain-map/1.0/": "gain map",
    "http://ns.apple.com/HDRGainMap/1.0/": "gain map",
    "http://ns.google.com/photos/1.0/container/": "",
    "http://ns.google.com/photos/1.0/container/item/": "",
    "http://ns.google.com/photos/1.0/depthmap/": "depth map",
    "http://ns.google.com/photos/1.0/image/": "embedded picture",
    "http://ns.google.com/photos/dd/1.0/": "depth map",
}


@dataclass
class Contents:
    """Properties of a packet that matter to a result.

    Attributes:
        orientation: as EXIF counts it; None if it says nothing.
        about: `gain map`, `video`, `depth map`, `embedded picture`, `regions`: what it describes that no result has.
        extension: the name of a packet that continues it, in JPEG.
    """

    orientation: int | None = None
    about: set[str] = field(default_factory=set)
    extension: str | None = None


def contents(packet: bytes) -> Contents:
    """Reads a packet.

    Raises:
        ValueError: it is no XML, or XML with a document type.
    """
    found = Contents()

    def look(space, name, above):
        if space in _GONE or _is_dynamic_depth(space):
            found.about.add(_GONE.get(space, "depth map") or "")
            if name == "Semantic":
                return note_semantic
        if space == _CAMERA and name.startswith(("MotionPhoto", "MicroVideo")):
            return note_video if name in ("MotionPhoto", "MicroVideo") else None
        if space == _REGIONS:
            found.about.add("regions")
        if (space, name) == (_TIFF, "Orientation") and is_of_picture(above):
            return note_orientation
        if (space, name) == (_NOTE, "HasExtendedXMP"):
            return note_extension
        return None

    def note_semantic(value):
        found.about |= {"GainMap": {"gain map"}, "MotionPhoto": {"video"}, "DepthMap": {"depth map"}}.get(value, set())
        return value

    def note_video(value):
        if value.strip() not in ("", "0"):
            found.about.add("video")
        return value

    def note_orientation(value):
        found.orientation = int(value) if value.strip() in set("123456789") else found.orientation
        return value

    def note_extension(value):
        found.extension = value.strip()
        return value

    edited(packet, look)
    found.about.discard("")
    return found


def is_of_picture(above: list[tuple[str, str]]) -> bool:
    """Whether properties below these elements describe the picture, not one of the files that it is made of."""
    return above[-2:] == [(_RDF, "RDF"), (_RDF, "Description")]


def _is_dynamic_depth(space):
    return space.startswith("http://ns.google.com/photos/dd/1.0/")


@dataclass(frozen=True)
class Upscaling:
    """From an original to its result.

    Attributes:
        width, height: of the result.
        across, down: how many times larger it is.
        orientation: by which the original was turned upright.
    """

    width: int
    height: int
    across: float
    down: float
    orientation: int


def adjusted(packet: bytes, by: Upscaling) -> bytes:
    """The packet for a result: upright, of its size, and without what no result has.

    Raises:
        ValueError: it is no XML, or XML with a document type.
    """
    packet = as_utf8(packet)
    sizes = {
        (_TIFF, "ImageWidth"): by.width, (_TIFF, "ImageLength"): by.height,
        (_EXIF, "PixelXDimension"): by.width, (_EXIF, "PixelYDimension"): by.height,
    }  # fmt: skip
    resolutions: dict[tuple[str, str], str] = {}

    def collect(space, name, above):
        if (space, name) in _EXCHANGED and is_of_picture(above):
            return lambda value: resolutions.setdefault((space, name), value)
        return None

    edited(packet, collect)
    if by.orientation >= 5:
        resolutions = {
            _EXCHANGED[name]: value for name, value in resolutions.items() if _EXCHANGED[name] in resolutions
        }
    for name, factor in zip(_FOCAL_PLANE, (by.across, by.down), strict=True):
        if name in resolutions:
            resolutions[name] = _times_fraction(resolutions[name], factor)

    def change(space, name, above) -> Change | None:
        if space in _GONE or _is_dynamic_depth(space) or (space, name) == (_NOTE, "HasExtendedXMP"):
            return remove
        if space == _CAMERA and name.startswith(("MotionPhoto", "MicroVideo")):
            return remove
        if name == "Thumbnails" and space == "http://ns.adobe.com/xap/1.0/":
            return remove
        if space == _SIZE and name in ("w", "h") and (_REGIONS, "AppliedToDimensions") in above:
            return lambda value: str(by.width if name == "w" else by.height)
        if not is_of_picture(above):
            return None
        if (space, name) == (_TIFF, "Orientation"):
            return lambda value: "1"
        if (space, name) in sizes:
            return lambda value: str(sizes[space, name])
        if (space, name) in resolutions:
            return lambda value: resolutions[space, name]
        if space == _PANORAMA and name.endswith("Pixels"):
            if by.orientation != 1:
                return remove
            return lambda value: _times(value, by.across if "Width" in name or "Left" in name else by.down)
        if space == _REGIONS and name == "Regions" and by.orientation != 1:
            return remove
        return None

    return edited(packet, change)


def _times(value, factor):
    return str(round(int(value) * factor)) if re.fullmatch(r"\d{1,9}", value.strip()) else value


def _times_fraction(value, factor):
    found = re.fullmatch(r"(\d{1,12})/(\d{1,12})", value.strip())
    if found is None or not int(found[2]):
        return value
    return "{}/{}".format(*fraction(int(found[1]) / int(found[2]) * factor))


def segments(packet: bytes) -> list[bytes]:
    """Returns the contents of JPEG's segments APP1: a packet, or its beginning and its continuation.

    Source: XMP, part 3, 1.1.3.1.
    """
    if len(packet) <= _MAX_STANDARD:
        return [STANDARD + packet]
    # Without the processing instructions around it, as the continuation has to be.
    packet = re.sub(rb"<\?xpacket[^>]*\?>", b"", packet).strip()
    name = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper().encode()
    standard = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="' + _RDF.encode() + b'"><rdf:Description '
        b'rdf:about="" xmlns:xmpNote="' + _NOTE.encode() + b'" xmpNote:HasExtendedXMP="' + name + b'"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    whole = len(packet).to_bytes(4, "big")
    return [STANDARD + standard] + [
        EXTENDED + name + whole + at.to_bytes(4, "big") + packet[at : at + _MAX_EXTENDED]
        for at in range(0, len(packet), _MAX_EXTENDED)
    ]


def merged(packet: bytes, extension: bytes) -> bytes:
    """A JPEG's two packets as one.

    Raises:
        ValueError: one of them is no XML.
    """
    packet, extension = as_utf8(packet), as_utf8(extension)
    contents(packet), contents(extension)
    end, inner = re.search(rb"</([\w.-]+):RDF\s*>", packet), re.search(rb"<([\w.-]+):RDF(?=[\s>])", extension)
    stop = None if inner is None else re.search(rb"</" + re.escape(inner[1]) + rb":RDF\s*>", extension)
    opening = None if inner is None else TAG.match(extension, inner.start())
    if end is None or inner is None or stop is None or opening is None:
        raise ValueError("it has no RDF")
    # Namespaces that are declared around the descriptions are declared on each of them.
    spaces = dict(re.findall(rb"\s(xmlns:[\w.-]+)\s*=\s*(\"[^\"]*\"|'[^']*')", extension[: opening.end()]))
    prefix = inner[1]

    def declare(found):
        own = TAG.match(extension, opening.end() + found.start())
        here = own[0] if own else b""
        new = [b" " + name + b"=" + uri for name, uri in spaces.items() if not re.search(name + rb"\s*=", here)]
        return found[0] + b"".join(new)

    body = extension[opening.end() : stop.start()]
    body = re.sub(rb"<" + re.escape(prefix) + rb":Description(?=[\s/>])", declare, body)
    whole = packet[: end.start()] + body + packet[end.start() :]
    contents(whole)
    return whole
