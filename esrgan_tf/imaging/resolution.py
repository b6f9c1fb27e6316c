"""The resolution of an image file: pixels per millimetre on paper.

libvips assumes 72 or 25.4 dots per inch if a file has no resolution.
"""

import io
import math
import struct
from pathlib import Path
from typing import BinaryIO

import pyvips

from esrgan_tf.imaging.png_structure import read_heads_before_pixels
from esrgan_tf.imaging.tiff_tags import ACROSS, DOWN, UNIT, form_of, read_directory

_PER_MILLIMETRE = {2: 1 / 25.4, 3: 1 / 10}  # by unit: inch, centimetre


def resolution(image: pyvips.Image, source: Path | bytes, exif: bytes | None) -> tuple[float, float] | None:
    """The pixels per millimetre across and down of a file that was opened as `image`; None if it has no resolution."""
    loader = image.get("vips-loader") if image.get_typeof("vips-loader") else ""
    if loader.startswith("pngload") and (density := _read_png_resolution(source)):
        return density
    # For PNG, WebP and HEIF, libvips takes the unit from EXIF but not the numbers.
    if not loader.startswith(("pngload", "webpload", "heifload")) and image.get_typeof("resolution-unit"):
        return image.xres, image.yres
    # libvips adds 72 dots per inch to EXIF without a resolution, so the file's EXIF is read.
    return None if exif is None else _read_exif_resolution(exif)


def open_source(source: Path | bytes) -> BinaryIO:
    """Opens a file, or bytes as a file."""
    return open(source, "rb") if isinstance(source, Path) else io.BytesIO(source)


def _read_png_resolution(source):
    with open_source(source) as file:
        for name, _, length in read_heads_before_pixels(file):
            if name == b"pHYs" and length == 9:
                across, down, unit = struct.unpack(">IIB", file.read(9).ljust(9, b"\0"))
                return (across / 1000, down / 1000) if unit == 1 and across and down else None
    return None


def _read_exif_resolution(data):
    try:
        form, at = form_of(data[:16])
        tags, _, _ = read_directory(io.BytesIO(data), at, form, lambda tag: tag in (ACROSS, DOWN, UNIT))
    except ValueError:
        return None
    unit = _PER_MILLIMETRE.get(tags[UNIT].first(None) if UNIT in tags else 2)
    across, down = (_first_positive(tags.get(tag)) for tag in (ACROSS, DOWN))
    return (across * unit, down * unit) if unit and across and down else None


def _first_positive(value):
    """The first number of an entry if it is positive and finite, else None."""
    if value is None or not (numbers := value.numbers()):
        return None
    first = numbers[0]
    if isinstance(first, tuple):
        first = first[0] / first[1] if first[1] else 0
    return float(first) if 0 < first < math.inf else None
