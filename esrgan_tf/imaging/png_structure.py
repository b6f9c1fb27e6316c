"""PNG files that lack their end, or have wrong checksums beside complete pixels, made whole.

Source: the PNG specification, third edition.
"""

import math
import struct
import zlib

from esrgan_tf.errors import UserError
from esrgan_tf.imaging.jpeg_structure import MISSING
from esrgan_tf.imaging.limits import check_size

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


def whole_png(data: bytes) -> bytes:
    """The picture with checksums and an end.

    Raises:
        UserError: rows are missing, the checksum of the pixels is wrong, or a chunk is critical and unknown.
    """
    before: list[tuple[bytes, bytes]] = []
    after: list[tuple[bytes, bytes]] = []
    pixels, header = [], b""
    for name, body, correct in _png_chunks(data):
        if name == b"IDAT":
            pixels.append(body)
        elif name == b"IHDR":
            header = header or body
        elif name not in _CRITICAL and name[0] & 0x20 == 0:
            raise UserError(f"a PNG with a chunk {name.decode('latin-1')!r}, which is critical and not known")
        elif name != b"IEND" and correct:
            (after if pixels else before).append((name, body))
    if len(header) != 13 or header[9] not in _CHANNELS:
        raise UserError(MISSING)
    width, height = struct.unpack(">II", header[:8])
    check_size(width, height)
    wanted = _bytes_of_rows(width, height, header[8] * _CHANNELS[header[9]], interlaced=header[12] == 1)
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


def _png_chunks(data):
    """`(name, body, whether its checksum is right)`; the last one may be shorter than it claims."""
    at = 8
    while at + 8 < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        body, stated = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        yield name, body, stated == struct.pack(">I", zlib.crc32(name + body))
        at += 12 + length


def _bytes_of_rows(width, height, bits, interlaced):
    """Bytes of all rows, each after the number of its filter."""
    if not interlaced:
        return height * (1 + math.ceil(width * bits / 8))
    total = 0
    for left, top, across, down in _PASSES:
        columns, rows = math.ceil((width - left) / across), math.ceil((height - top) / down)
        if columns > 0 and rows > 0:
            total += rows * (1 + math.ceil(columns * bits / 8))
    return total
