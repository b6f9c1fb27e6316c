"""The chunks of a PNG, as its specification (third edition) defines them."""

import io
import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from esrgan_tf.imaging import colour_profiles
from esrgan_tf.imaging.inventory import MAX, Chunk, Inventory
from esrgan_tf.imaging.resolution import opened, png_chunks

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ONCE = {b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"bKGD", b"hIST", b"pHYs", b"tIME", b"eXIf", b"oFFs",
         b"pCAL", b"sCAL", b"sTER", b"mDCV", b"cLLI"}  # fmt: skip
_BEFORE = _ONCE - {b"tIME", b"eXIf"} | {b"sPLT"}
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"pHYs": 9, b"tIME": 7, b"oFFs": 9, b"mDCV": 24,
            b"cLLI": 8}  # fmt: skip
_XMP = b"XML:com.adobe.xmp"
_MAX_CHUNKS = 20_000
_MAX_PACKED = 2**16  # bytes of packed texts; deflate makes at most a thousand times as much of them
_DAMAGED = "it is damaged"
_RAW = re.compile(rb"\s*[\w:.-]+\s+(\d+)\s+([0-9a-fA-F\s]*)")


def without_texts(source: Path | bytes) -> bytes | None:
    """A PNG without texts, if they are so many that unpacking them may take gigabytes, as libvips does; else None."""
    with opened(source) as file:
        chunks = list(png_chunks(file))
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
    """Lists the chunks, from the first to the last; the pixels are passed over."""
    end = file.seek(0, io.SEEK_END)
    at, behind, palette, seen, number = 8, False, b"", set(), 0
    raws: dict[bytes, bytes] = {}
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            break
        length, name = struct.unpack(">I4s", head)
        at += 12 + length
        if name == b"IDAT":
            behind = True
            continue
        if name == b"IEND":
            file.seek(at)
            found.note_rest(file.read(2**20))
            break
        if at > end:
            found.lost.add("the rest of its metadata was", "the file is damaged")
            break
        if name in (b"tRNS", b"acTL", b"fcTL"):  # transparency, and an animation of one frame
            continue
        number += 1
        if number > _MAX_CHUNKS or not found.takes(length):
            found.lost.add("the rest of its metadata was", "it is too much")
            break
        data, crc = file.read(length), file.read(4)
        if name == b"IHDR":
            found.header = struct.unpack(">IIBB", data[:10].ljust(10, b"\0"))
        elif name == b"PLTE":
            palette = data
        elif zlib.crc32(name + data) != int.from_bytes(crc, "big") or not _is_ancillary(name):
            _damaged(found, name)
        elif name in _ONCE and name in seen:
            found.lost.add_named("its second chunk", printed(name), "a PNG has one")
        elif name in _BEFORE and behind:
            found.lost.add_named("its chunk", printed(name), "after the pixels it has no effect")
        elif len(data) != _LENGTHS.get(name, len(data)):
            _damaged(found, name)
        else:
            seen.add(name)
            _take(Chunk(name, data, behind), found, raws, palette)
    _take_raws(raws, found)


def _is_ancillary(name):
    """Whether it may be passed over by programs that do not know it; the third letter is always a capital."""
    return name.isalpha() and name[:1].islower() and name[2:3].isupper()


def _damaged(found, name):
    found.lost.add_named("its chunk", printed(name), _DAMAGED)


def printed(name: bytes) -> str:
    """A chunk's name for a line."""
    return name.decode("latin-1").encode("ascii", "backslashreplace").decode()


def _take(chunk, found, raws, palette):
    name, data, _ = chunk
    if name == b"eXIf":
        found.exif = data.removeprefix(b"Exif\0\0")
    elif name == b"iCCP":
        profile = _unpacked(data.partition(b"\0")[2][1:], found)
        if profile is None:
            found.lost.add("its colour profile was", _DAMAGED)
        found.icc = profile
    elif name == b"gAMA":
        gamma = int.from_bytes(data, "big") / 100_000
        found.gamma = gamma if 0.01 < gamma < 100 else None
        if found.gamma is None:
            _damaged(found, name)
        else:
            found.chunks.append(chunk)
    elif name == b"cHRM":
        primaries = tuple(number / 100_000 for number in struct.unpack(">8I", data))
        if colour_profiles.plausible(primaries):
            found.primaries = primaries
            found.chunks.append(chunk)
        else:
            _damaged(found, name)
    elif name == b"cICP":
        if data[2:] not in (b"\0\0", b"\0\1"):  # another matrix than that of RGB
            _damaged(found, name)
        else:
            found.code = data[0], data[1]
            found.chunks.append(chunk)
    elif name == b"pHYs":
        across, down, unit = struct.unpack(">IIB", data)
        if unit != 1 and across != down and 0 < min(across, down) <= max(across, down) < 2**31:
            found.aspect = across, down
    elif name in TEXTS:
        _take_text(chunk, found, raws)
    elif name == b"bKGD":
        background = _background(data, found.header, palette)
        if background is None:
            _damaged(found, name)
        else:
            found.chunks.append(Chunk(name, background, False))
    else:
        found.chunks.append(chunk)


def _take_text(chunk, found, raws):
    keyword, mark, rest = chunk.data.partition(b"\0")
    text: bytes | None = rest
    if chunk.name == b"zTXt":
        text = _unpacked(rest[1:], found) if rest[:1] == b"\0" else None
    elif chunk.name == b"iTXt":
        parts = rest[2:].split(b"\0", 2)
        text = parts[2] if len(parts) == 3 and rest[:2] in (b"\0\0", b"\1\0") else None
        text = _unpacked(text, found) if text is not None and rest[0] else text
        if text is not None and not _is_utf8(text):
            text = None
    if text is None or not mark or not 1 <= len(keyword) <= 79:
        shown = keyword[:30].decode("latin-1") if mark else printed(chunk.name)
        found.lost.add_named("its PNG text", one_line(shown), f"{_DAMAGED} or too long")
    elif keyword == _XMP:  # in iTXt; some programs write the other kinds of text
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


def one_line(text: str) -> str:
    """A text without what is not printed."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _unpacked(data, found):
    """Deflated bytes; None if they are damaged, or more than an inventory takes."""
    packed, most = zlib.decompressobj(), min(found.unpack_budget, MAX // 4)
    if most <= 0:
        return None
    try:
        text = packed.decompress(data, most)
    except zlib.error:
        return None
    found.unpack_budget -= len(text)
    return text if packed.eof else None


def _take_raws(raws, found):
    """Reads metadata that ImageMagick writes as hexadecimal digits in texts."""
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


def _background(data, header, palette):
    """bKGD as red, green, blue and bits, whatever the type of colours."""
    if header is None:
        return None
    _, _, depth, kind = header
    if kind == 3:
        colour = palette[3 * data[0] : 3 * data[0] + 3] if len(data) == 1 else b""
        return struct.pack(">4H", *colour, 8) if len(colour) == 3 else None
    if kind in (0, 4):
        return struct.pack(">4H", *struct.unpack(">H", data) * 3, depth) if len(data) == 2 else None
    return data + struct.pack(">H", depth) if len(data) == 6 else None
