"""The chunks of a PNG result, and names of the chunks of an original that other formats cannot hold."""

import re
import struct
import zlib

from esrgan_tf.imaging.inventory import Chunk, Inventory, Lost, Result
from esrgan_tf.imaging.png_chunks import TEXTS, one_line, printed

_KEPT = (b"sRGB", b"gAMA", b"cHRM", b"tIME", b"sPLT", b"mDCV", b"cLLI")
_CREDENTIALS = b"caBX"
_ABOUT_PIXELS = "of the original's pixels only"


def chunks_for(found: Inventory, result: Result, profile: bytes | None) -> tuple[list[Chunk], list[str]]:
    """The chunks of a result, but for EXIF and XMP; lines on those that it has not.

    Args:
        profile: ICC, if the result has one.
    """
    kept, lost = [], Lost()
    if result.resolution:
        size = struct.pack(">IIB", *(min(max(1, round(each * 1000)), 2**31 - 1) for each in result.resolution), 1)
    else:
        aspect = found.aspect or (1, 1)
        size = struct.pack(">IIB", *(aspect[::-1] if result.by.orientation >= 5 else aspect), 0)
    kept.append(Chunk(b"pHYs", size, False))
    if profile is not None:
        kept.append(Chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile), False))
    for chunk in found.chunks:
        if chunk.name in _KEPT or chunk.name in TEXTS:
            kept.append(chunk)
        elif chunk.name == b"cICP":
            kept.append(chunk._replace(data=chunk.data[:3] + b"\1"))  # libvips writes the whole range
        elif chunk.name in _CHANGED:
            data = _CHANGED[chunk.name](chunk.data, found, result)
            if data is None:
                lost.add_named("its chunk", printed(chunk.name), _ABOUT_PIXELS)
            else:
                kept.append(chunk._replace(data=data))
        elif chunk.name == _CREDENTIALS:
            lost.add(f"its content credentials ({printed(chunk.name)}) were", "they vouch for the original")
        elif chunk.name[3:].islower():  # "safe to copy"
            kept.append(chunk)
        else:
            lost.add_named("its chunk", printed(chunk.name), _ABOUT_PIXELS)
    if found.code and 2 not in found.code and not any(chunk.name == b"cICP" for chunk in kept):
        kept.append(Chunk(b"cICP", bytes([*found.code, 0, 1]), False))
    kept += [Chunk(b"tEXt", b"Comment\0" + text, False) for text in map(_latin, found.comments) if text is not None]
    kept += [
        Chunk(b"iTXt", b"Comment\0\0\0\0\0" + _as_utf8(text), False)
        for text in found.comments
        if _latin(text) is None
    ]  # fmt: skip
    return kept, lost.lines()


def _latin(text):
    """A comment for tEXt, or None if it is of other letters."""
    try:
        return text.decode().encode("latin-1").replace(b"\0", b"")
    except UnicodeError:
        return None


def _as_utf8(text):
    try:
        return text.decode().replace("\0", "").encode()
    except UnicodeDecodeError:
        return text.decode("latin-1").replace("\0", "").encode()


def iptc_chunk(data: bytes) -> Chunk:
    """IPTC as ImageMagick writes it and others read it."""
    digits = data.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = f"\niptc\n{len(data):8d}\n{lines}\n".encode()
    return Chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text), False)


def texts_of(found: Inventory) -> list[str]:
    """Keywords of the texts."""
    return [
        one_line(chunk.data.partition(b"\0")[0].decode("latin-1")) for chunk in found.chunks if chunk.name in TEXTS
    ]  # fmt: skip


def names_without_texts(found: Inventory) -> list[str]:
    """Names of the chunks that only a PNG can hold, without colours and without what no result needs."""
    passed = (*TEXTS, b"sRGB", b"gAMA", b"cHRM", b"cICP", b"sBIT", b"bKGD")
    return list(dict.fromkeys(printed(chunk.name) for chunk in found.chunks if chunk.name not in passed))


def packed(name: bytes, data: bytes) -> bytes:
    """A chunk as it is in a file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _significant_bits(data, found, result):
    return bytes([result.depth]) * (result.bands + result.alpha)


def _background_for(data, found, result):
    *colour, depth = struct.unpack(">4H", data)
    colour = [round(min(value, 2**depth - 1) * (2**result.depth - 1) / (2**depth - 1)) for value in colour]
    if result.bands == 3:
        return struct.pack(">3H", *colour)
    return struct.pack(">H", colour[0]) if colour[0] == colour[1] == colour[2] else None


def _offset(data, found, result):
    across, down, unit = struct.unpack(">iiB", data)
    if result.by.orientation != 1:
        return None
    if unit == 0:
        across, down = round(across * result.by.across), round(down * result.by.down)
    return struct.pack(">iiB", across, down, unit) if max(abs(across), abs(down)) < 2**31 else None


def _scale(data, found, result):
    """The size of a pixel in the world, which is smaller now."""
    unit, (across, _, down) = data[:1], data[1:].partition(b"\0")
    number = re.compile(rb"\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?")
    if not number.fullmatch(across) or not number.fullmatch(down):
        return None
    sizes = [float(across), float(down)]
    sizes = sizes[::-1] if result.by.orientation >= 5 else sizes
    sizes = [size / factor for size, factor in zip(sizes, (result.by.across, result.by.down), strict=True)]
    return unit + b"\0".join(f"{size:.10g}".encode() for size in sizes)


def _calibration(data, found, result):
    """Keeps the meaning of pixel values if their number of bits stays."""
    return data if found.header is not None and found.header[2] == result.depth and found.header[3] != 3 else None


_CHANGED = {
    b"sBIT": _significant_bits, b"bKGD": _background_for, b"oFFs": _offset, b"sCAL": _scale, b"pCAL": _calibration,
}  # fmt: skip
