"""The tags of a TIFF, adjusted for a result in TIFF, and their equivalents in other formats."""

import re
from typing import Any, BinaryIO

from esrgan_tf.errors import UserError
from esrgan_tf.imaging.inventory import Inventory, Lost, Result
from esrgan_tf.imaging.jpeg_segments import iptc_of
from esrgan_tf.imaging.tiff_structure import main_directory
from esrgan_tf.imaging.tiff_tags import (
    ACROSS,
    DOWN,
    EXIF,
    GPS,
    ICC,
    IPTC,
    MAKER_NOTE,
    ORIENTATION,
    PHOTOSHOP,
    UNIT,
    XMP,
    Entry,
    entry,
    fraction,
    read_tree,
    swap_bytes,
)

# The storage of pixels, which is different in a result.
_STORAGE = {
    *range(254, 267), 273, *range(277, 282), 284, *range(288, 294), 317, 320, 321, *range(322, 326), 330,
    332, 333, 334, *range(336, 343), 347, *range(512, 522), 529, 530, 531, 532, 559,
}  # fmt: skip
_ELSEWHERE = {ORIENTATION, ACROSS, DOWN, UNIT, XMP, IPTC, PHOTOSHOP, ICC}
_SCALE, _TIEPOINTS, _MATRIX, _KEYS, _GDAL, _NO_DATA = 33550, 33922, 34264, 34735, 42112, 42113
_GEO = {_SCALE, _TIEPOINTS, _MATRIX, _KEYS, 34736, 34737, _GDAL, _NO_DATA}
_DESCRIPTION = 270
# TIFF tags that EXIF can hold.
_IN_EXIF = {269, 270, 271, 272, 285, 301, 305, 306, 315, 316, 318, 319, 18246, 18249, 33432, 33434, 33437, 34850, 34855,
            *range(40091, 40096), EXIF, GPS}  # fmt: skip
_TEXTS = {269, 270, 271, 272, 285, 305, 306, 315, 316, 33432}
_KINDS = {  # the legal type of each tag, by TIFF's numbers
    **dict.fromkeys(_TEXTS | {34737, _GDAL, _NO_DATA}, 2),
    **dict.fromkeys((297, 301, 18246, 18249, _KEYS, 34850), 3),
    **dict.fromkeys((286, 287, 318, 319, 33434, 33437), 5),
    **dict.fromkeys(range(40091, 40096), 1),
    **dict.fromkeys((_SCALE, _TIEPOINTS, _MATRIX, 34736), 12),
}
_PRIVATE = 32768  # the first tag that a company may register
_DROPPED = {286, 287, 297}  # the original's position on its page
_UNFIT = {
    **dict.fromkeys((50838, 50839), "its ImageJ data were"),
    37724: "its Photoshop layers were",
    50844: "its rational polynomials (RPC) were",
    **dict.fromkeys([*range(50706, 50835), *range(50879, 51200)], "its camera raw tags were"),
}
_ABOUT_PIXELS = "of the original's pixels only"


def read(file: BinaryIO, found: Inventory) -> None:
    """Reads the tags of the directory that describes the pixels, except the tags of their storage."""
    try:
        directory, has_mask = main_directory(file)
        tags, damaged = read_tree(file, lambda tag: tag not in _STORAGE, directory.at)
    except (UserError, ValueError):
        return  # libvips reports the damage
    if has_mask:
        found.lost.add("its mask was", _ABOUT_PIXELS)
    for tag in damaged:
        found.lost.add_named("its TIFF tag", str(tag), "it is damaged")
    found.xmp = tags.pop(XMP).data if isinstance(tags.get(XMP), Entry) else None
    found.icc = tags.pop(ICC).data if isinstance(tags.get(ICC), Entry) else None
    iptc, photoshop = tags.pop(IPTC, None), tags.pop(PHOTOSHOP, None)
    photoshop_iptc = iptc_of(photoshop.data, found) if photoshop else None
    found.iptc = _iptc_bytes(iptc) if iptc else photoshop_iptc
    found.tiff = tags


def _iptc_bytes(value):
    """The bytes of IPTC; many files declare them as 32-bit numbers, and a few swap their bytes."""
    swapped = swap_bytes(value.data, value.kind)
    data = swapped if swapped[:1] == b"\x1c" != value.data[:1] else value.data
    return data.rstrip(b"\0")


def exif_tags(found: Inventory, result: Result, lost: Lost) -> dict[int, Any] | None:
    """Returns the tags of a TIFF that EXIF holds, or None; adds lines on the other tags."""
    tags = {}
    for tag, value in found.tiff.items():
        if tag in _IN_EXIF:
            tags[tag] = value
        elif tag in _GEO:
            lost.add("its geo-reference was", result.without("it"))
        elif tag in _UNFIT:
            lost.add(_UNFIT[tag], _ABOUT_PIXELS)
        elif tag not in _ELSEWHERE | _DROPPED:
            lost.add_named("its TIFF tag", str(tag), result.without("it"))
    _adjust_description(tags, result, lost)
    _clean_exif(tags, lost)
    return tags or None


def tags_for(found: Inventory, exif: dict[int, Any], result: Result, lost: Lost) -> dict[int, Any]:
    """Returns the metadata tags of a TIFF result; adds lines on lost tags.

    Args:
        exif: the adjusted tags of the original's EXIF.
    """
    tags: dict[int, Any] = {}
    for tag, value in {**exif, **found.tiff}.items():
        if tag in _STORAGE | _ELSEWHERE:
            continue
        if tag in _UNFIT:
            lost.add(_UNFIT[tag], _ABOUT_PIXELS)
        elif isinstance(value, Entry) and value.kind != _KINDS.get(tag, value.kind if tag >= _PRIVATE else None):
            lost.add_named("its TIFF tag", str(tag), "it is damaged" if tag in _KINDS else "its meaning is unknown")
        elif isinstance(value, Entry) and tag in _KINDS and value.kind == 2:
            text = value.data.rstrip(b"\0").replace(b"\0", b"; ") + b"\0"  # libtiff reports several strings as damage
            tags[tag] = Entry(2, len(text), text)
        else:
            tags[tag] = value
    _clean_exif(tags, lost)
    _adjust_description(tags, result, lost)
    _adjust_geo(tags, result, lost)
    if result.resolution:
        across, down = (entry(5, fraction(each * 25.4)) for each in result.resolution)
        tags |= {ACROSS: across, DOWN: down, UNIT: entry(3, 2)}
    if found.iptc:
        tags[IPTC] = Entry(7, len(found.iptc), found.iptc)
    return tags


def _clean_exif(tags, lost):
    exif = tags.get(EXIF)
    if isinstance(exif, dict) and MAKER_NOTE in exif:
        tags[EXIF] = {tag: value for tag, value in exif.items() if tag != MAKER_NOTE}
        lost.add("its maker's notes in EXIF were", "they cannot be moved into another format")
        if not tags[EXIF]:
            del tags[EXIF]
    for pointer in (EXIF, GPS):
        if isinstance(tags.get(pointer), Entry):  # a pointer into another file
            del tags[pointer]


def _adjust_description(tags, result, lost):
    text = tags[_DESCRIPTION].data if isinstance(tags.get(_DESCRIPTION), Entry) else b""
    if text.startswith(b"ImageJ=") or b"<OME" in text[:2000]:
        del tags[_DESCRIPTION]
        lost.add("its ImageJ or OME description was", _ABOUT_PIXELS)
    elif text.startswith(b'{"shape": ['):  # written by tifffile
        shape = [result.by.height, result.by.width, result.bands + result.alpha]
        shape = shape[:2] if shape[2] == 1 else shape
        text = re.sub(rb'("shape": \[)[^\]]*', lambda found: found[1] + ", ".join(map(str, shape)).encode(), text)
        tags[_DESCRIPTION] = Entry(2, len(text), text)


def _adjust_geo(tags, result, lost):
    present = _GEO & set(tags)
    across, down = result.by.across, result.by.down
    if not present - {_GDAL, _NO_DATA}:
        present = set()
    elif result.by.orientation != 1 or not _scale_geo_reference(tags, across, down):
        for tag in present - {_GDAL, _NO_DATA}:
            del tags[tag]
        why = "the picture was turned" if result.by.orientation != 1 else "it is damaged"
        lost.add("its geo-reference was", why)
    if isinstance(tags.get(_GDAL), Entry):
        text, number = re.subn(rb"\s*<Item name=\"STATISTICS_[^>]*>[^<]*</Item>", b"", tags[_GDAL].data)
        tags[_GDAL] = Entry(2, len(text), text)
        if number:
            lost.add("its GDAL statistics were", _ABOUT_PIXELS)


def _scale_geo_reference(tags, across, down):
    """Scales the geo-reference, so that the corners stay in place; returns whether that was possible."""
    for tag, multiple in ((_SCALE, 3), (_TIEPOINTS, 6), (_MATRIX, 16)):
        if tag in tags and (not isinstance(tags[tag], Entry) or tags[tag].kind != 12 or tags[tag].count % multiple):
            return False
    keys = tags[_KEYS].numbers() if isinstance(tags.get(_KEYS), Entry) else ()
    points = (1025, 0, 1, 2) in zip(keys[::4], keys[1::4], keys[2::4], keys[3::4], strict=False)
    centre = 0.5 if points else 0.0  # whether (0, 0) is the first pixel's centre or its corner
    if _SCALE in tags:
        x, y, *rest = tags[_SCALE].numbers()
        tags[_SCALE] = entry(12, x / across, y / down, *rest)
    if _TIEPOINTS in tags:
        numbers = list(tags[_TIEPOINTS].numbers())
        for at in range(0, len(numbers), 6):
            numbers[at] = (numbers[at] + centre) * across - centre
            numbers[at + 1] = (numbers[at + 1] + centre) * down - centre
        tags[_TIEPOINTS] = entry(12, *numbers)
    if _MATRIX in tags:
        numbers = list(tags[_MATRIX].numbers())
        for row in range(0, 16, 4):
            x, y = numbers[row] / across, numbers[row + 1] / down
            # The new pixel (0, 0) is at (c / across - c, c / down - c) of the original.
            numbers[row + 3] += numbers[row] * centre * (1 / across - 1) + numbers[row + 1] * centre * (1 / down - 1)
            numbers[row], numbers[row + 1] = x, y
        tags[_MATRIX] = entry(12, *numbers)
    return True
