"""What an image file says about the size of its pixels on paper, and how to write a file that says nothing.

libvips takes 72 or 25.4 dots an inch where a file says nothing, and writes them into every result.
"""

import contextlib
import io
import math
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from numbers import Real
from pathlib import Path
from typing import BinaryIO

import pyvips
from PIL import Image

_ACROSS, _DOWN, _UNIT = 282, 283, 296  # tags of TIFF, and so of EXIF
_PER_MILLIMETRE = {2: 1 / 25.4, 3: 1 / 10}  # by unit: inch, centimetre


def resolution(image: pyvips.Image, source: Path | bytes) -> tuple[float, float] | None:
    """Pixels a millimetre across and down, as the file that was opened as `image` says; None where it does not."""
    loader = image.get("vips-loader") if image.get_typeof("vips-loader") else ""
    if loader.startswith("pngload") and (density := _of_png(source)):
        return density
    # Of other formats, libvips sets the unit by EXIF and not the numbers.
    if not loader.startswith(("pngload", "webpload", "heifload")) and image.get_typeof("resolution-unit"):
        return image.xres, image.yres
    # libvips' own list of EXIF has 72 dots an inch where the file's has none.
    return _of_exif(image.get("exif-data")) if image.get_typeof("exif-data") else None


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


def forget_resolution(file: BinaryIO, kind: str) -> None:
    """Takes the resolution out of a file that libvips wrote, in its place: no other byte moves.

    Args:
        file: open for reading and writing.
        kind: `.png`, `.jpg`, `.webp` or `.tif`.
    """
    if kind == ".tif":
        _forget_tags(file, 0)
    elif kind == ".png":
        for name, at, length in png_chunks(file):
            if name == b"pHYs":
                _write(file, at, struct.pack(">IIB", 1, 1, 0))  # pixels are square, of no known size
            elif name == b"eXIf":
                _forget_tags(file, at)
            else:
                continue
            file.seek(at - 4)
            _write(file, at + length, struct.pack(">I", zlib.crc32(file.read(4 + length))))
    elif kind == ".jpg":
        for at in _jpeg_exif(file):
            _forget_tags(file, at)
    else:
        for at in _webp_exif(file):
            _forget_tags(file, at)


def _of_png(source):
    with opened(source) as file:
        for name, at, length in png_chunks(file):
            if name == b"pHYs" and length == 9:
                file.seek(at)
                across, down, unit = struct.unpack(">IIB", file.read(9).ljust(9, b"\0"))
                return (across / 1000, down / 1000) if unit == 1 and across and down else None
    return None


def _of_exif(data):
    exif = Image.Exif()
    with warnings.catch_warnings(), contextlib.suppress(SyntaxError, struct.error):
        warnings.simplefilter("ignore")  # what is damaged says nothing
        exif.load(data)
    unit = _PER_MILLIMETRE.get(exif.get(_UNIT, 2))
    across, down = exif.get(_ACROSS), exif.get(_DOWN)
    if unit is None or not isinstance(across, Real) or not isinstance(down, Real):
        return None
    across, down = float(across) * unit, float(down) * unit
    return (across, down) if 0 < across < math.inf and 0 < down < math.inf else None


def _jpeg_exif(file):
    """Where EXIF begins, after its name, in the segments before the pixels."""
    at = 2
    while True:
        file.seek(at)
        marker, length, name = struct.unpack(">HH6s", file.read(10).ljust(10, b"\0"))
        if not 0xFFC0 <= marker <= 0xFFFE or marker == 0xFFDA:
            return
        if marker == 0xFFE1 and name == b"Exif\0\0":
            yield at + 10
        at += 2 + length


def _webp_exif(file):
    """Where EXIF begins in the chunks of a WebP; some programs write JPEG's name before it."""
    end, at = file.seek(0, os.SEEK_END), 12
    while at + 8 <= end:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"EXIF":
            yield at + 8 + 6 * (file.read(6) == b"Exif\0\0")
        at += 8 + length + length % 2


def _forget_tags(file, start):
    """Takes the tags out of the first directory of a TIFF that begins at `start`, as EXIF does too."""
    file.seek(start)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    large = struct.unpack_from(order + "H", head, 2)[0] == 43  # BigTIFF
    count, entry, pointer = (f"{order}Q", 20, f"{order}Q") if large else (f"{order}H", 12, f"{order}I")
    at = start + struct.unpack_from(pointer, head, 8 if large else 4)[0]
    file.seek(at)
    number = struct.unpack(count, file.read(struct.calcsize(count)))[0]
    entries = [file.read(entry) for _ in range(number)]
    following = file.read(struct.calcsize(pointer))
    kept = [each for each in entries if struct.unpack_from(order + "H", each)[0] not in (_ACROSS, _DOWN, _UNIT)]
    _write(file, at, struct.pack(count, len(kept)) + b"".join(kept) + following)


def _write(file, at, data):
    file.seek(at)
    file.write(data)
