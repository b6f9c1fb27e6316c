"""Metadata of WebP, GIF, AVIF, HEIC, BMP and PNM files, and repair of truncated GIF and WebP files.

Sources are GIF89a and the WebP container specification.
"""

import io
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from esrgan_tf.errors import UserError
from esrgan_tf.imaging.inventory import Chunk, Inventory
from esrgan_tf.imaging.jpeg_structure import MISSING

_MAX_BOX = 2**24
_WEBP_PIXELS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_WEBP_METADATA = {b"ICCP": "colour profile", b"EXIF": "EXIF", b"XMP ": "XMP"}
_CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_GIF_XMP, _GIF_PROFILE = _GIF_METADATA = b"XMP DataXMP", b"ICCRGBG1012"
_HEIF_BOXES = (b"ftyp", b"mdat", b"free", b"skip", b"wide", b"idat", b"pdin", b"styp")
_FURTHER = {
    "gain map": (b"tmap", b"aux:hdrgainmap", b"urn:iso:std:iso:ts:21496"),
    "depth map": (b"urn:mpeg:hevc:2015:auxid:2", b"auxiliary:depth", b"aux:portraiteffectsmatte", b"aux:disparity"),
}


def read_webp(file: BinaryIO, found: Inventory) -> None:
    """Adds the chunks of a WebP to an inventory."""
    end, at = file.seek(0, io.SEEK_END), 12
    file.seek(4)
    stated = 8 + int.from_bytes(file.read(4), "little")
    seen: set[bytes] = set()
    for _ in range(20_000):
        file.seek(at)
        if at >= min(end, stated):
            found.note_rest(file.read(2**20))
            return
        head = file.read(8)
        if len(head) < 8:
            return
        name, length = struct.unpack("<4sI", head)
        start, at = at + 8, at + 8 + length + length % 2
        if name in _WEBP_PIXELS:
            continue
        if start + length > end or not found.spend(length):
            break
        data = file.read(length)
        if name in seen:
            found.lost.add(f"its second {_WEBP_METADATA[name]} was", "a WebP has one")
        elif name in _WEBP_METADATA:
            seen.add(name)
            if name == b"ICCP":
                found.icc = data
            elif name == b"EXIF":
                found.exif = data.removeprefix(b"Exif\0\0")
            else:
                found.xmp = data
        elif name == b"C2PA":
            found.lost.add("its content credentials (C2PA) were", "they vouch for the original")
        else:
            shown = name.decode("latin-1").strip()
            found.lost.add_named("its WebP chunk", shown if shown.isprintable() else "?", "its meaning is unknown")
    found.lost.add("the rest of its metadata was", "the file is damaged")


def read_gif(file: BinaryIO, found: Inventory) -> None:
    """Adds the blocks of a GIF to an inventory."""
    file.seek(10)
    flags, _, aspect = file.read(3).ljust(3, b"\0")
    if aspect and aspect + 15 != 64:
        found.aspect = 64, aspect + 15  # pixels are wider by (aspect + 15) / 64
    file.seek(13 + (3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0))
    while (block := file.read(1)) and block in b"\x21\x2c":
        label = file.read(1) if block == b"\x21" else b""
        if block == b"\x2c":
            flags = (file.read(9) or b"\0")[-1]
            file.seek(1 + (3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0), io.SEEK_CUR)
        parts: list[bytes] = []
        while (length := (file.read(1) or b"\0")[0]) != 0:
            wanted = label == b"\xfe" or (label == b"\xff" and (not parts or parts[0] in _GIF_METADATA))
            data = file.read(length)
            if wanted and found.spend(length + 1):
                parts += [data] if not parts else [bytes([length]), data]
        if label == b"\xfe" and parts:
            found.comments.append(b"".join(parts[::2]))
        elif label == b"\x01":
            found.lost.add("its GIF text was", "a result has no place for it")
        elif label == b"\xff" and parts[:1] == [_GIF_XMP]:
            # The lengths are bytes of the packet, and the bytes after the packet count down.
            found.xmp = b"".join(parts[1:]).partition(b"\x01\xff\xfe")[0]
        elif label == b"\xff" and parts[:1] == [_GIF_PROFILE]:
            found.icc = b"".join(parts[2::2])
        elif (
            label == b"\xff" and parts and parts[0][:8] not in (b"NETSCAPE", b"ANIMEXTS")
        ):  # both contain the number of repetitions
            name = parts[0].decode("latin-1")
            found.lost.add_named("its GIF block", name if name.isprintable() else "?", "its meaning is unknown")
    if block == b";":
        found.note_rest(file.read(2**20))


def read_heif(file: BinaryIO, found: Inventory) -> None:
    """Finds the colour code of an AVIF or HEIC, and contents besides its picture."""
    end, at = file.seek(0, io.SEEK_END), 0
    for _ in range(1000):
        file.seek(at)
        head = file.read(16).ljust(16, b"\0")
        size, name = struct.unpack(">I4s", head[:8])
        start = at + (16 if size == 1 else 8)
        size = int.from_bytes(head[8:], "big") if size == 1 else size or end - at
        file.seek(start)
        if size < 8 or at + size > end:
            file.seek(at)
            found.note_rest(file.read(2**20))
            return
        if name == b"uuid" and file.read(16) == _CREDENTIALS:
            found.lost.add("its content credentials were", "they vouch for the original")
        elif name == b"meta" and size < _MAX_BOX:
            _read_meta(file.read(at + size - start), found)
        elif name in (b"moov", b"mpvd"):
            found.about.add("video")
        elif name == b"sefd":
            found.note_rest(file.read(min(size, 2**20)))
        elif name not in (*_HEIF_BOXES, b"meta"):
            shown = name.decode("latin-1").strip()
            found.lost.add_named("its box", shown if shown.isprintable() else "?", "its meaning is unknown")
        at += size


def _read_meta(data, found):
    for what, marks in _FURTHER.items():
        if any(mark in data for mark in marks):
            found.about.add(what)
    properties, primary, associations = [], None, b""
    for name, start, end in _boxes(data, 4):
        if name == b"pitm":
            primary = int.from_bytes(data[start + 4 : start + (6 if data[start : start + 1] == b"\0" else 8)], "big")
        elif name == b"iprp":
            for inner, first, last in _boxes(data[:end], start):
                if inner == b"ipco":
                    properties = [(kind, data[a:b]) for kind, a, b in _boxes(data[:last], first)]
                elif inner == b"ipma":
                    associations = data[first:last]
    numbers = _properties_of(primary, associations)
    used = [each for number, each in enumerate(properties, 1) if number in numbers]
    for name, content in used:
        if name == b"clli" and len(content) == 4:  # in cd/m^2; PNG's unit is 0.0001 cd/m^2
            levels = (10_000 * level for level in struct.unpack(">HH", content))
            found.chunks.append(Chunk(b"cLLI", struct.pack(">II", *levels), False))
        elif name == b"mdcv" and len(content) == 24:  # from green, blue, red to red, green, blue
            found.chunks.append(Chunk(b"mDCV", content[8:12] + content[:8] + content[12:], False))
    colours = [content for name, content in used if name == b"colr"]
    # A profile has priority over a code.
    codes = [content for content in colours if content[:4] == b"nclx" and len(content) >= 11]
    if codes and not any(content[:4] in (b"prof", b"rICC") for content in colours):
        code = struct.unpack(">HH", codes[0][4:8])
        found.code = code if max(code) < 256 else None


def _properties_of(item, data):
    """Reads the numbers of an item's properties in a box `ipma`."""
    if len(data) < 8:
        return set()
    version, wide = data[0], data[3] & 1
    at, size = 8, 4 if version else 2
    for _ in range(min(int.from_bytes(data[4:8], "big"), 65536)):
        if at + size >= len(data):
            break
        number, count = int.from_bytes(data[at : at + size], "big"), data[at + size]
        at += size + 1
        step = 2 if wide else 1
        if number == item:
            mask = 0x7FFF if wide else 0x7F
            return {int.from_bytes(data[i : i + step], "big") & mask for i in range(at, at + count * step, step)}
        at += count * step
    return set()


def _boxes(data, at) -> Iterator[tuple[bytes, int, int]]:
    """Yields `(name, start of its content, end)` per box."""
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            return
        yield name, at + 8, at + size
        at += size


def read_bmp(file: BinaryIO, found: Inventory) -> None:
    """Finds the colour profile of a BMP of version 5."""
    file.seek(14)
    header = file.read(124).ljust(124, b"\0")
    kind, (start, size) = header[56:60], struct.unpack("<II", header[112:120])
    if int.from_bytes(header[:4], "little") < 124 or kind not in (b"DEBM", b"KNIL"):
        return
    file.seek(14 + start)
    if kind == b"KNIL":  # "LINK" in little-endian order
        found.lost.add("its colour profile was", "it is in another file")
    elif found.spend(size):
        found.icc = file.read(size)


def read_pnm(file: BinaryIO, found: Inventory) -> None:
    """Finds the comments in the header of a PNM."""
    file.seek(0)
    header = read_pnm_header(file.read(2**16))
    comments = [] if header is None else re.findall(rb"#([^\r\n]*)", header[0])
    found.comments += [comment.strip() for comment in comments if comment.strip()]


def read_pnm_header(head: bytes) -> re.Match | None:
    """Matches a header up to its last number; None if it is longer than `head`, or damaged.

    The groups are width, height, and the largest value, which PBM does not have.
    """
    number = rb"(?:\s|#[^\r\n]*[\r\n])+(\d+)"
    return re.match(rb"P[1-6]" + number * (2 if head[1:2] in b"14" else 3), head)


def repair_gif(data: bytes) -> bytes:
    """Adds the ends of the last block and of the file, which are single bytes."""
    return data + b"\0;"


def repair_webp(data: bytes) -> bytes:
    """Puts the complete chunks into a new container.

    Raises:
        UserError: no chunk with pixels is complete.
    """
    chunks, at = {}, 12
    while at + 8 <= len(data):
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > len(data):
            break
        chunks[at] = name, data[at : at + 8 + length] + b"\0" * (length % 2)
        at += 8 + length + length % 2
    if not any(name in (b"VP8 ", b"VP8L") for name, _ in chunks.values()):
        raise UserError(MISSING)
    body = b"WEBP" + b"".join(chunk for _, chunk in chunks.values())
    return b"RIFF" + struct.pack("<I", len(body)) + body
