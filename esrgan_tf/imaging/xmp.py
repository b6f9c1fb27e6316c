"""XMP packets: properties that depend on the upscaling, and long packets in JPEG."""

import hashlib
import re
from dataclasses import dataclass, field

from esrgan_tf.imaging.tiff_tags import fraction
from esrgan_tf.imaging.xmp_editing import TAG, Change, edit_properties, remove, to_utf8

STANDARD = b"http://ns.adobe.com/xap/1.0/\0"  # the prefix of a packet in JPEG
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
# Namespaces of removed properties, and the content that they describe.
_REMOVED = {
    "http://ns.adobe.com/hdr-gain-map/1.0/": "gain map",
    "http://ns.apple.com/HDRGainMap/1.0/": "gain map",
    "http://ns.google.com/photos/1.0/container/": "",
    "http://ns.google.com/photos/1.0/container/item/": "",
    "http://ns.google.com/photos/1.0/depthmap/": "depth map",
    "http://ns.google.com/photos/1.0/image/": "embedded picture",
    "http://ns.google.com/photos/dd/1.0/": "depth map",
}


@dataclass
class Properties:
    """Properties of a packet that a result depends on.

    Attributes:
        orientation: EXIF's number; None if the packet has none.
        about: described contents that a result may lack, of `gain map`, `video`, `depth map`, `embedded picture` and
            `regions`.
        extension: in JPEG, the name of the packet that continues this packet.
    """

    orientation: int | None = None
    about: set[str] = field(default_factory=set)
    extension: str | None = None


def read_properties(packet: bytes) -> Properties:
    """Reads the properties of a packet.

    Raises:
        ValueError: the packet is not XML, or has a document type.
    """
    found = Properties()

    def collect(space, name, above):
        if space in _REMOVED or _is_dynamic_depth(space):
            found.about.add(_REMOVED.get(space, "depth map") or "")
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

    edit_properties(packet, collect)
    found.about.discard("")
    return found


def is_of_picture(above: list[tuple[str, str]]) -> bool:
    """Whether properties below these elements describe the picture, not a source file of the picture."""
    return above[-2:] == [(_RDF, "RDF"), (_RDF, "Description")]


def _is_dynamic_depth(space):
    return space.startswith("http://ns.google.com/photos/dd/1.0/")


@dataclass(frozen=True)
class Upscaling:
    """The upscaling of an original.

    Attributes:
        width, height: of the result.
        across, down: scales.
        orientation: of the original, before it was turned upright.
    """

    width: int
    height: int
    across: float
    down: float
    orientation: int


def adjust(packet: bytes, by: Upscaling) -> bytes:
    """Adjusts a packet for a result: orientation and size, without contents that no result has.

    Raises:
        ValueError: the packet is not XML, or has a document type.
    """
    packet = to_utf8(packet)
    sizes = {
        (_TIFF, "ImageWidth"): by.width, (_TIFF, "ImageLength"): by.height,
        (_EXIF, "PixelXDimension"): by.width, (_EXIF, "PixelYDimension"): by.height,
    }  # fmt: skip
    resolutions: dict[tuple[str, str], str] = {}

    def collect(space, name, above):
        if (space, name) in _EXCHANGED and is_of_picture(above):
            return lambda value: resolutions.setdefault((space, name), value)
        return None

    edit_properties(packet, collect)
    if by.orientation >= 5:
        resolutions = {
            _EXCHANGED[name]: value for name, value in resolutions.items() if _EXCHANGED[name] in resolutions
        }
    for name, factor in zip(_FOCAL_PLANE, (by.across, by.down), strict=True):
        if name in resolutions:
            resolutions[name] = _times_fraction(resolutions[name], factor)

    def change(space, name, above) -> Change | None:
        if space in _REMOVED or _is_dynamic_depth(space) or (space, name) == (_NOTE, "HasExtendedXMP"):
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

    return edit_properties(packet, change)


def _times(value, factor):
    return str(round(int(value) * factor)) if re.fullmatch(r"\d{1,9}", value.strip()) else value


def _times_fraction(value, factor):
    found = re.fullmatch(r"(\d{1,12})/(\d{1,12})", value.strip())
    if found is None or not int(found[2]):
        return value
    return "{}/{}".format(*fraction(int(found[1]) / int(found[2]) * factor))


def segments(packet: bytes) -> list[bytes]:
    """Returns the contents of JPEG's APP1 segments: a packet, or a short packet and its extension.

    Source: XMP, part 3, 1.1.3.1.
    """
    if len(packet) <= _MAX_STANDARD:
        return [STANDARD + packet]
    # An extension has no processing instructions around it.
    packet = re.sub(rb"<\?xpacket[^>]*\?>", b"", packet).strip()
    name = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper().encode()
    standard = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="' + _RDF.encode() + b'"><rdf:Description '
        b'rdf:about="" xmlns:xmpNote="' + _NOTE.encode() + b'" xmpNote:HasExtendedXMP="' + name + b'"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    length = len(packet).to_bytes(4, "big")
    return [STANDARD + standard] + [
        EXTENDED + name + length + at.to_bytes(4, "big") + packet[at : at + _MAX_EXTENDED]
        for at in range(0, len(packet), _MAX_EXTENDED)
    ]


def merge_extension(packet: bytes, extension: bytes) -> bytes:
    """Merges the two packets of a JPEG.

    Raises:
        ValueError: a packet is not XML.
    """
    packet, extension = to_utf8(packet), to_utf8(extension)
    read_properties(packet), read_properties(extension)
    end, inner = re.search(rb"</([\w.-]+):RDF\s*>", packet), re.search(rb"<([\w.-]+):RDF(?=[\s>])", extension)
    stop = None if inner is None else re.search(rb"</" + re.escape(inner[1]) + rb":RDF\s*>", extension)
    opening = None if inner is None else TAG.match(extension, inner.start())
    if end is None or inner is None or stop is None or opening is None:
        raise ValueError("it has no RDF")
    # Namespaces that are declared around the descriptions are declared on each description.
    spaces = dict(re.findall(rb"\s(xmlns:[\w.-]+)\s*=\s*(\"[^\"]*\"|'[^']*')", extension[: opening.end()]))
    prefix = inner[1]

    def declare(found):
        match = TAG.match(extension, opening.end() + found.start())
        tag = match[0] if match else b""
        new = [b" " + name + b"=" + uri for name, uri in spaces.items() if not re.search(name + rb"\s*=", tag)]
        return found[0] + b"".join(new)

    body = extension[opening.end() : stop.start()]
    body = re.sub(rb"<" + re.escape(prefix) + rb":Description(?=[\s/>])", declare, body)
    merged = packet[: end.start()] + body + packet[end.start() :]
    read_properties(merged)
    return merged
