"""The resolution of an image file: pixels per millimetre on paper.

libvips takes 72 or 25.4 dots per inch if a file has none.
"""

import io
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyvips

from esrgan_tf.imaging.tiff_tags import ACROSS, DOWN, UNIT, form_of, read_directory

_PER_MILLIMETRE = {2: 1 / 25.4, 3: 1 / 10}  # by unit: inch, centimetre


def resolution(image: pyvips.Image, source: Path | bytes, exif: bytes | None) -> tuple[float, float] | None:
    """Pixels a millimetre across and down, as the file that was opened as `image` says; None where it does not."""
    loader = image.get("vips-loader") if image.get_typeof("vips-loader") else ""
    if loader.startswith("pngload") and (density := _of_png(source)):
        return density
    # Of other formats, libvips sets the unit by EXIF and not the numbers.
    if not loader.startswith(("pngload", "webpload", "heifload")) and image.get_typeof("resolution-unit"):
        return image.xres, image.yres
    # libvips' own list of EXIF has 72 dots an inch where the file's has none.
    return None if exif is None else _of_exif(exif)


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """`(name, where its data begins, its length)` of what stands before the pixels of a PNG."""
    at = 8
    while True:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
        if name in (b"IDAT", b"IEND", b"\0\0\0\0"):
            return
        yield name, at + 8, length
        at += 12 + length


def opened(source: Path | bytes) -> BinaryIO:
    """A file, or bytes as one."""
    return open(source, "rb") if isinstance(source, Path) else io.BytesIO(source)


def _of_png(source):
    with opened(source) as file:
        for name, at, length in png_chunks(file):
            if name == b"pHYs" and length == 9:
                file.seek(at)
                across, down, unit = struct.unpack(">IIB", file.read(9).ljust(9, b"\0"))
                return (across / 1000, down / 1000) if unit == 1 and across and down else None
    return None


def _of_exif(data):
    try:
        form, at = form_of(data[:16])
        tags, _, _ = read_directory(io.BytesIO(data), at, form, lambda tag: tag in (ACROSS, DOWN, UNIT))
    except ValueError:
        return None
    unit = _PER_MILLIMETRE.get(tags[UNIT].first(None) if UNIT in tags else 2)
    across, down = (_number(tags.get(tag)) for tag in (ACROSS, DOWN))
    return (across * unit, down * unit) if unit and across and down else None


def _number(value):
    """The first number of an entry if it is positive and finite, else None."""
    if value is None or not (numbers := value.numbers()):
        return None
    first = numbers[0]
    if isinstance(first, tuple):
        first = first[0] / first[1] if first[1] else 0
    return float(first) if 0 < first < math.inf else None
