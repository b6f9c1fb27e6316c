"""Metadata at uncommon places in files, and faults that only some programs make: kept, adjusted, or named in a line."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, IptcImagePlugin

from esrgan_tf.imaging.reading import read_picture, read_rgb
from tests.containers import packet_of, png_chunks, with_segments
from tests.test_metadata import (
    KINDS,
    PHOTO,
    PROFILE,
    encoded,
    upscaled,
    xmp,
)

IPTC = b"\x1c\x02\x05\0\x05title"
MP4 = struct.pack(">I4s4sI", 24, b"ftyp", b"mp42", 0) + b"isommp42" + bytes(500)
REST = "the bytes after its end were left out: their meaning is unknown"
TURNED = np.rot90(PHOTO, -1).repeat(2, axis=0).repeat(2, axis=1)  # by orientation 6, at twice the size


def is_upright(path):
    """Whether a result shows what orientation 6 asks for, and asks for nothing more."""
    with Image.open(path) as image:
        return (
            image.size == (96, 128)
            and image.getexif().get(274, 1) == 1
            and np.abs(np.asarray(image.convert("RGB")).astype(float) - TURNED).mean() < 12
        )


# EXIF and TIFF.


def directory(order, *entries, following=0):
    """EXIF of one directory: `(tag, type, count, value of 4 bytes)` of each entry."""
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    data += b"".join(struct.pack(f"{order}HHI", *entry[:3]) + entry[3] for entry in entries)
    return data + struct.pack(f"{order}I", following)


def number(order, value):
    return struct.pack(f"{order}I", value)


def tiff(*pages):
    """Pages of `(pixels, subfile type, options)`."""
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as file:
        for pixels, _, options in pages:
            colours = "rgb" if pixels.ndim == 3 else "minisblack"
            file.write(pixels, **{"photometric": colours, "metadata": None, "subfiletype": 1, **options})
    data = bytearray(stream.getvalue())
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        for page, (_, kind, _) in zip(file.pages, pages, strict=True):
            data[page.tags[254].valueoffset] = kind
    return bytes(data)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("pointer", [0x8769, 0x8825])
def test_a_pointer_back_to_the_same_directory(pointer, order, kind, tmp_path):
    """The picture would be turned twice if the directory was written back as two."""
    sizes = [(0xA002, 4, 1, number(order, 64)), (0xA003, 4, 1, number(order, 48))]
    orientation = struct.pack(f"{order}HH", 6, 0)
    exif = directory(order, (274, 3, 1, orientation), (pointer, 4, 1, number(order, 8)), *sizes)
    content = with_segments(encoded("jpg"), (0xE1, b"Exif\0\0" + exif))
    target, lines = upscaled(content, tmp_path, kind, "a.jpg")
    assert lines == ["a part of its EXIF was left out: it is damaged"]
    assert is_upright(target)


@pytest.mark.parametrize("start", [9, 38, 68])
def test_a_thumbnail_that_lies_over_other_values(start, tmp_path):
    first = directory("<", (271, 2, 9, number("<", 68)), (274, 3, 1, number("<", 6)), following=38)
    second = struct.pack("<HHHII", 2, 0x201, 4, 1, start) + struct.pack("<HHII", 0x202, 4, 1, 77 - start) + bytes(4)
    exif = first + second + b"a camera\0"
    target, lines = upscaled(with_segments(encoded("jpg"), (0xE1, b"Exif\0\0" + exif)), tmp_path, "png", "a.jpg")
    assert lines == []
    assert is_upright(target)
    with Image.open(target) as image:
        assert image.getexif()[271] == "a camera"
    written = next(data for name, data, _ in png_chunks(target.read_bytes()) if name == b"eXIf")
    assert written[34:38] == bytes(4)  # no second directory


def test_the_tags_of_the_picture_count_if_a_thumbnail_comes_first(tmp_path):
    packet = xmp('dc:title="a"')
    tags = [(274, 3, 1, 6, True), (315, 2, 7, "artist", True), (700, 7, len(packet), packet, True)]
    options = {"extratags": tags, "iccprofile": PROFILE}
    content = tiff((PHOTO[::4, ::4], 1, {}), (PHOTO, 0, options))
    for kind in KINDS:
        target, lines = upscaled(content, tmp_path, kind, "a.tif")
        assert lines == []
        assert is_upright(target)
        assert packet_of(target) == packet
        with Image.open(target) as image:
            assert image.info["icc_profile"] == PROFILE
            assert image.getexif()[315] == "artist"
    turned = np.rot90(PHOTO, -1)
    np.testing.assert_array_equal(read_rgb(content), turned)
    np.testing.assert_array_equal(read_picture(content).colour, turned)


def test_a_mask_is_named_and_a_thumbnail_is_not(tmp_path):
    mask = (PHOTO[..., 0] > 99).astype(np.uint8) * 255
    line = "its mask was left out: of the original's pixels only"
    for second, expected in (((mask, 4, {}), [line]), ((PHOTO[::4, ::4], 1, {}), []), ((mask, 5, {}), [line])):
        assert upscaled(tiff((PHOTO, 0, {}), second), tmp_path, "png", "a.tif")[1] == expected


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_iptc_as_numbers_of_32_bits(order, turned, tmp_path):
    """Photoshop leaves the bytes in their order; programs that use libtiff turn them."""
    data = IPTC + bytes(-len(IPTC) % 4)
    numbers = np.frombuffer(data, ("<" if turned else order) + "u4").tolist()
    stream = io.BytesIO()
    tag = (33723, 4, len(numbers), numbers, True)
    tifffile.imwrite(stream, PHOTO, photometric="rgb", metadata=None, byteorder=order, extratags=[tag])
    assert (data in stream.getvalue()) == (not turned or order == "<")
    target, lines = upscaled(stream.getvalue(), tmp_path, "jpg", "a.tif")
    assert lines == []
    with Image.open(target) as image:
        assert IptcImagePlugin.getiptcinfo(image) == {(2, 5): b"title"}


@pytest.mark.parametrize("order", "<>")
def test_a_bigtiff_whose_next_directory_is_nowhere(order, tmp_path):
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, bigtiff=True, byteorder=order) as file:
        file.write(PHOTO, photometric="rgb", metadata=None)
    data = bytearray(stream.getvalue())
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        at = file.pages.first.offset + 8 + 20 * len(file.pages.first.tags)
    data[at : at + 8] = b"\xff" * 8
    np.testing.assert_array_equal(read_rgb(bytes(data)), PHOTO)
    assert upscaled(bytes(data), tmp_path, "png", "a.tif")[1] == []
