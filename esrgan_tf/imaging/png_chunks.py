"""The metadata chunks of a PNG, by the PNG specification, third edition."""

import io
import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from esrgan_tf.imaging import colour_profiles
from esrgan_tf.imaging.inventory import MAX, Chunk, Inventory
from esrgan_tf.imaging.png_structure import read_chunk_heads, read_heads_before_pixels
from esrgan_tf.imaging.resolution import open_source

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ONCE = {b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"bKGD", b"hIST", b"pHYs", b"tIME", b"eXIf", b"oFFs",
         b"pCAL", b"sCAL", b"sTER", b"mDCV", b"cLLI"}  # fmt: skip
_BEFORE = _ONCE - {b"tIME", b"eXIf"} | {b"sPLT"}
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"pHYs": 9, b"tIME": 7, b"oFFs": 9, b"mDCV": 24,
            b"cLLI": 8}  # fmt: skip
_XMP = b"XML:com.adobe.xmp"
_MAX_CHUNKS = 20_000
_MAX_PACKED = 2**16  # bytes of compressed texts; they unpack to at most a thousand times as many
_DAMAGED = "it is damaged"
_RAW = re.compile(rb"\s*[\w:.-]+\s+(\d+)\s+([0-9a-fA-F\s]*)")


def remove_large_texts(source: Path | bytes) -> bytes | None:
    """Removes the texts of a PNG if libvips may need gigabytes to unpack them; None if not."""
    with open_source(source) as file:
        chunks = list(read_heads_before_pixels(file))
        if sum(length for name, _, length in chunks if name in (b"zTXt", b"iTXt")) <= _MAX_PACKED:
            return None
        file.seek(0)
        data = file.read()
    parts, last = [], 0
    for name, at, length in chunks:
        if name in TEXTS:
            parts.append(data[last : at - 8])
            last = at + length + 4
    return b"".join([*parts, data[last:]])


def read(file: BinaryIO, found: Inventory) -> None:
    """Adds the chunks of a PNG to an inventory, except the pixels."""
    end = file.seek(0, io.SEEK_END)
    after_pixels, palette, seen, number = False, b"", set(), 0
    raws: dict[bytes, bytes] = {}
    for name, start, length in read_chunk_heads(file):
        if name == b"IDAT":
            after_pixels = True
            continue
        if name == b"IEND":
            file.seek(start + length + 4)
            found.note_rest(file.read(2**20))
            break
        if start + length + 4 > end:
            found.lost.add("the rest of its metadata was", "the file is damaged")
            break
        if name in (b"tRNS", b"acTL", b"fcTL"):  # transparency, and an animation of one frame
            continue
        number += 1
        if number > _MAX_CHUNKS or not found.spend(length):
            found.lost.add("the rest of its metadata was", "it is too much")
            break
        data, crc = file.read(length), file.read(4)
        if name == b"IHDR":
            found.header = struct.unpack(">IIBB", data[:10].ljust(10, b"\0"))
        elif name == b"PLTE":
            palette = data
        elif zlib.crc32(name + data) != int.from_bytes(crc, "big") or not _is_ancillary(name):
            _add_damaged(found, name)
        elif name in _ONCE and name in seen:
            found.lost.add_named("its second chunk", printable_name(name), "a PNG has one")
        elif name in _BEFORE and after_pixels:
            found.lost.add_named("its chunk", printable_name(name), "after the pixels it has no effect")
        elif len(data) != _LENGTHS.get(name, len(data)):
            _add_damaged(found, name)
        else:
            seen.add(name)
            _add_chunk(Chunk(name, data, after_pixels), found, raws, palette)
    _add_raw_profiles(raws, found)


def _is_ancillary(name):
    """Whether readers may ignore a chunk that they do not support; the third letter is always a capital."""
    return name.isalpha() and name[:1].islower() and name[2:3].isupper()


def _add_damaged(found, name):
    found.lost.add_named("its chunk", printable_name(name), _DAMAGED)


def printable_name(name: bytes) -> str:
    """Converts a chunk's name to printable characters."""
    return name.decode("latin-1").encode("ascii", "backslashreplace").decode()


def _add_chunk(chunk, found, raws, palette):
    name, data, _ = chunk
    if name == b"eXIf":
        found.exif = data.removeprefix(b"Exif\0\0")
    elif name == b"iCCP":
        profile = _unpack(data.partition(b"\0")[2][1:], found)
        if profile is None:
            found.lost.add("its colour profile was", _DAMAGED)
        found.icc = profile
    elif name == b"gAMA":
        gamma = int.from_bytes(data, "big") / 100_000
        found.gamma = gamma if 0.01 < gamma < 100 else None
        if found.gamma is None:
            _add_damaged(found, name)
        else:
            found.chunks.append(chunk)
    elif name == b"cHRM":
        primaries = tuple(number / 100_000 for number in struct.unpack(">8I", data))
        if colour_profiles.is_plausible(primaries):
            found.primaries = primaries
            found.chunks.append(chunk)
        else:
            _add_damaged(found, name)
    elif name == b"cICP":
        if data[2:] not in (b"\0\0", b"\0\1"):  # another matrix than that of RGB
            _add_damaged(found, name)
        else:
            found.code = data[0], data[1]
            found.chunks.append(chunk)
    elif name == b"pHYs":
        across, down, unit = struct.unpack(">IIB", data)
        if unit != 1 and across != down and 0 < min(across, down) <= max(across, down) < 2**31:
            found.aspect = across, down
    elif name in TEXTS:
        _add_text(chunk, found, raws)
    elif name == b"bKGD":
        background = _parse_background(data, found.header, palette)
        if background is None:
            _add_damaged(found, name)
        else:
            found.chunks.append(Chunk(name, background, False))
    else:
        found.chunks.append(chunk)


def _add_text(chunk, found, raws):
    keyword, mark, rest = chunk.data.partition(b"\0")
    text: bytes | None = rest
    if chunk.name == b"zTXt":
        text = _unpack(rest[1:], found) if rest[:1] == b"\0" else None
    elif chunk.name == b"iTXt":
        parts = rest[2:].split(b"\0", 2)
        text = parts[2] if len(parts) == 3 and rest[:2] in (b"\0\0", b"\1\0") else None
        text = _unpack(text, found) if text is not None and rest[0] else text
        if text is not None and not _is_utf8(text):
            text = None
    if text is None or not mark or not 1 <= len(keyword) <= 79:
        shown = keyword[:30].decode("latin-1") if mark else printable_name(chunk.name)
        found.lost.add_named("its PNG text", printable_text(shown), f"{_DAMAGED} or too long")
    elif keyword == _XMP:  # usually iTXt; some programs write tEXt or zTXt
        if found.xmp is None:
            found.xmp = text
        else:
            found.lost.add("its second XMP was", "a PNG has one")
    elif keyword.startswith(b"Raw profile type ") and keyword[17:].lower() in (b"exif", b"app1", b"iptc", b"xmp"):
        raws.setdefault(keyword[17:].lower(), text)
    else:
        found.chunks.append(chunk)


def _is_utf8(text):
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def printable_text(text: str) -> str:
    """Replaces characters that cannot be printed."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _unpack(data, found):
    """Inflates bytes; None if they are damaged, or exceed the budget of an inventory."""
    packed, most = zlib.decompressobj(), min(found.unpack_budget, MAX // 4)
    if most <= 0:
        return None
    try:
        text = packed.decompress(data, most)
    except zlib.error:
        return None
    found.unpack_budget -= len(text)
    return text if packed.eof else None


def _add_raw_profiles(raws, found):
    """Adds metadata that ImageMagick writes as hexadecimal digits in texts."""
    from esrgan_tf.imaging.jpeg_segments import iptc_of
    from esrgan_tf.imaging.xmp import STANDARD

    for name, text in raws.items():
        digits = _RAW.fullmatch(text)
        try:
            data = bytes.fromhex(digits[2].decode()) if digits else b""
        except ValueError:
            data = b""
        if not data:
            found.lost.add_named("its PNG text", f"Raw profile type {name.decode()}", _DAMAGED)
        elif name == b"iptc":
            found.iptc = found.iptc or iptc_of(data, found) or data
        elif name == b"xmp" or data.startswith(STANDARD):
            found.xmp = found.xmp or data.removeprefix(STANDARD)
        else:
            found.exif = found.exif or data.removeprefix(b"Exif\0\0")


def _parse_background(data, header, palette):
    """Converts bKGD of any colour type to red, green, blue and bit depth."""
    if header is None:
        return None
    _, _, depth, kind = header
    if kind == 3:
        colour = palette[3 * data[0] : 3 * data[0] + 3] if len(data) == 1 else b""
        return struct.pack(">4H", *colour, 8) if len(colour) == 3 else None
    if kind in (0, 4):
        return struct.pack(">4H", *struct.unpack(">H", data) * 3, depth) if len(data) == 2 else None
    return data + struct.pack(">H", depth) if len(data) == 6 else None
