"""The metadata segments of JPEG files: read from originals, made for results."""

import hashlib
import io
import re
import struct
from typing import BinaryIO

from esrgan_tf.imaging import xmp
from esrgan_tf.imaging.inventory import Inventory, Lost, Result
from esrgan_tf.imaging.jpeg_structure import EOI, read_segments
from esrgan_tf.imaging.tiff_tags import form_of, read_directory

_EXIF, _ICC, _PHOTOSHOP = b"Exif\0\0", b"ICC_PROFILE\0", b"Photoshop 3.0\0"
_ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\0"
_GAIN_MAPS = (b"hdrgm", b"HDRGainMap", b"hdrgainmap", _ISO_GAIN_MAP)
_PICTURE = re.compile(rb"\0*\xff\xd8\xff")  # zeros may come before it
_IPTC = 0x0404
# Photoshop resources that are dropped silently. A result has IPTC, resolution, profile, EXIF and XMP in another form,
# and needs neither thumbnails nor settings of printing, encoding and display.
_DROPPED = {_IPTC, 0x0425, 0x0409, 0x040C, 0x040F, 0x0422, 0x0423, 0x0424, *range(0x03E8, 0x0408), 0x040D, 0x0411,
              *range(0x0413, 0x041C), 0x041E, 0x0421, 0x0426, 0x0428, *range(0x0435, 0x043E), 0x2710}  # fmt: skip
MAX = 65533
_MAX_EXIF = MAX - len(_EXIF)


def read(file: BinaryIO, found: Inventory) -> None:
    """Adds the segments of a JPEG to an inventory, and notes the bytes after the end marker."""
    profiles: dict[int, bytes] = {}
    extensions: dict[bytes, dict[int, bytes]] = {}
    photoshop, exif = b"", list[bytes]()
    listed: set[int] = set()
    file.seek(0)
    content = file.read()
    for marker, at, end, _ in read_segments(content):
        if marker == EOI:
            _read_rest(content, at, listed, found)
            break
        if end < at or end > len(content):
            found.lost.add("the rest of its metadata was", "the file is damaged")
            break
        if marker != 0xFE and not 0xE0 <= marker <= 0xEF:
            continue
        if not found.spend(end - at):
            found.lost.add("the rest of its metadata was", "it is too much")
            break
        data = content[at:end]
        if marker == 0xFE:
            found.comments.append(data)
        elif marker == 0xE0 and data[:5] == b"JFIF\0":
            across, down = struct.unpack(">HH", data[8:12].ljust(4, b"\0"))
            if data[7:8] == b"\0" and across != down and min(across, down):
                found.aspect = across, down
        elif marker == 0xE1 and data.startswith(_EXIF[:5]):  # some cameras write FF as the sixth byte
            data = data[len(_EXIF) :]
            if exif and len(exif[-1]) < 60_000 and data[:4] in (b"II*\0", b"MM\0*"):  # it is no continuation
                found.lost.add("its second EXIF was", "a JPEG has one")
            else:
                exif.append(data)
        elif marker == 0xE1 and data.startswith(xmp.STANDARD):
            if found.xmp is None:
                found.xmp = data[len(xmp.STANDARD) :]
            else:
                found.lost.add("its second XMP was", "a JPEG has one")
        elif marker == 0xE1 and data.startswith(xmp.EXTENDED):
            name, rest = data[len(xmp.EXTENDED) :][:32].upper(), data[len(xmp.EXTENDED) + 32 :]
            if len(rest) > 8:
                extensions.setdefault(name, {})[int.from_bytes(rest[4:8], "big")] = rest[8:]
        elif marker == 0xE2 and data.startswith(_ICC):
            profiles.setdefault(data[len(_ICC) : len(_ICC) + 1][0] if len(data) > len(_ICC) else 0, data[14:])
        elif marker == 0xE2 and data.startswith(b"MPF\0"):
            listed |= _read_picture_list(content, at + 4, data[4:], found)
        elif marker == 0xE2 and data.startswith(_ISO_GAIN_MAP):
            found.about.add("gain map")
        elif marker == 0xED and data.startswith(_PHOTOSHOP):
            photoshop += data[len(_PHOTOSHOP) :]
        elif marker == 0xEB and b"jumb" in data[:32]:
            found.lost.add("its content credentials (APP11) were", "they vouch for the original")
        elif not _is_about_coding(marker, data):
            title = data[:40].partition(b"\0")[0].decode("latin-1")
            shown = f" ({title})" if title.isascii() and title.isprintable() and title else ""
            found.lost.add_named("its JPEG segment", f"APP{marker - 0xE0}{shown}", "its meaning is unknown")
    found.exif = b"".join(exif) or None
    found.icc = b"".join(profiles[number] for number in sorted(profiles)) if profiles else None
    found.iptc = iptc_of(photoshop, found)
    _merge_extension(found, extensions)


def _is_about_coding(marker, data):
    """Whether a segment is a thumbnail of JFIF, or a note of an encoder on its settings."""
    return (
        (marker == 0xE0 and data[:5] in (b"JFXX\0", b"AVI1\0"))
        or (marker == 0xEE and data[:5] == b"Adobe")
        or (marker == 0xEC and data[:5] == b"Ducky")
    )


def _read_picture_list(content, base, data, found):
    """Reads CIPA's multi-picture format, and returns the positions of the pictures that it lists."""
    try:
        form, at = form_of(data[:16].ljust(16, b"\0"))
        tags, _, _ = read_directory(io.BytesIO(data), at, form)
    except ValueError:
        found.lost.add("its list of further pictures (MPF) was", "it is damaged")
        return set()
    table = tags[0xB002].data if 0xB002 in tags else b""
    listed = set()
    for entry in range(16, min(len(table), 16 * 64) - 15, 16):
        attribute, _, start = struct.unpack_from(f"{form.order}III", table, entry)
        if content[base + start : base + start + 2] != b"\xff\xd8":  # an editor removed or moved the picture
            continue
        listed.add(base + start)
        if attribute & 0xFFFFFF not in (0x010001, 0x010002):  # not a preview of the main picture
            _note_picture(content[base + start :][: 2**16], attribute & 0xFFFFFF == 0x020002, found)
    return listed


def _note_picture(head, is_depth, found):
    if any(mark in head for mark in _GAIN_MAPS) or "gain map" in found.about:
        found.about.add("gain map")
    elif is_depth or b"Disparity" in head:
        found.about.add("depth map")
    else:
        found.about.add("further pictures")


def _read_rest(content, at, listed, found):
    """Notes the contents of the bytes after the end marker: pictures, a video, or the trailer of Samsung's cameras."""
    while picture := _PICTURE.match(content, at):
        at = picture.end() - 3
        if at not in listed:
            _note_picture(content[at : at + 2**16], False, found)
        rest = content[at:]
        at += next((end for marker, _, end, _ in read_segments(rest) if marker == EOI), len(rest))
    found.note_rest(content[at:])


def iptc_of(data: bytes, found: Inventory) -> bytes | None:
    """The records of IPTC among Photoshop's resources; a line on resources that are lost."""
    at, iptc = 0, None
    data = data.removeprefix(_PHOTOSHOP)
    while data[at : at + 4] == b"8BIM" and at + 12 <= len(data):
        number, name = struct.unpack_from(">HB", data, at + 4)
        at += 6 + (name + 2) // 2 * 2
        size = int.from_bytes(data[at : at + 4], "big")
        if at + 4 + size > len(data):
            found.lost.add("a part of its Photoshop settings was", "it is damaged")
            break
        if number == _IPTC and iptc:
            found.lost.add("its second IPTC was", "a file has one")
        elif number == _IPTC and size:
            iptc = data[at + 4 : at + 4 + size]
        elif number not in _DROPPED:
            found.lost.add("its Photoshop settings were", "they are for the original")
        at += 4 + size + size % 2
    return iptc


def encode_photoshop(iptc: bytes) -> bytes:
    """Encodes IPTC as a Photoshop resource, with the checksum that Photoshop checks."""
    checksum = hashlib.md5(iptc, usedforsecurity=False).digest()
    return b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + bytes(len(iptc) % 2) + (
        b"8BIM\x04\x25\0\0" + struct.pack(">I", 16) + checksum
    )  # fmt: skip


def _merge_extension(found, extensions):
    if not extensions:
        return
    try:
        name = b"" if found.xmp is None else (xmp.read_properties(found.xmp).extension or "").upper().encode()
        parts, packet = extensions.pop(name, {}), b""
        while len(packet) in parts:
            packet += parts[len(packet)]
        if extensions or hashlib.md5(packet, usedforsecurity=False).hexdigest().upper().encode() != name:
            raise ValueError("a part is missing, or belongs to another packet")
        found.xmp = xmp.merge_extension(found.xmp, packet)
    except ValueError:
        found.lost.add("the second part of its XMP was", "it is damaged")


def fits_segment(exif: bytes) -> bool:
    """Whether a JPEG segment can hold EXIF."""
    return len(exif) <= _MAX_EXIF


def make_head(
    found: Inventory, result: Result, exif: bytes | None, packet: bytes | None, profile: bytes | None
) -> tuple[bytes, list[str]]:
    """Returns the first bytes of a result, up to its tables, and lines on lost metadata."""
    lost = Lost()
    unit, across, down = 0, 1, 1
    if result.resolution:
        unit, (across, down) = 1, (round(each * 25.4) for each in result.resolution)
        if not 0 < min(across, down) <= max(across, down) < 65536:
            unit, across, down = 0, 1, 1  # EXIF has it
    elif found.aspect and max(found.aspect) < 65536:
        across, down = found.aspect[::-1] if result.by.orientation >= 5 else found.aspect
    segments = [(0xE0, b"JFIF\0\1\2" + struct.pack(">BHHBB", unit, across, down, 0, 0))]
    if exif is not None:
        segments.append((0xE1, _EXIF + exif))
    if packet is not None:
        segments += [(0xE1, each) for each in xmp.segments(packet)]
    if profile is not None:
        parts = [profile[at : at + 65519] for at in range(0, len(profile), 65519)]
        segments += [(0xE2, _ICC + bytes([i, len(parts)]) + part) for i, part in enumerate(parts, 1)]
    if found.iptc:
        data = encode_photoshop(found.iptc)
        most = MAX - len(_PHOTOSHOP)
        segments += [(0xED, _PHOTOSHOP + data[at : at + most]) for at in range(0, len(data), most)]
    segments += [(0xFE, comment) for comment in found.comments if len(comment) <= MAX]
    if any(len(comment) > MAX for comment in found.comments):
        lost.add("its comment was", "jpg holds 64 kB")
    return b"\xff\xd8" + b"".join(
        struct.pack(">BBH", 255, m, len(data) + 2) + data for m, data in segments
    ), lost.lines()
