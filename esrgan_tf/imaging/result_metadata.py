"""Encoding of results: libvips encodes the pixels, and this module adds the metadata.

Encoded pixels are not moved. libvips writes them after a gap, which is then filled with the metadata before the pixels;
metadata after the pixels is appended.
"""

import io
import struct
from collections.abc import Callable
from typing import IO, Any

import pyvips

from esrgan_tf.imaging import jpeg_segments, png_results
from esrgan_tf.imaging.inventory import Chunk, Inventory, Result
from esrgan_tf.imaging.metadata import Parts
from esrgan_tf.imaging.tiff_tags import ACROSS, DOWN, ICC, UNIT, XMP, Entry, encode_directory, form_of, read_directory

_SAVERS = {".png": "pngsave", ".jpg": "jpegsave", ".webp": "webpsave", ".tif": "tiffsave"}


def write_result(
    image: pyvips.Image, file: IO[bytes], options: dict[str, Any], found: Inventory, parts: Parts, result: Result
) -> list[str]:
    """Encodes an image into an empty file that is open for reading and writing.

    Returns:
        Lines on metadata that the format could not hold.
    """
    writer: Callable = {".png": _write_png, ".jpg": _write_jpeg, ".webp": _write_webp, ".tif": _write_tiff}[result.kind]
    return writer(image, file, options, found, parts, result)


def _encode(image, file, kind, options):
    """Writes the encoded image at the current position of the file."""
    file.flush()
    getattr(image, f"{_SAVERS[kind]}_target")(
        pyvips.Target.new_to_descriptor(file.fileno()), keep="none", **options
    )  # fmt: skip


def _encode_with_head(image, file, kind, options, make_head, head_length):
    """Encodes an image and replaces its head.

    Args:
        make_head: takes libvips' head, or no bytes, and returns a new head; its length is always the same.
        head_length: returns the length of libvips' head of an encoded image.
    """
    sample = pyvips.Image.black(1, 1, bands=image.bands).cast(image.format).copy(interpretation=image.interpretation)
    length = head_length(getattr(sample, f"{_SAVERS[kind]}_buffer")(keep="none", **options))
    file.seek(len(make_head(b"")) - length)
    start = file.tell()
    _encode(image, file, kind, options)
    file.seek(start)
    first = file.read(length)
    file.seek(0)
    file.write(make_head(first))
    file.seek(0, io.SEEK_END)


def _write_png(image, file, options, found, parts, result):
    chunks, lines = png_results.make_chunks(found, result, parts.icc)
    if parts.exif is not None:
        chunks.append(Chunk(b"eXIf", parts.exif, False))
    if parts.xmp is not None:
        chunks.append(Chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + parts.xmp, False))
    if found.iptc:
        chunks.append(png_results.make_iptc_chunk(found.iptc))
    before, after = (
        b"".join(png_results.encode_chunk(chunk.name, chunk.data) for chunk in chunks if chunk.after_pixels == is_after)
        for is_after in (False, True)
    )
    # The signature and IHDR have 33 bytes.
    _encode_with_head(image, file, ".png", options, lambda first: first[:33].ljust(33) + before, _length_before_idat)
    file.seek(-12, io.SEEK_END)
    end = file.read(12)
    file.seek(-12, io.SEEK_END)
    file.write(after + end)
    return lines


def _length_before_idat(data):
    at = 8
    while data[at + 4 : at + 8] != b"IDAT":
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return at


def _write_jpeg(image, file, options, found, parts, result):
    head, lines = jpeg_segments.make_head(found, result, parts.exif, parts.xmp, parts.icc)
    _encode_with_head(image, file, ".jpg", options, lambda first: head, _length_before_tables)
    return lines


def _length_before_tables(data):
    at = 2
    while 0xE0 <= data[at + 1] <= 0xEF or data[at + 1] == 0xFE:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at


def _write_webp(image, file, options, found, parts, result):
    """Encodes into memory, as libwebp does anyway."""
    data = image.webpsave_buffer(keep="none", **options)
    at, flags = 12, 0
    if data[12:16] == b"VP8X":
        at, flags = 30, data[20] & 0x10  # transparency
    elif data[12:16] == b"VP8L" and data[24] & 0x10:
        flags = 0x10
    after = b""
    for name, content, flag in ((b"EXIF", parts.exif, 0x08), (b"XMP ", parts.xmp, 0x04)):
        if content is not None:
            flags |= flag
            after += _encode_riff(name, content)
    profile = b"" if parts.icc is None else _encode_riff(b"ICCP", parts.icc)
    flags |= 0x20 if profile else 0
    size = (image.width - 1).to_bytes(3, "little") + (image.height - 1).to_bytes(3, "little")
    extended = _encode_riff(b"VP8X", bytes([flags, 0, 0, 0]) + size) if flags else b""
    body = len(extended) + len(profile) + len(data) - at + len(after)
    file.write(b"RIFF" + struct.pack("<I", 4 + body) + b"WEBP" + extended + profile)
    file.write(memoryview(data)[at:])
    file.write(after)
    return []


def _encode_riff(name, data):
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _write_tiff(image, file, options, found, parts, result):
    """Appends a new directory of any length."""
    _encode(image, file, ".tif", options)
    file.seek(0)
    form, at = form_of(file.read(16))
    pixels, _, _ = read_directory(file, at, form)
    tags: dict = {tag: value for tag, value in pixels.items() if tag not in (ACROSS, DOWN, UNIT)}
    tags |= parts.tags
    if parts.xmp is not None:
        tags[XMP] = Entry(1, len(parts.xmp), parts.xmp)
    if parts.icc is not None:
        tags[ICC] = Entry(7, len(parts.icc), parts.icc)
    end = file.seek(0, io.SEEK_END)
    file.write(bytes(end % 8 and 8 - end % 8))
    end = file.tell()
    file.write(encode_directory(_drop_64_bit(tags, form), form, end))
    file.seek(8 if form.large else 4)
    file.write(struct.pack(form.pointer, end))
    return []


def _drop_64_bit(tags, form):
    """Removes values of 64 bits, which only BigTIFF can hold."""
    if form.large:
        return tags
    return {
        tag: _drop_64_bit(value, form) if isinstance(value, dict) else value
        for tag, value in tags.items()
        if isinstance(value, dict) or value.kind not in (16, 17, 18)
    }
