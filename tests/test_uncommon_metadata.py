"""Metadata at uncommon places in files, and faults of single programs: kept, adjusted, or named in a line."""

import hashlib
import io
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image, IptcImagePlugin

from esrgan_tf.errors import UserError
from esrgan_tf.imaging.reading import read_picture, read_rgb
from tests.containers import packet_of, png_chunks, webp_chunks, with_chunks, with_segments
from tests.test_metadata import (
    GAIN_MAP,
    HDRGM,
    KINDS,
    PHOTO,
    PROFILE,
    VIDEO,
    carrier,
    encoded,
    exif_of,
    further_pictures,
    upscaled,
    xmp,
)

IPTC = b"\x1c\x02\x05\0\x05title"
MP4 = struct.pack(">I4s4sI", 24, b"ftyp", b"mp42", 0) + b"isommp42" + bytes(500)
REST = "the bytes after its end were left out: their meaning is unknown"
TURNED = np.rot90(PHOTO, -1).repeat(2, axis=0).repeat(2, axis=1)  # orientation 6 at twice the size


def is_upright(path):
    """Whether a result shows the image of orientation 6 and has no orientation that turns it again."""
    with Image.open(path) as image:
        return (
            image.size == (96, 128)
            and image.getexif().get(274, 1) == 1
            and np.abs(np.asarray(image.convert("RGB")).astype(float) - TURNED).mean() < 12
        )


# EXIF and TIFF.


def directory(order, *entries, following=0):
    """EXIF with one directory: `(tag, type, count, value of 4 bytes)` of each entry."""
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
    """Writing the directory back as two directories would turn the picture twice."""
    sizes = [(0xA002, 4, 1, number(order, 64)), (0xA003, 4, 1, number(order, 48))]
    orientation = struct.pack(f"{order}HH", 6, 0)
    exif = directory(order, (274, 3, 1, orientation), (pointer, 4, 1, number(order, 8)), *sizes)
    content = with_segments(encoded("jpg"), (0xE1, b"Exif\0\0" + exif))
    target, lines = upscaled(content, tmp_path, kind, "a.jpg")
    assert lines == ["a part of its EXIF was left out: it is damaged"]
    assert is_upright(target)


@pytest.mark.parametrize("start", [9, 38, 68])
def test_a_thumbnail_that_overlaps_other_values(start, tmp_path):
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
    """Photoshop keeps the bytes in their order; programs with libtiff reverse them."""
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


# JPEG.


def segment(marker, data):
    return struct.pack(">BBH", 255, marker, len(data) + 2) + data


def scans(data):
    return [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]


def samsung(*parts):
    """A trailer like those of Samsung's cameras: `(name, data)` of each part, and a list of the parts."""
    blobs = [struct.pack("<HHI", 0, 0x0A30, len(name)) + name + data for name, data in parts]
    table = b"".join(
        struct.pack("<HHII", 0, 0x0A30, sum(map(len, blobs[i:])), len(blob)) for i, blob in enumerate(blobs)
    )
    head = b"SEFH" + struct.pack("<II", 106, len(blobs)) + table
    return b"".join(blobs) + head + struct.pack("<I", len(head)) + b"SEFT"


@pytest.mark.parametrize("place", ["between scans", "before the end", "behind the first marker"])
def test_segments_at_any_place_of_a_jpeg(place, tmp_path):
    packet = xmp('dc:title="a"')
    more = segment(0xFE, b"a comment") + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)
    data = encoded("jpg", progressive=True)
    at = {"between scans": scans(data)[2], "before the end": -2, "behind the first marker": 2}[place]
    target, lines = upscaled(data[:at] + more + data[at:], tmp_path, name="a.jpg")
    assert lines == []
    assert packet_of(target) == packet
    with Image.open(target) as image:
        assert image.info["comment"] == b"a comment"


JPEG = encoded("jpg")
MAPPED = carrier("jpg", xmp('hdrgm:Version="1.0"', HDRGM))
AFTER_THE_END = {
    "Samsung's motion photo": (samsung((b"Image_UTC_Data", b"1500000000000"), (b"MotionPhoto_Data", MP4)), VIDEO),
    "Samsung's time": (samsung((b"Image_UTC_Data", b"1500000000000")), None),
    "Samsung's depth map": (
        samsung((b"DualShot_DepthMap_1", bytes(99))),
        "its depth map was left out: of the original's pixels only",
    ),
    "a video": (MP4, VIDEO),
    "an archive": (b"PK\3\4" + b"x" * 99, REST),
    "zeros": (bytes(2000), None),
    "a line's end": (b"\r\n", None),
    "a picture that nothing lists": (JPEG, "its further pictures were left out: a result holds one"),
    "a gain map that nothing lists": (MAPPED, GAIN_MAP),
    "a gain map and a video": (MAPPED + bytes(7) + MP4, [GAIN_MAP, VIDEO]),
}


@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize("case", AFTER_THE_END)
def test_bytes_after_the_end_of_a_jpeg_are_named(case, kind, tmp_path):
    more, line = AFTER_THE_END[case]
    _, lines = upscaled(JPEG + more, tmp_path, kind, "a.jpg")
    assert lines == (line if isinstance(line, list) else [] if line is None else [line])


@pytest.mark.parametrize("attribute", [0, 0x010001, 0x020002])
def test_listed_pictures_that_an_editor_removed_cause_no_line(attribute, tmp_path):
    assert upscaled(further_pictures(JPEG, attribute, b""), tmp_path, name="a.jpg")[1] == []


def test_a_listed_preview_is_not_named_twice(tmp_path):
    content = further_pictures(JPEG, 0x010002, JPEG) + MP4
    assert upscaled(content, tmp_path, name="a.jpg")[1] == [VIDEO]


PART_OF_XMP = xmp('dc:title="long"')
GUID = hashlib.md5(PART_OF_XMP).hexdigest().upper()
SECOND_PART = "the second part of its XMP was left out: it is damaged"
PARTS_OF_XMP = {  # the name in the first part or None, the name of the second part, the line
    "another name": ("0" * 32, GUID, SECOND_PART),
    "a name in small letters": (GUID.lower(), GUID, None),
    "a part in small letters": (GUID, GUID.lower(), None),
    "no name": (None, GUID, SECOND_PART),
    "a name without a part": (GUID, None, None),
}


@pytest.mark.parametrize("case", PARTS_OF_XMP)
def test_a_second_part_of_xmp_is_merged_or_named(case, tmp_path):
    name, part, line = PARTS_OF_XMP[case]
    space = 'xmlns:note="http://ns.adobe.com/xmp/note/"'
    first = xmp() if name is None else xmp(f'note:HasExtendedXMP="{name}"', space)
    second = b"http://ns.adobe.com/xmp/extension/\0" + (part or "").encode()
    second += struct.pack(">II", len(PART_OF_XMP), 0) + PART_OF_XMP
    content = with_segments(carrier("jpg", first), *([] if part is None else [(0xE1, second)]))
    target, lines = upscaled(content, tmp_path, name="a.jpg")
    assert lines == ([] if line is None else [line])
    assert (b'dc:title="long"' in packet_of(target)) == (part is not None and line is None)


def test_a_second_part_of_xmp_alone_is_named(tmp_path):
    second = b"http://ns.adobe.com/xmp/extension/\0" + GUID.encode() + struct.pack(">II", len(PART_OF_XMP), 0)
    assert upscaled(with_segments(JPEG, (0xE1, second + PART_OF_XMP)), tmp_path, name="a.jpg")[1] == [SECOND_PART]


def test_exif_with_another_fill_byte_in_its_name(tmp_path):
    data = exif_of(_274=6).tobytes()
    target, lines = upscaled(with_segments(JPEG, (0xE1, b"Exif\0\xff" + data[6:])), tmp_path, name="a.jpg")
    assert lines == []
    assert is_upright(target)


def test_a_second_iptc_is_named(tmp_path):
    resources = b"".join(b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC for _ in range(2))
    _, lines = upscaled(with_segments(JPEG, (0xED, b"Photoshop 3.0\0" + resources)), tmp_path, name="a.jpg")
    assert lines == ["its second IPTC was left out: a file has one"]


# XMP.

MEDIA = 'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"'
PANTRY = (
    '<xmpMM:Pantry><rdf:Bag><rdf:li><rdf:Description tiff:Orientation="8" exif:PixelXDimension="5">'
    "<tiff:XResolution>72/1</tiff:XResolution></rdf:Description></rdf:li></rdf:Bag></xmpMM:Pantry>"
)


@pytest.mark.parametrize("own", ['tiff:Orientation="6" tiff:XResolution="300/1" tiff:YResolution="150/1"', ""])
def test_files_that_a_picture_is_made_of_keep_their_properties(own, tmp_path):
    content = carrier("png", xmp(own, MEDIA, PANTRY))
    target, lines = upscaled(content, tmp_path)
    assert lines == []
    assert is_upright(target) == bool(own)
    packet = packet_of(target)
    assert PANTRY.encode() in packet
    if own:
        assert b'tiff:Orientation="1" tiff:XResolution="150/1" tiff:YResolution="300/1"' in packet


@pytest.mark.parametrize(
    ("orientation", "across", "down"), [(1, b"600/1", b"5/1"), (6, b"5/1", b"600/1")], ids=["upright", "turned"]
)
def test_the_focal_plane_s_resolution_in_xmp(orientation, across, down, tmp_path):
    packet = xmp(
        f'tiff:Orientation="{orientation}" exif:FocalPlaneXResolution="300/1" exif:FocalPlaneYResolution="5/2"'
    )
    found = packet_of(upscaled(carrier("png", packet), tmp_path)[0])
    assert b'FocalPlaneXResolution="' + across + b'"' in found
    assert b'FocalPlaneYResolution="' + down + b'"' in found


# PNG.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [b"tEXt", b"zTXt"])
def test_xmp_in_another_kind_of_text(name, kind, tmp_path):
    packet = xmp('tiff:Orientation="6"')
    text = b"\0" + zlib.compress(packet) if name == b"zTXt" else packet
    content = with_chunks(encoded(), before=[(name, b"XML:com.adobe.xmp\0" + text)])
    target, lines = upscaled(content, tmp_path, kind)
    assert lines == []
    assert is_upright(target)
    assert packet_of(target) == packet.replace(b'Orientation="6"', b'Orientation="1"')


def test_an_animation_of_one_frame_is_a_picture(tmp_path):
    control = (b"fcTL", struct.pack(">IIIIIHHBB", 0, 64, 48, 0, 0, 1, 10, 0, 0))
    content = with_chunks(encoded(), before=[(b"acTL", struct.pack(">II", 1, 0)), control])
    target, lines = upscaled(content, tmp_path)
    assert lines == []
    assert not {name for name, *_ in png_chunks(target.read_bytes())} & {b"acTL", b"fcTL"}
    np.testing.assert_array_equal(read_rgb(content), PHOTO)
    frame = (b"fdAT", struct.pack(">I", 1) + zlib.compress(b"\0" * 193 * 48))
    besides = with_chunks(encoded(), before=[(b"acTL", struct.pack(">II", 1, 0))], behind=[control, frame])
    for read in (read_picture, read_rgb):
        with pytest.raises(UserError, match="animated PNG"):
            read(besides)


# WebP, GIF, BMP, PNM, AVIF and HEIC.


def riff(*chunks):
    body = b"".join(name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def saved(kind, **options):
    stream = io.BytesIO()
    image = Image.fromarray(PHOTO)
    image = image.convert("P") if kind == "GIF" else image
    if kind == "HEIC":
        pillow_heif.from_pillow(image).save(stream, **options)
    else:
        image.save(stream, kind, **options)
    return stream.getvalue()


def test_second_metadata_of_a_webp_is_named(tmp_path):
    content = carrier("webp", xmp(), exif_of(), icc_profile=PROFILE)
    chunks = webp_chunks(content)
    content = riff(*chunks.items(), *((name, chunks[name]) for name in (b"EXIF", b"XMP ", b"ICCP")))
    _, lines = upscaled(content, tmp_path, "webp", "a.webp")
    assert lines == [
        f"its second {name} was left out: a WebP has one" for name in ("EXIF", "XMP", "colour profile")
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "AVIF"])
def test_bytes_after_the_end_are_named(kind, tmp_path):
    for more, expected in ((b"PK\3\4" + b"x" * 99, [REST]), (b"" if kind == "AVIF" else bytes(99), [])):
        _, lines = upscaled(saved(kind) + more, tmp_path, "png", f"a.{kind.lower()}")
        assert lines == expected


def gif(application, data):
    content = saved("GIF")
    at = 13 + 3 * 2 ** (content[10] % 8 + 1)
    blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))
    return content[:at] + b"\x21\xff\x0b" + application + blocks + b"\0" + content[at:]


def test_blocks_of_a_gif(tmp_path):
    target, lines = upscaled(gif(b"ICCRGBG1012", PROFILE), tmp_path, "png", "a.gif")
    assert lines == []
    with Image.open(target) as image:
        assert image.info["icc_profile"] == PROFILE
    assert upscaled(gif(b"NETSCAPE2.0", b"\1\0\0"), tmp_path, "png", "a.gif")[1] == []
    _, lines = upscaled(gif(b"A_VENDOR1.0", b"data"), tmp_path, "png", "a.gif")
    assert lines == ["its GIF block A_VENDOR1.0 was left out: its meaning is unknown"]


def test_the_shape_of_a_gif_s_pixels(tmp_path):
    content = saved("GIF")
    target, lines = upscaled(content[:12] + bytes([113]) + content[13:], tmp_path, "png", "a.gif")
    assert lines == []
    size = next(data for name, data, _ in png_chunks(target.read_bytes()) if name == b"pHYs")
    across, down, unit = struct.unpack(">IIB", size)
    assert (down / across, unit) == ((113 + 15) / 64, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_profile_of_a_bmp(kind, tmp_path):
    pixels = saved("BMP")[54:]
    header = bytearray(saved("BMP")[14:54].ljust(124, b"\0"))
    header[:4] = struct.pack("<I", 124)
    header[112:120] = struct.pack("<II", 124 + len(pixels), len(PROFILE))
    for mark, expected in ((b"MBED", []), (b"LINK", ["its colour profile was left out: it is in another file"])):
        header[56:60] = mark[::-1]
        content = b"BM" + struct.pack("<IHHI", 0, 0, 0, 138) + bytes(header) + pixels + PROFILE
        target, lines = upscaled(content, tmp_path, kind, "a.bmp")
        assert lines == expected
        with Image.open(target) as image:
            assert image.info.get("icc_profile") == (None if expected else PROFILE)


@pytest.mark.parametrize("density", [0, 2**30, 2**31 - 1, 2**32 - 1])
def test_a_resolution_of_a_bmp_that_cannot_be(density, capfd):
    content = saved("BMP")
    content = content[:38] + struct.pack("<II", density, density) + content[46:]
    assert read_picture(content).resolution is None
    assert capfd.readouterr().err == ""  # no line from libvips


@pytest.mark.parametrize(("magic", "most", "pixels"), [
    (b"P6", b" 255\n", PHOTO.tobytes()), (b"P5", b" 65535\n", PHOTO[..., 0].astype(">u2").tobytes()),
    (b"P4", b"\n", bytes(8 * 48)),
])  # fmt: skip
def test_comments_and_further_images_of_a_pnm(magic, most, pixels, tmp_path):
    content = magic + b"\n# by a program\n64 48" + most + pixels
    target, lines = upscaled(content, tmp_path, "png", "a.pnm")
    assert lines == []
    with Image.open(target) as image:
        assert image.info["Comment"] == "by a program"
    for read in (read_picture, read_rgb):
        read(content + b"\n")
        with pytest.raises(UserError, match="several images"):
            read(content + content)


CREATOR = struct.pack(">I4s", 40, b"uuid") + bytes(32)
BOXES = {
    "video": (struct.pack(">I4s", 8 + len(MP4), b"mpvd") + MP4, VIDEO),
    "unknown box": (CREATOR, "its box uuid was left out: its meaning is unknown"),
    "free space": (struct.pack(">I4s", 12, b"free") + bytes(4), None),
    "Samsung's time": (struct.pack(">I4s", 8 + 60, b"sefd") + b"Image_UTC_Data".ljust(56) + b"SEFH", None),
}


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
@pytest.mark.parametrize("case", BOXES)
def test_boxes_after_the_picture(case, kind, tmp_path):
    more, line = BOXES[case]
    assert upscaled(saved(kind) + more, tmp_path, "png", f"a.{kind.lower()}")[1] == ([] if line is None else [line])
