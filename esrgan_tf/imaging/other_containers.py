"""What WebP, GIF and AVIF or HEIC files hold besides their pixels."""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from esrgan_tf.imaging.inventory import Inventory

_MAX_BOX = 2**24
_WEBP_PIXELS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_FURTHER = {
    "gain map": (b"tmap", b"aux:hdrgainmap", b"urn:iso:std:iso:ts:21496"),
    "depth map": (b"urn:mpeg:hevc:2015:auxid:2", b"auxiliary:depth", b"aux:portraiteffectsmatte", b"aux:disparity"),
}


def read_webp(file: BinaryIO, found: Inventory) -> None:
    """Lists the chunks of a WebP."""
    end, at = file.seek(0, io.SEEK_END), 12
    for _ in range(20_000):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        name, length = struct.unpack("<4sI", head)
        start, at = at + 8, at + 8 + length + length % 2
        if name in _WEBP_PIXELS:
            continue
        if start + length > end or not found.takes(length):
            break
        data = file.read(length)
        if name == b"ICCP":
            found.icc = found.icc or data
        elif name == b"EXIF":
            found.exif = found.exif or data.removeprefix(b"Exif\0\0")
        elif name == b"XMP ":
            found.xmp = found.xmp or data
        elif name == b"C2PA":
            found.lost.add("its content credentials (C2PA) were", "they vouch for the original")
        else:
            shown = name.decode("latin-1").strip()
            found.lost.add_named("its WebP chunk", shown if shown.isprintable() else "?", "its meaning is unknown")
    found.lost.add("the rest of its metadata was", "the file is damaged")


def read_gif(file: BinaryIO, found: Inventory) -> None:
    """Finds comments and XMP among the blocks of a GIF."""
    file.seek(10)
    flags = (file.read(1) or b"\0")[0]
    file.seek(13 + (3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0))
    while (block := file.read(1)) and block in b"\x21\x2c":
        label = file.read(1) if block == b"\x21" else b""
        if block == b"\x2c":
            flags = (file.read(9) or b"\0")[-1]
            file.seek(1 + (3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0), io.SEEK_CUR)
        parts: list[bytes] = []
        while (length := (file.read(1) or b"\0")[0]) != 0:
            wanted = label == b"\xfe" or (label == b"\xff" and (not parts or parts[0] == b"XMP DataXMP"))
            data = file.read(length)
            if wanted and found.takes(length + 1):
                parts += [data] if not parts else [bytes([length]), data]
        if label == b"\xfe" and parts:
            found.comments.append(b"".join(parts[::2]))
        elif label == b"\xff" and parts[:1] == [b"XMP DataXMP"]:
            # The lengths are bytes of the packet, and those after it count down.
            found.xmp = b"".join(parts[1:]).partition(b"\x01\xff\xfe")[0]


def read_heif(file: BinaryIO, found: Inventory) -> None:
    """Finds the colours of an AVIF or HEIC, and whether there is more than its picture."""
    end, at = file.seek(0, io.SEEK_END), 0
    for _ in range(1000):
        file.seek(at)
        head = file.read(16).ljust(16, b"\0")
        size, name = struct.unpack(">I4s", head[:8])
        start = at + (16 if size == 1 else 8)
        size = int.from_bytes(head[8:], "big") if size == 1 else size or end - at
        if size < 8 or at + size > end:
            return
        file.seek(start)
        if name == b"uuid" and file.read(16) == _CREDENTIALS:
            found.lost.add("its content credentials were", "they vouch for the original")
        elif name == b"meta" and size < _MAX_BOX:
            _read_meta(file.read(at + size - start), found)
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
    colours = [
        content
        for number, (name, content) in enumerate(properties, 1)
        if name == b"colr" and number in _properties_of(primary, associations)
    ]
    # A profile comes before a code.
    codes = [content for content in colours if content[:4] == b"nclx" and len(content) >= 11]
    if codes and not any(content[:4] in (b"prof", b"rICC") for content in colours):
        code = struct.unpack(">HH", codes[0][4:8])
        found.code = code if max(code) < 256 else None


def _properties_of(item, data):
    """The numbers of an item's properties, by the box ipma."""
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
    """`(name, where its content begins, its end)`."""
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            return
        yield name, at + 8, at + size
        at += size
