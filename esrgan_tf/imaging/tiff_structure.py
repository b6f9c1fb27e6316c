"""TIFF files as their directories describe them: whether all strips and tiles are there, what the bands mean, and the
same picture with a directory that libtiff does not warn of.

libtiff warns of unsorted tags, of odd values and of missing tiles alike. With a plain directory, each warning that is
left is about pixels. Tags: TIFF 6.0 (1992) and its technical notes; BigTIFF.
"""

import math
import struct
from dataclasses import dataclass
from typing import BinaryIO

import pyvips

from esrgan_tf.errors import UserError
from esrgan_tf.imaging.jpeg_structure import MISSING

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, PHOTOMETRIC, _FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _ORIENTATION, _BANDS, _ROWS, _STRIP_BYTES, _PLANAR = 273, 274, 277, 278, 279, 284
_UNIT, _PALETTE, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 296, 320, 322, 323, 324, 325
_INKS, _NUMBER_OF_INKS, _EXTRA_BANDS, _SAMPLE_FORMAT, _ICC = 332, 334, 338, 339, 34675

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
# Tags of a plain directory, beside those of strips and tiles: of 16 bits, of 32 bits, and values that stay as they are.
_SHORT = {_BITS, _COMPRESSION, PHOTOMETRIC, _FILL_ORDER, _ORIENTATION, _BANDS, _PLANAR, _UNIT, 317, _PALETTE}
_SHORT |= {_INKS, _NUMBER_OF_INKS, _EXTRA_BANDS, _SAMPLE_FORMAT, 530, 531}
_LONG = {_WIDTH, _HEIGHT, _ROWS, 292, 293, _TILE_WIDTH, _TILE_HEIGHT}
_AS_THEY_ARE = {270, 282, 283, 347, 529, 532, 700, 33723, 34377, _ICC}
_LEGAL = {_ORIENTATION: range(1, 9), _UNIT: range(1, 4), _FILL_ORDER: range(1, 3), _PLANAR: range(1, 3)}
_SECONDARY = 1 | 4  # bits of _SUBFILE: a thumbnail, a mask
_NO_COMPRESSION, _OLD_JPEG = 1, 6
_MAX_DIRECTORIES, _MAX_TAGS = 1000, 4096

_TRANSPARENCY = ((1,), (2,))  # values of _EXTRA_BANDS: premultiplied, which libvips divides, and straight
GRAY, RGB, CMYK, LAB = "gray", "RGB", "CMYK", "CIELAB"
_MODELS = {0: (GRAY, 1), 1: (GRAY, 1), 2: (RGB, 3), 3: (RGB, 1), 4: (GRAY, 1), 5: (CMYK, 4), 6: (RGB, 3)}
CIELAB, ICCLAB = 8, 9  # values of PHOTOMETRIC
_MODELS |= {CIELAB: (LAB, 3), ICCLAB: (LAB, 3)}


@dataclass(frozen=True)
class Directory:
    """One picture of a file.

    Attributes:
        integers: values of the tags that hold integers.
        raw: `(type, count, bytes)` of all tags.
        is_first: it is the file's first directory.
        size: of the file in bytes.
        order: of bytes, `<` or `>`.
        big: BigTIFF.
    """

    integers: dict[int, tuple[int, ...]]
    raw: dict[int, tuple[int, int, bytes]]
    is_first: bool
    size: int
    order: str
    big: bool

    @property
    def bands(self) -> int:
        """Bands per pixel; files that do not state them have a number of bits for each."""
        return self.get(_BANDS, len(self.integers.get(_BITS, (1,))))

    @property
    def is_signed(self) -> bool:
        """Whether its numbers are signed integers."""
        return self.get(_SAMPLE_FORMAT, 1) == 2

    def get(self, tag: int, default: int) -> int:
        """The first value of a tag."""
        return self.integers.get(tag, (default,))[0]


def read_directories(file: BinaryIO) -> list[Directory]:
    """The pictures of a TIFF in their order, without thumbnails and masks that say so.

    Raises:
        UserError: it has no directory.
    """
    size = file.seek(0, 2)
    order = "<" if _read(file, 0, 2) == b"II" else ">"
    big = _read(file, 2, 2) in (b"+\0", b"\0+")
    at = _pointer(file, 8 if big else 4, order, big)
    found: list[Directory] = []
    seen: set[int] = set()
    while at and at not in seen and len(seen) < _MAX_DIRECTORIES:
        directory, following = _directory(file, at, size, order, big, is_first=not seen)
        if directory is None:
            break
        seen.add(at)
        found.append(directory)
        at = following
    if not found:
        raise UserError(MISSING)
    return [one for one in found if not one.get(_SUBFILE, 0) & _SECONDARY] or found[:1]


def check_pixels(directory: Directory) -> None:
    """Compares the positions of all strips or tiles with the file's size.

    Raises:
        UserError: one of them is not there.
    """
    if directory.get(_COMPRESSION, _NO_COMPRESSION) != _OLD_JPEG:
        _positions(directory)


def colour_model(directory: Directory) -> str:
    """`GRAY`, `RGB`, `CMYK` or `LAB`, by the tags alone; one more band may be transparency.

    Raises:
        UserError: a band of no declared meaning, or colours that cannot be converted.
    """
    count = directory.bands
    photometric = directory.get(PHOTOMETRIC, 2 if count >= 3 else 1)
    if photometric not in _MODELS:
        raise UserError(f"its colours are of kind {photometric} (PhotometricInterpretation), which is not read")
    model, colours = _MODELS[photometric]
    if model == CMYK and (directory.get(_INKS, 1) != 1 or directory.get(_NUMBER_OF_INKS, 4) != 4):
        raise UserError("its inks are not those of CMYK; convert it into RGB first")
    if count < colours:
        raise UserError(f"it has {count} bands, and {model} needs {colours}")
    extra = directory.integers.get(_EXTRA_BANDS, ())[: count - colours]
    if count > colours and extra not in _TRANSPARENCY:
        raise UserError(
            f"it has {count} bands: {model} and {count - colours} of no declared meaning, such as infrared or a mask "
            f"(ExtraSamples); save {model} alone"
        )
    return model


def can_be_plain(directory: Directory) -> bool:
    """Whether `plain_source` can replace the directory: a second one fits, and strips or tiles are listed."""
    fits = directory.big or directory.size < 2**32 - 2**20
    return fits and directory.get(_COMPRESSION, _NO_COMPRESSION) != _OLD_JPEG


def plain_source(file: BinaryIO, directory: Directory, as_rgb: bool = False) -> pyvips.Source:
    """The picture as a file of one directory, which holds legal tags only, in their order.

    Args:
        file: stays open while the source is used, and so does the source: an image does not keep it.
        as_rgb: declares the bands as RGB, so that they are read as they are stored.

    Raises:
        UserError: strips or tiles are not there, or the directory cannot be replaced.
    """
    if not can_be_plain(directory):
        raise UserError("its directory is damaged or not the file's first; save the picture by itself")
    entries = _plain_tags(directory)
    if as_rgb:
        entries[PHOTOMETRIC] = 3, (2,)
        for tag in (_ICC, _SAMPLE_FORMAT):  # for colours that are not declared any more
            entries.pop(tag, None)
    at = directory.size + directory.size % 2
    header, tail = _encoded(entries, at, directory.order, directory.big)
    return _joined(file, header, directory.size, b"\0" * (directory.size % 2) + tail)


def _read(file, at, length):
    file.seek(at)
    return file.read(length)


def _pointer(file, at, order, big):
    data = _read(file, at, 8 if big else 4)
    return int.from_bytes(data, "little" if order == "<" else "big")


def _directory(file, at, size, order, big, is_first):
    """A directory and the position of the next one; None if it is not in the file."""
    width, form, step = (8, order + "HHQ", 20) if big else (2, order + "HHI", 12)
    count = int.from_bytes(_read(file, at, width), "little" if order == "<" else "big")
    data = _read(file, at + width, count * step) if count <= _MAX_TAGS else b""
    if not count or len(data) < count * step:
        return None, 0
    integers, raw, inside = {}, {}, 8 if big else 4
    for i in range(0, count * step, step):
        tag, kind, values = struct.unpack(form, data[i : i + step - inside])
        length = _SIZES.get(kind, 0) * values
        if not length or length > size or tag in raw:
            continue
        value = data[i + step - inside : i + step]
        if length > inside:
            value = _read(file, int.from_bytes(value, "little" if order == "<" else "big"), length)
        if len(value) < length:
            continue
        raw[tag] = kind, values, value[:length]
        if kind in _INTEGERS:
            integers[tag] = struct.unpack(f"{order}{values}{_INTEGERS[kind]}", value[:length])
    return Directory(integers, raw, is_first, size, order, big), _pointer(file, at + width + count * step, order, big)


def _positions(directory):
    """Tag numbers, offsets and byte counts of all strips or tiles, without counts that lie beyond the file's end."""
    width, height = directory.get(_WIDTH, 0), directory.get(_HEIGHT, 0)
    tiled = _TILE_OFFSETS in directory.integers
    tags = (_TILE_OFFSETS, _TILE_BYTES) if tiled else (_STRIP_OFFSETS, _STRIP_BYTES)
    across = directory.get(_TILE_WIDTH, 0) if tiled else width
    down = directory.get(_TILE_HEIGHT, 0) if tiled else min(directory.get(_ROWS, height) or height, height)
    if min(width, height, across, down) <= 0:
        raise UserError(MISSING)
    planes = directory.bands if directory.get(_PLANAR, 1) == 2 else 1
    wanted = math.ceil(width / across) * math.ceil(height / down) * planes
    offsets = directory.integers.get(tags[0], ())[:wanted]
    counts = directory.integers.get(tags[1], ())[:wanted]
    if len(offsets) < wanted or min(offsets) < 8:
        raise UserError(MISSING)
    whole = _bytes_without_compression(directory, across)
    result = []
    for i, offset in enumerate(offsets):
        count = counts[i] if i < len(counts) else directory.size
        if whole is not None:
            rows = down if tiled else min(down, height - i % math.ceil(height / down) * down)
            count = whole * rows
            if offset + count > directory.size:
                raise UserError(MISSING)
        count = min(count, directory.size - offset)
        if count <= 0:
            raise UserError(MISSING)
        result.append(count)
    return tags, offsets, tuple(result)


def _bytes_without_compression(directory, across):
    """Bytes of a row of a strip or tile; None where they depend on the pixels or on a subsampling."""
    bits = directory.integers.get(_BITS, (1,))
    subsampled = directory.get(PHOTOMETRIC, 1) == 6
    if directory.get(_COMPRESSION, _NO_COMPRESSION) != _NO_COMPRESSION or len(set(bits)) > 1 or subsampled:
        return None
    together = 1 if directory.get(_PLANAR, 1) == 2 else directory.bands
    return math.ceil(across * bits[0] * together / 8)


def _plain_tags(directory):
    """`(type, values)` by tag."""
    entries: dict[int, tuple[int, tuple]] = {}
    for tag, (kind, count, value) in directory.raw.items():
        values = directory.integers.get(tag)
        if tag in _AS_THEY_ARE:
            entries[tag] = kind, (count, value)
        elif values and tag in _SHORT | _LONG:
            limit = 2**16 if tag in _SHORT else 2**32
            if all(0 <= number < limit for number in values) and values[0] in _LEGAL.get(tag, values[:1]):
                entries[tag] = (3 if tag in _SHORT else 4), values
    count = directory.bands
    entries[_BANDS] = 3, (count,)
    if count >= 3:
        entries.setdefault(PHOTOMETRIC, (3, (2,)))
    for tag in (_BITS, _SAMPLE_FORMAT):  # one value for each band
        if tag in entries:
            values = entries[tag][1]
            entries[tag] = 3, (values * count)[:count] if len(set(values)) == 1 else values[:count]
    tags, offsets, counts = _positions(directory)
    for tag, values in zip(tags, (offsets, counts), strict=True):
        entries[tag] = (16 if directory.big else 4), values
    return entries


def _encoded(entries, at, order, big):
    """The header of a file with a directory at `at`, and the directory with the values behind it."""
    inside, width, step = (8, 8, 20) if big else (4, 2, 12)
    after = at + width + step * len(entries) + inside
    directory, values_after = b"", b""
    for tag in sorted(entries):
        kind, values = entries[tag]
        if tag in _AS_THEY_ARE:
            count, value = values
        else:
            count, value = len(values), struct.pack(f"{order}{len(values)}{_INTEGERS[kind]}", *values)
        if len(value) > inside:
            values_after += b"\0" * (len(values_after) % 2)
            place = struct.pack(order + ("Q" if big else "I"), after + len(values_after))
            values_after += value
        else:
            place = value.ljust(inside, b"\0")
        directory += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count) + place
    number = struct.pack(order + ("Q" if big else "H"), len(entries))
    mark = b"II" if order == "<" else b"MM"
    header = mark + (struct.pack(order + "HHHQ", 43, 8, 0, at) if big else struct.pack(order + "HI", 42, at))
    return header, number + directory + b"\0" * inside + values_after


def _joined(file, header, size, tail):
    """A source of `header`, the file from there to `size`, and `tail`."""
    position = 0

    def read(length):
        nonlocal position
        data = b""
        if position < len(header):
            data = header[position : position + length]
        elif position < size:
            data = _read(file, position, min(length, size - position))
        else:
            data = tail[position - size : position - size + length]
        position += len(data)
        return data

    def seek(offset, whence):
        nonlocal position
        position = max(0, offset + (0, position, size + len(tail))[whence])
        return position

    source = pyvips.SourceCustom()
    source.on_read(read)
    source.on_seek(seek)
    return source
