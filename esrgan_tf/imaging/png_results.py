"""The chunks of a PNG result, and the names of original chunks that other formats cannot hold."""

import re
import struct
import zlib

from esrgan_tf.imaging.inventory import Chunk, Inventory, Lost, Result
from esrgan_tf.imaging.png_chunks import TEXTS, printable_name, printable_text

_KEPT = (b"sRGB", b"gAMA", b"cHRM", b"tIME", b"sPLT", b"mDCV", b"cLLI")
_CREDENTIALS = b"caBX"
_ABOUT_PIXELS = "of the original's pixels only"


def make_chunks(found: Inventory, result: Result, profile: bytes | None) -> tuple[list[Chunk], list[str]]:
    """Returns the chunks of a result, except EXIF and XMP, and lines on lost chunks.

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
            kept.append(chunk._replace(data=chunk.data[:3] + b"\1"))  # libvips writes full-range values
        elif chunk.name in _ADJUSTERS:
            data = _ADJUSTERS[chunk.name](chunk.data, found, result)
            if data is None:
                lost.add_named("its chunk", printable_name(chunk.name), _ABOUT_PIXELS)
            else:
                kept.append(chunk._replace(data=data))
        elif chunk.name == _CREDENTIALS:
            lost.add(f"its content credentials ({printable_name(chunk.name)}) were", "they vouch for the original")
        elif chunk.name[3:].islower():  # "safe to copy"
            kept.append(chunk)
        else:
            lost.add_named("its chunk", printable_name(chunk.name), _ABOUT_PIXELS)
    if found.code and 2 not in found.code and not any(chunk.name == b"cICP" for chunk in kept):
        kept.append(Chunk(b"cICP", bytes([*found.code, 0, 1]), False))
    kept += [
        Chunk(b"tEXt", b"Comment\0" + text, False) for text in map(_encode_latin, found.comments) if text is not None
    ]
    kept += [
        Chunk(b"iTXt", b"Comment\0\0\0\0\0" + _encode_utf8(text), False)
        for text in found.comments
        if _encode_latin(text) is None
    ]  # fmt: skip
    return kept, lost.lines()


def _encode_latin(text):
    """Encodes a comment for tEXt; None if Latin-1 cannot encode it."""
    try:
        return text.decode().encode("latin-1").replace(b"\0", b"")
    except UnicodeError:
        return None


def _encode_utf8(text):
    try:
        return text.decode().replace("\0", "").encode()
    except UnicodeDecodeError:
        return text.decode("latin-1").replace("\0", "").encode()


def make_iptc_chunk(data: bytes) -> Chunk:
    """Encodes IPTC in the form of ImageMagick, which other programs read."""
    digits = data.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = f"\niptc\n{len(data):8d}\n{lines}\n".encode()
    return Chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text), False)


def text_keywords(found: Inventory) -> list[str]:
    """The keywords of the texts."""
    return [
        printable_text(chunk.data.partition(b"\0")[0].decode("latin-1"))
        for chunk in found.chunks
        if chunk.name in TEXTS
    ]  # fmt: skip


def png_only_names(found: Inventory) -> list[str]:
    """The names of chunks that only a PNG can hold, except texts, colours and chunks that no result needs."""
    excluded = (*TEXTS, b"sRGB", b"gAMA", b"cHRM", b"cICP", b"sBIT", b"bKGD")
    return list(dict.fromkeys(printable_name(chunk.name) for chunk in found.chunks if chunk.name not in excluded))


def encode_chunk(name: bytes, data: bytes) -> bytes:
    """Encodes a chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _set_significant_bits(data, found, result):
    return bytes([result.depth]) * (result.bands + result.alpha)


def _convert_background(data, found, result):
    *colour, depth = struct.unpack(">4H", data)
    colour = [round(min(value, 2**depth - 1) * (2**result.depth - 1) / (2**depth - 1)) for value in colour]
    if result.bands == 3:
        return struct.pack(">3H", *colour)
    return struct.pack(">H", colour[0]) if colour[0] == colour[1] == colour[2] else None


def _scale_offset(data, found, result):
    across, down, unit = struct.unpack(">iiB", data)
    if result.by.orientation != 1:
        return None
    if unit == 0:
        across, down = round(across * result.by.across), round(down * result.by.down)
    return struct.pack(">iiB", across, down, unit) if max(abs(across), abs(down)) < 2**31 else None


def _scale_pixel_size(data, found, result):
    """Divides the physical size of a pixel by the scale."""
    unit, (across, _, down) = data[:1], data[1:].partition(b"\0")
    number = re.compile(rb"\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?")
    if not number.fullmatch(across) or not number.fullmatch(down):
        return None
    sizes = [float(across), float(down)]
    sizes = sizes[::-1] if result.by.orientation >= 5 else sizes
    sizes = [size / factor for size, factor in zip(sizes, (result.by.across, result.by.down), strict=True)]
    return unit + b"\0".join(f"{size:.10g}".encode() for size in sizes)


def _keep_calibration(data, found, result):
    """Keeps the calibration of pixel values if the bit depth stays the same."""
    return data if found.header is not None and found.header[2] == result.depth and found.header[3] != 3 else None


_ADJUSTERS = {
    b"sBIT": _set_significant_bits, b"bKGD": _convert_background, b"oFFs": _scale_offset, b"sCAL": _scale_pixel_size,
    b"pCAL": _keep_calibration,
}  # fmt: skip
