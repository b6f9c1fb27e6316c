"""The structure of PNG files: a reader of chunk heads, and repair of truncated files and wrong checksums.

The source is the PNG specification, third edition.
"""

import io
import math
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from esrgan_tf.errors import UserError
from esrgan_tf.imaging.jpeg_structure import MISSING
from esrgan_tf.imaging.limits import check_size

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


def read_chunk_heads(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yields `(name, position of the data, length)` per chunk; then the file is at the data. Callers may move it."""
    at = 8
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        length, name = struct.unpack(">I4s", head)
        yield name, at + 8, length
        at += 12 + length


def read_heads_before_pixels(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yields the chunk heads before the pixels, as `read_chunk_heads`."""
    for name, start, length in read_chunk_heads(file):
        if name in (b"IDAT", b"IEND", b"\0\0\0\0"):
            return
        yield name, start, length


def repair_png(data: bytes) -> bytes:
    """Corrects checksums and adds an end.

    Raises:
        UserError: rows are missing, the checksum of the pixels is wrong, or an unknown chunk is critical.
    """
    before: list[tuple[bytes, bytes]] = []
    after: list[tuple[bytes, bytes]] = []
    pixels, header = [], b""
    for name, start, length in read_chunk_heads(io.BytesIO(data)):
        body, checksum = data[start : start + length], data[start + length : start + length + 4]
        if name == b"IDAT":
            pixels.append(body)
        elif name == b"IHDR":
            header = header or body
        elif name not in _CRITICAL and name[0] & 0x20 == 0:
            raise UserError(f"a PNG with an unknown critical chunk {name.decode('latin-1')!r}")
        elif name != b"IEND" and checksum == struct.pack(">I", zlib.crc32(name + body)):
            (after if pixels else before).append((name, body))
    if len(header) != 13 or header[9] not in _CHANNELS:
        raise UserError(MISSING)
    width, height = struct.unpack(">II", header[:8])
    check_size(width, height)
    wanted = _count_row_bytes(width, height, header[8] * _CHANNELS[header[9]], interlaced=header[12] == 1)
    try:
        rows = zlib.decompressobj().decompress(b"".join(pixels), wanted + 1)
    except zlib.error as error:
        raise UserError(MISSING) from error
    if not wanted or len(rows) < wanted:
        raise UserError(MISSING)
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(rows[:wanted], 1)), *after, (b"IEND", b"")]
    return data[:8] + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def _count_row_bytes(width, height, bits, interlaced):
    """Counts the bytes of all rows, each with the byte of its filter."""
    if not interlaced:
        return height * (1 + math.ceil(width * bits / 8))
    total = 0
    for left, top, across, down in _PASSES:
        columns, rows = math.ceil((width - left) / across), math.ceil((height - top) / down)
        if columns > 0 and rows > 0:
            total += rows * (1 + math.ceil(columns * bits / 8))
    return total
