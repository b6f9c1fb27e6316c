"""The structure of TIFF files: completeness of strips and tiles, meaning of bands, and plain directories.

libtiff warns about unsorted tags, odd values and missing tiles alike. With a plain directory, which has only sorted
tags and legal values, every warning is about pixels. TIFF 6.0 (1992), its technical notes and BigTIFF define the tags.
"""

import io
import math
from dataclasses import dataclass
from typing import BinaryIO

import pyvips

from esrgan_tf.errors import UserError
from esrgan_tf.imaging.jpeg_structure import MISSING
from esrgan_tf.imaging.tiff_tags import (
    ACROSS,
    DOWN,
    ICC,
    INTEGERS,
    IPTC,
    ORIENTATION,
    PHOTOSHOP,
    UNIT,
    XMP,
    Entry,
    Form,
    encode_directory,
    encode_head,
    entry,
    form_of,
    read_directory,
)

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, PHOTOMETRIC, _FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _BANDS, _ROWS, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_PALETTE, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 320, 322, 323, 324, 325
_INKS, _NUMBER_OF_INKS, _EXTRA_BANDS, _SAMPLE_FORMAT = 332, 334, 338, 339

# Tags of a plain directory besides strips and tiles: 16-bit values, 32-bit values, and values that stay the same.
_SHORT = {_BITS, _COMPRESSION, PHOTOMETRIC, _FILL_ORDER, ORIENTATION, _BANDS, _PLANAR, UNIT, 317, _PALETTE}
_SHORT |= {_INKS, _NUMBER_OF_INKS, _EXTRA_BANDS, _SAMPLE_FORMAT, 530, 531}
_LONG = {_WIDTH, _HEIGHT, _ROWS, 292, 293, _TILE_WIDTH, _TILE_HEIGHT}
_UNCHANGED = {270, ACROSS, DOWN, 347, 529, 532, XMP, IPTC, PHOTOSHOP, ICC}
_LEGAL = {ORIENTATION: range(1, 9), UNIT: range(1, 4), _FILL_ORDER: range(1, 3), _PLANAR: range(1, 3)}
_THUMBNAIL, _MASK = 1, 4  # bits of _SUBFILE
_NO_COMPRESSION, _OLD_JPEG = 1, 6
_MAX_DIRECTORIES = 1000

_TRANSPARENCY = ((1,), (2,))  # values of _EXTRA_BANDS: premultiplied, which libvips divides, and straight
GRAY, RGB, CMYK, LAB = "gray", "RGB", "CMYK", "CIELAB"
_MODELS = {0: (GRAY, 1), 1: (GRAY, 1), 2: (RGB, 3), 3: (RGB, 1), 4: (GRAY, 1), 5: (CMYK, 4), 6: (RGB, 3)}
CIELAB, ICCLAB = 8, 9  # values of PHOTOMETRIC
_MODELS |= {CIELAB: (LAB, 3), ICCLAB: (LAB, 3)}


@dataclass(frozen=True)
class Directory:
    """A directory, which describes one picture of a file.

    Attributes:
        tags: all tags of the directory.
        at: its position in the file.
        is_first: whether it is the first directory of the file.
        size: of the file, in bytes.
        form: byte order, and whether the file is a BigTIFF.
    """

    tags: dict[int, Entry]
    at: int
    is_first: bool
    size: int
    form: Form

    @property
    def bands(self) -> int:
        """Bands per pixel; without that tag, the number of values of BitsPerSample."""
        return self.get(_BANDS, len(self.integers(_BITS, (1,))))

    @property
    def is_signed(self) -> bool:
        """Whether pixels are signed integers."""
        return self.get(_SAMPLE_FORMAT, 1) == 2

    def get(self, tag: int, default: int) -> int:
        """The first value of a tag, or the default if it has no integers."""
        return self.tags[tag].first(default) if tag in self.tags else default

    def integers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """All values of a tag, or the default if it has no integers."""
        value = self.tags.get(tag)
        return value.numbers() if value is not None and value.kind in INTEGERS else default


def read_directories(file: BinaryIO) -> list[Directory]:
    """Reads the directories of a TIFF in order, without declared thumbnails and masks.

    Raises:
        UserError: the file has no directory.
    """
    return _pictures_of(_all_directories(file))


def main_directory(file: BinaryIO) -> tuple[Directory, bool]:
    """Returns the directory of the first picture, and whether another directory is its transparency mask.

    Raises:
        UserError: the file has no directory.
    """
    found = _all_directories(file)
    main = _pictures_of(found)[0]
    return main, any(each.get(_SUBFILE, 0) & _MASK and each is not main for each in found)


def _pictures_of(directories):
    return [each for each in directories if not each.get(_SUBFILE, 0) & (_THUMBNAIL | _MASK)] or directories[:1]


def _all_directories(file):
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    found: dict[int, Directory] = {}
    try:
        form, at = form_of(file.read(16))
        while at and at not in found and len(found) < _MAX_DIRECTORIES:
            tags, damaged, following = read_directory(file, at, form)
            if not tags and not damaged:
                break
            found[at] = Directory(tags, at, not found, size, form)
            at = following
    except ValueError:  # after the last complete directory
        pass
    if not found:
        raise UserError(MISSING)
    return list(found.values())


def check_pixels(directory: Directory) -> None:
    """Compares the positions of all strips or tiles with the file's size.

    Raises:
        UserError: a strip or tile is missing.
    """
    if directory.get(_COMPRESSION, _NO_COMPRESSION) != _OLD_JPEG:
        _positions(directory)


def colour_model(directory: Directory) -> str:
    """`GRAY`, `RGB`, `CMYK` or `LAB`, by the tags alone; one more band may be transparency.

    Raises:
        UserError: a band has no declared meaning, or the colours cannot be converted.
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
    extra = directory.integers(_EXTRA_BANDS, ())[: count - colours]
    if count > colours and extra not in _TRANSPARENCY:
        raise UserError(
            f"it has {count} bands, {model} and {count - colours} of no declared meaning, such as infrared or a mask "
            f"(ExtraSamples); save {model} alone"
        )
    return model


def can_be_plain(directory: Directory) -> bool:
    """Whether `plain_source` can replace the directory: a second directory fits, and strips or tiles are listed."""
    fits = directory.form.large or directory.size < 2**32 - 2**20
    return fits and directory.get(_COMPRESSION, _NO_COMPRESSION) != _OLD_JPEG


def plain_source(file: BinaryIO, directory: Directory, as_rgb: bool = False) -> pyvips.Source:
    """Returns a source of the picture with a plain directory: only legal tags, sorted.

    Args:
        file: must stay open while the source is used; an image keeps neither the file nor the source open.
        as_rgb: whether the bands are declared as RGB, so that libvips does not convert them.

    Raises:
        UserError: strips or tiles are missing, or the directory cannot be replaced.
    """
    if not can_be_plain(directory):
        raise UserError("its directory is damaged or not the file's first; save the picture as a separate file")
    entries = _plain_tags(directory)
    if as_rgb:
        entries[PHOTOMETRIC] = entry(3, 2)
        for tag in (ICC, _SAMPLE_FORMAT):  # these tags describe the original colours
            entries.pop(tag, None)
    at = directory.size + directory.size % 2
    tail = b"\0" * (directory.size % 2) + encode_directory(entries, directory.form, at)
    return _concatenate(file, encode_head(directory.form, at), directory.size, tail)


def _positions(directory):
    """Tag numbers, offsets and byte counts of all strips or tiles; counts end at the end of the file."""
    width, height = directory.get(_WIDTH, 0), directory.get(_HEIGHT, 0)
    tiled = bool(directory.integers(_TILE_OFFSETS))
    tags = (_TILE_OFFSETS, _TILE_BYTES) if tiled else (_STRIP_OFFSETS, _STRIP_BYTES)
    across = directory.get(_TILE_WIDTH, 0) if tiled else width
    down = directory.get(_TILE_HEIGHT, 0) if tiled else min(directory.get(_ROWS, height) or height, height)
    if min(width, height, across, down) <= 0:
        raise UserError(MISSING)
    planes = directory.bands if directory.get(_PLANAR, 1) == 2 else 1
    wanted = math.ceil(width / across) * math.ceil(height / down) * planes
    offsets = directory.integers(tags[0], ())[:wanted]
    counts = directory.integers(tags[1], ())[:wanted]
    if len(offsets) < wanted or min(offsets) < 8:
        raise UserError(MISSING)
    row_bytes = _uncompressed_row_bytes(directory, across)
    result = []
    for i, offset in enumerate(offsets):
        count = counts[i] if i < len(counts) else directory.size
        if row_bytes is not None:
            rows = down if tiled else min(down, height - i % math.ceil(height / down) * down)
            count = row_bytes * rows
            if offset + count > directory.size:
                raise UserError(MISSING)
        count = min(count, directory.size - offset)
        if count <= 0:
            raise UserError(MISSING)
        result.append(count)
    return tags, offsets, tuple(result)


def _uncompressed_row_bytes(directory, across):
    """Bytes per row of a strip or tile; None if they depend on compression or subsampling."""
    bits = directory.integers(_BITS, (1,))
    subsampled = directory.get(PHOTOMETRIC, 1) == 6
    if directory.get(_COMPRESSION, _NO_COMPRESSION) != _NO_COMPRESSION or len(set(bits)) > 1 or subsampled:
        return None
    interleaved = 1 if directory.get(_PLANAR, 1) == 2 else directory.bands
    return math.ceil(across * bits[0] * interleaved / 8)


def _plain_tags(directory):
    entries: dict[int, Entry] = {}
    for tag, value in directory.tags.items():
        values = directory.integers(tag)
        if tag in _UNCHANGED:
            entries[tag] = value
        elif values and tag in _SHORT | _LONG:
            limit = 2**16 if tag in _SHORT else 2**32
            if all(0 <= number < limit for number in values) and values[0] in _LEGAL.get(tag, values[:1]):
                entries[tag] = entry(3 if tag in _SHORT else 4, *values)
    count = directory.bands
    entries[_BANDS] = entry(3, count)
    if count >= 3:
        entries.setdefault(PHOTOMETRIC, entry(3, 2))
    for tag in (_BITS, _SAMPLE_FORMAT):  # one value per band
        if tag in entries:
            values = entries[tag].numbers()
            entries[tag] = entry(3, *((values * count)[:count] if len(set(values)) == 1 else values[:count]))
    tags, offsets, counts = _positions(directory)
    for tag, values in zip(tags, (offsets, counts), strict=True):
        entries[tag] = entry(16 if directory.form.large else 4, *values)
    return entries


def _concatenate(file, header, size, tail):
    """A source of `header`, then the file from the end of `header` to `size`, then `tail`."""
    position = 0

    def read(length):
        nonlocal position
        data = b""
        if position < len(header):
            data = header[position : position + length]
        elif position < size:
            file.seek(position)
            data = file.read(min(length, size - position))
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
