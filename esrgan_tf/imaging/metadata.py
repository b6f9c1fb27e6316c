"""The transfer of metadata from an original to its result: metadata is kept, adjusted, or reported as lost.

Readers of containers make an inventory, and this module selects the metadata of a result. `result_metadata` writes it.
"""

import io
from pathlib import Path
from typing import Any, NamedTuple

import pyvips

from esrgan_tf.imaging import (
    colour_profiles,
    jpeg_segments,
    other_containers,
    png_chunks,
    png_results,
    tiff_metadata,
    xmp,
)
from esrgan_tf.imaging.exif import Exif
from esrgan_tf.imaging.inventory import Inventory, Lost, Result
from esrgan_tf.imaging.resolution import open_source
from esrgan_tf.imaging.tiff_tags import (
    ACROSS,
    DOWN,
    ORIENTATION,
    UNIT,
    Entry,
    encode_exif,
    entry,
    fraction,
    read_tree,
)  # fmt: skip

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_JPEG_PROFILE = 255 * 65519
_SIZES = {"main": (256, 257), "exif": (0xA002, 0xA003), "interoperability": (0x1001, 0x1002)}
_FOCAL_PLANE = (0xA20E, 0xA20F)
_SUBJECTS = (0x9214, 0xA214)  # area, location


def read_metadata(source: Path | bytes, image: pyvips.Image) -> Inventory:
    """Reads the metadata of a file; damaged metadata raises no error, because the pixels may be intact.

    Args:
        image: the opened file.
    """
    found = Inventory()
    with open_source(source) as file:
        head = file.read(12)
        if head.startswith(png_chunks.SIGNATURE):
            png_chunks.read(file, found)
        elif head.startswith(b"\xff\xd8"):
            jpeg_segments.read(file, found)
        elif head[:4] == b"RIFF":
            other_containers.read_webp(file, found)
        elif head[:3] == b"GIF":
            other_containers.read_gif(file, found)
        elif head[:4] in _TIFF:
            tiff_metadata.read(file, found)
        elif head.startswith(b"BM"):
            other_containers.read_bmp(file, found)
        elif head[:1] == b"P":
            other_containers.read_pnm(file, found)
        else:
            found.upright = True
            if head[4:8] == b"ftyp":
                other_containers.read_heif(file, found)
            found.exif = (_field(image, "exif-data") or b"").removeprefix(b"Exif\0\0") or None
            found.xmp, found.icc = _field(image, "xmp-data"), _field(image, "icc-profile-data")
    if found.xmp is not None:
        try:
            found.about |= xmp.read_properties(found.xmp).about
        except ValueError as error:
            found.xmp = None
            found.lost.add("its XMP was", str(error))
    return found


def _field(image, name):
    return bytes(image.get(name)) if image.get_typeof(name) else None


def orientation(found: Inventory) -> int:
    """Returns the orientation, 1 to 8, of EXIF; of XMP if EXIF has none."""
    if found.upright:
        return 1
    value: Any = found.tiff.get(ORIENTATION)
    if found.exif is not None and value is None:
        try:
            value = Exif(found.exif).tags("main").get(ORIENTATION)
        except ValueError:
            value = None
    if isinstance(value, Entry):
        number = value.first(1)
    else:
        number = xmp.read_properties(found.xmp).orientation if found.xmp is not None else 1
    return number if number is not None and 1 <= number <= 8 else 1


def apply_orientation(image: pyvips.Image, found: Inventory) -> pyvips.Image:
    """Turns an image upright by its `orientation`."""
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation(found))
    return image.autorot()


def upscaling_of(found: Inventory, size: tuple[int, int], width: int, height: int) -> xmp.Upscaling:
    """The upscaling from an upright picture of size `(width, height)` to its result."""
    return xmp.Upscaling(width, height, width / size[0], height / size[1], orientation(found))


class Parts(NamedTuple):
    """The metadata of a result: EXIF, XMP packet and profile, or None, the tags of a TIFF, and lines on losses."""

    exif: bytes | None
    xmp: bytes | None
    icc: bytes | None
    tags: dict[int, Any]
    lines: list[str]


def parts_for(found: Inventory, profile: bytes | None, result: Result) -> Parts:
    """Selects and adjusts the metadata of a result.

    Args:
        profile: of the decoded pixels; the file may have another profile.
    """
    lost = Lost()
    for what, words in {
        "gain map": ("its gain map was", "the result is SDR"),
        "video": ("its video was", "the result is a still picture"),
        "depth map": ("its depth map was", "of the original's pixels only"),
        "embedded picture": ("the picture in its XMP was", "of the original's pixels only"),
        "further pictures": ("its further pictures were", "a result holds one"),
    }.items():
        if what in found.about:
            lost.add(*words)
    if "regions" in found.about and result.by.orientation != 1:
        lost.add("its regions of faces were", "the picture was turned")
    packet = xmp.adjust(found.xmp, result.by) if found.xmp is not None else None
    icc = _profile_for(found, profile, result, lost)
    exif = _exif_for(found, result, lost)
    tags: dict[int, Any] = {}
    if result.kind == ".tif":
        try:
            tree = read_tree(io.BytesIO(exif))[0] if exif is not None else {}
        except ValueError:  # its directories overlap
            lost.add("its EXIF was", "it is damaged")
            tree = {}
        tags = tiff_metadata.tags_for(found, tree, result, lost)
        exif = None
    elif result.kind == ".jpg" and exif is not None and not jpeg_segments.fits_segment(exif):
        lost.add(f"its EXIF of {len(exif) / 1000:.0f} kB was", "jpg holds 64 kB")
        exif = _bare_exif(result)
    if result.kind != ".png":
        for keyword in png_results.text_keywords(found):
            lost.add_named("its PNG text", keyword, result.without())
        for name in png_results.png_only_names(found):
            lost.add_named("its chunk", name, result.without())
    if found.comments and result.kind in (".webp", ".tif"):
        lost.add("its comment was", result.without("it"))
    if found.iptc and result.kind == ".webp":
        lost.add("its IPTC was", result.without("it"))
    if found.aspect and not result.resolution and result.kind in (".webp", ".tif"):
        lost.add("the shape of its pixels was", result.without("it"))
    return Parts(exif, packet, icc, tags, lost.lines())


def _profile_for(found, profile, result, lost):
    """Returns the profile of the pixels, or a profile computed from the colour chunks of PNG, AVIF and HEIC."""
    icc = profile if profile is not None else found.icc
    if icc is not None:
        reason = colour_profiles.find_fault(icc, result.colours)
        if reason is None and result.kind == ".jpg" and len(icc) > _MAX_JPEG_PROFILE:
            reason = "jpg holds 16 MB"
        if reason is not None:
            lost.add("its colour profile was", reason)
            icc = None
    icc = colour_profiles.trim_padding(icc) if icc is not None else None
    if result.kind == ".png":
        return icc
    if found.code is not None and not colour_profiles.is_srgb(found.code):
        equivalent = colour_profiles.profile_from_cicp(found.code, result.colours)
        if equivalent is None:
            lost.add("its colour code (cICP) was", f"{result.without('it')}, and no profile is equivalent")
        else:
            return equivalent
    srgb = any(chunk.name == b"sRGB" for chunk in found.chunks)
    if icc is None and not srgb and found.code is None:
        return colour_profiles.profile_from_gamma(found.gamma, found.primaries, result.colours)
    return icc


def _exif_for(found, result, lost):
    """Returns the EXIF of a result, or None."""
    needed = result.kind in (".jpg", ".webp")
    data = found.exif
    if data is None and found.tiff and result.kind != ".tif":
        tags = tiff_metadata.exif_tags(found, result, lost)
        data = encode_exif(tags) if tags else None
    exif = None
    if data is not None:
        try:
            exif = Exif(data)
        except ValueError:
            lost.add("its EXIF was", "it is damaged")
    if exif is None:
        return _bare_exif(result) if needed else None
    if exif.damaged:
        lost.add("a part of its EXIF was", "it is damaged")
    _adjust_exif(exif, result, needed)
    return exif.data()


def _bare_exif(result):
    """EXIF that contains only the resolution."""
    return encode_exif(_resolution_tags(result, 2)) if result.resolution else None


def _resolution_tags(result, unit):
    factor = 10 if unit == 3 else 25.4
    across, down = (entry(5, fraction(each * factor)) for each in result.resolution)
    return {ACROSS: across, DOWN: down, UNIT: entry(3, unit)}


def _adjust_exif(exif, result, needed):
    """Adjusts EXIF to a result.

    Args:
        needed: whether a missing resolution is added.
    """
    by, main = result.by, exif.tags("main")
    if ORIENTATION in main:
        exif.change("main", {ORIENTATION: entry(3, 1)})
    if result.resolution and (needed or ACROSS in main or DOWN in main):
        unit = main[UNIT].first(2) if UNIT in main else 2
        new = _resolution_tags(result, 3 if unit == 3 else 2)
        if (
            not all(_is_near(main.get(tag), new[tag]) for tag in (ACROSS, DOWN))
            or unit not in (2, 3)
            or UNIT not in main
        ):
            exif.change("main", new)
    elif by.orientation >= 5 and ACROSS in main and DOWN in main:
        exif.change("main", {ACROSS: main[DOWN], DOWN: main[ACROSS]})
    for name, tags in _SIZES.items():
        sizes = dict(zip(tags, (by.width, by.height), strict=True))
        exif.change(name, {tag: entry(4, size) for tag, size in sizes.items() if tag in exif.tags(name)})
    photo = exif.tags("exif")
    focal = [photo.get(tag) for tag in _FOCAL_PLANE]
    if all(each is not None and each.kind == 5 and each.count == 1 for each in focal):
        focal = focal[::-1] if by.orientation >= 5 else focal
        for tag, value, factor in zip(_FOCAL_PLANE, focal, (by.across, by.down), strict=True):
            above, below = value.numbers()[0]
            exif.change("exif", {tag: entry(5, fraction(above / below * factor)) if below else None})
    for tag in _SUBJECTS:
        if tag in photo:
            exif.change("exif", {tag: _transform_subject(photo[tag].numbers(), by)})


def _is_near(old, new):
    if old is None or old.kind != 5 or old.count != 1:
        return False
    (above, below), (wanted, of) = old.numbers()[0], new.numbers()[0]
    return bool(below) and abs(above / below - wanted / of) < 0.02


def _transform_subject(numbers, by):
    """Transforms `(x, y)`, perhaps with a diameter or a width and height; None if SHORT cannot hold the result."""
    if not 2 <= len(numbers) <= 4 or not all(isinstance(number, int) for number in numbers):
        return None
    x, y, *size = numbers
    width, height = by.width / by.across, by.height / by.down  # of the original, upright
    if by.orientation >= 5:
        width, height = height, width
    x, y = {
        1: (x, y), 2: (width - x, y), 3: (width - x, height - y), 4: (x, height - y),
        5: (y, x), 6: (height - y, x), 7: (height - y, width - x), 8: (y, width - x),
    }[by.orientation]  # fmt: skip
    size = size[::-1] if by.orientation >= 5 else size
    factors = (by.across, by.down) if len(size) == 2 else (by.across,)
    new = [x * by.across, y * by.down, *(a * b for a, b in zip(size, factors, strict=False))]
    new = [round(number) for number in new]
    return entry(3, *new) if all(0 <= number < 65536 for number in new) else None
