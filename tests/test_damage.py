"""Damaged files are refused if pixels are missing, and read if all pixels exist, despite warnings of libraries."""

import io
import math
import random
import struct
import zlib

import numpy as np
import pytest
import pyvips
import skimage.data
import tifffile
from PIL import Image

from esrgan_tf.errors import UserError
from esrgan_tf.imaging.jpeg_structure import MISSING
from esrgan_tf.imaging.reading import read_picture, read_rgb
from tests.jpeg_reference import WHOLE, classify, segments

PHOTO = np.ascontiguousarray(skimage.data.astronaut()[:44, 60:126])  # no side is a multiple of 8


def jpeg(**options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PHOTO).save(stream, "JPEG", **{"quality": 85, **options})
    return stream.getvalue()


def gray_jpeg(**options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PHOTO[..., 1]).save(stream, "JPEG", quality=85, **options)
    return stream.getvalue()


JPEGS = [
    jpeg(),
    jpeg(subsampling=0, comment="a comment"),
    jpeg(progressive=True),
    jpeg(restart_marker_blocks=3, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"),
    jpeg(progressive=True, restart_marker_rows=1),
    gray_jpeg(optimize=True),
]


def change_jpeg(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    """One structural change and its name."""
    parts = segments(data)
    scans = [i for i, part in enumerate(parts) if part[1] == 0xDA]
    body = data.index(parts[scans[0]])
    i = draw.randrange(1, len(parts) - 1)
    part, junk = parts[i], bytes(draw.randrange(255) for _ in range(draw.randrange(1, 9)))
    length = int.from_bytes(part[2:4], "big")
    frame = next(k for k, p in enumerate(parts) if 0xC0 <= p[1] <= 0xC2)
    side = draw.choice([5, 7])
    restarts = [at for at in range(body, len(data) - 1) if data[at] == 0xFF and 0xD0 <= data[at + 1] <= 0xD7]
    at = draw.choice(restarts) if restarts else body
    changes = {
        "no end marker": lambda: b"".join(parts[:-1]),
        "cut short": lambda: data[: draw.randrange(body, len(data) - 2)],
        "cut short, with an end marker": lambda: data[: draw.randrange(body, len(data) - 2)] + b"\xff\xd9",
        "cut in the header": lambda: data[: draw.randrange(2, body)],
        "bytes behind the end": lambda: data + junk,
        "bytes before a segment": lambda: b"".join([*parts[:i], junk, *parts[i:]]),
        "repeated FF before a segment": lambda: b"".join([*parts[:i], b"\xff" * len(junk), *parts[i:]]),
        "a segment less": lambda: b"".join([*parts[:i], *parts[i + 1 :]]),
        "a segment twice": lambda: b"".join([*parts[:i], part, *parts[i:]]),
        "two segments exchanged": lambda: b"".join([*parts[:i], parts[i + 1], part, *parts[i + 2 :]]),
        "another length": lambda: b"".join(
            [*parts[:i], part[:2], struct.pack(">H", max(0, length + draw.choice([-3, -1, 1, 5]))), part[4:],
             *parts[i + 1 :]]
        ),
        "another marker": lambda: b"".join(
            [*parts[:i], b"\xff", bytes([draw.choice([0xE5, 0xFE])]), part[2:], *parts[i + 1 :]]
        ),
        "another side": lambda: b"".join(
            [*parts[:frame], parts[frame][:side], struct.pack(">H", draw.randrange(1, 120)), parts[frame][side + 2 :],
             *parts[frame + 1 :]]
        ),
        "another version": lambda: data.replace(b"JFIF\0\1", b"JFIF\0\7"),
        "the last scan less": lambda: b"".join([p for k, p in enumerate(parts) if k != scans[-1]]),
    }  # fmt: skip
    if restarts:
        changes |= {
            "a restart marker less": lambda: data[:at] + data[at + 2 :],
            "another restart marker": lambda: data[: at + 1] + bytes([0xD0 + (data[at + 1] + 2) % 8]) + data[at + 2 :],
            "a restart marker twice": lambda: data[: at + 2] + data[at:],
            "bytes before a restart marker": lambda: data[:at] + b"\x11" * len(junk) + data[at:],
        }
    name = draw.choice(sorted(changes))
    return name, changes[name]()


def readable(data: bytes) -> bool:
    try:
        read_picture(data)
    except UserError:
        return False
    return True


def test_jpegs_with_one_change_are_read_if_and_only_if_all_pixels_are_there():
    draw, wrong, counts = random.Random(0), [], {True: 0, False: 0}
    for i in range(300):
        name, data = change_jpeg(JPEGS[i % len(JPEGS)], draw)
        expected = classify(data) == WHOLE
        counts[expected] += 1
        if readable(data) != expected:
            wrong.append((i, name, classify(data)))
    assert not wrong
    assert min(counts.values()) > 80


TIFFS = [
    (mode, order, kind)
    for mode in ("uncompressed", "zlib")
    for order in "<>"
    for kind in ("strips", "tiles", "one strip", "BigTIFF")
]


def tiff(mode, order, kind) -> bytes:
    stream = io.BytesIO()
    shape = {
        "strips": {"rowsperstrip": 8},
        "tiles": {"tile": (16, 32)},
        "one strip": {},
        "BigTIFF": {"rowsperstrip": 16},
    }
    with tifffile.TiffWriter(stream, bigtiff=kind == "BigTIFF", byteorder=order) as file:
        compression = "zlib" if mode == "zlib" else None
        file.write(PHOTO, photometric="rgb", compression=compression, resolution=(300, 300), **shape[kind])
    return stream.getvalue()


class Tags:
    """The entries of a file's first directory, with their positions, for changing them."""

    def __init__(self, data):
        self.order = "<" if data[:2] == b"II" else ">"
        self.big = struct.unpack(self.order + "H", data[2:4])[0] == 43
        self.at = struct.unpack(self.order + ("Q" if self.big else "I"), data[8:16] if self.big else data[4:8])[0]
        self.start, self.size, self.inside = (self.at + 8, 20, 8) if self.big else (self.at + 2, 12, 4)
        self.count = struct.unpack(self.order + ("Q" if self.big else "H"), data[self.at : self.start])[0]
        self.entries = {}
        for i in range(self.count):
            at = self.start + i * self.size
            self.entries.setdefault(struct.unpack(self.order + "H", data[at : at + 2])[0], at)

    def values(self, data, tag):
        """`(numbers, their position, their format)` of an integer tag; None if the tag does not exist."""
        at = self.entries.get(tag)
        if at is None:
            return None
        kind, count = struct.unpack(self.order + ("HQ" if self.big else "HI"), data[at + 2 : at + 4 + self.inside])
        form = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind)
        if form is None or not 0 < count < 10_000:
            return None
        place, length = at + 4 + self.inside, count * struct.calcsize(form)
        if length > self.inside:
            place = struct.unpack(self.order + ("Q" if self.big else "I"), data[place : place + self.inside])[0]
        if place + length > len(data):
            return None
        return struct.unpack(f"{self.order}{count}{form}", data[place : place + length]), place, form


def change_tiff(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    """One structural change and its name."""
    tags = Tags(data)
    tiled = 324 in tags.entries
    offsets, at, form = tags.values(data, 324 if tiled else 273)
    counts, at_counts, form_counts = tags.values(data, 325 if tiled else 279)
    k = draw.randrange(len(offsets))
    entry = draw.choice(sorted(tags.entries.values()))

    def put(place, form, value):
        return data[:place] + struct.pack(tags.order + form, value) + data[place + struct.calcsize(form) :]

    def number(tag, value):
        _, place, form = tags.values(data, tag)
        return put(place, form, value)

    def offset(value):
        return put(at + k * struct.calcsize(form), form, value)

    def count(value):
        return put(at_counts + k * struct.calcsize(form_counts), form_counts, min(value, 65535))

    entry, other = sorted(draw.sample(sorted(tags.entries.values()), 2))
    changes = {
        "cut short": lambda: data[: draw.randrange(8, len(data) - 1)],
        "bytes behind the end": lambda: data + b"\1" * draw.randrange(1, 50),
        "an offset of 0": lambda: offset(0),
        "an offset beyond the end": lambda: offset(len(data) + draw.randrange(1, 10**6)),
        "an offset near the end": lambda: offset(len(data) - draw.randrange(1, 20)),
        "a byte count of 0": lambda: count(0),
        "a small byte count": lambda: count(counts[k] // 2),
        "a large byte count": lambda: count(counts[k] + draw.randrange(1, 50_000)),
        "two tags exchanged": lambda: data[:entry] + data[other : other + tags.size] + data[entry + tags.size : other]
        + data[entry : entry + tags.size] + data[other + tags.size :],
        "a tag of another number": lambda: put(entry, "H", draw.choice([60000, 40000, 305])),
        "another height": lambda: number(257, draw.randrange(1, 120)),
        "an orientation that does not exist": lambda: data[: tags.entries[305]]
        + struct.pack(tags.order + ("HHQHHI" if tags.big else "HHIHH"), 274, 3, 1, draw.choice([0, 9]), 0,
                      *([0] if tags.big else []))
        + data[tags.entries[305] + tags.size :],
        "a resolution unit that does not exist": lambda: number(296, draw.choice([0, 4, 9])),
        "a next directory that is not there": lambda: put(
            tags.start + tags.count * tags.size, "Q" if tags.big else "I", len(data) + draw.randrange(10**6)
        ),
        "the directory as the next one": lambda: put(
            tags.start + tags.count * tags.size, "Q" if tags.big else "I", tags.at
        ),
        "fewer offsets": lambda: put(
            tags.entries[324 if tiled else 273] + 4, "Q" if tags.big else "I", len(offsets) - (len(offsets) > 2)
        ),
    }  # fmt: skip
    name = draw.choice(sorted(changes))
    return name, changes[name]()


def tiff_is_whole(data: bytes) -> bool:
    """Checks by offsets, NumPy and zlib whether each strip or tile gives all of its bytes."""
    try:
        tags = Tags(data)
    except (struct.error, KeyError):
        return False

    def one(tag, default=None):
        found = tags.values(data, tag)
        return default if found is None else found[0][0]

    tiled = 324 in tags.entries
    width, height, bits = one(256), one(257), one(258, 1)
    bands = one(277, len(tags.values(data, 258)[0]) if 258 in tags.entries else 1)
    if width is None or height is None or 258 not in tags.entries:  # pixels of one bit, which no program reads as RGB
        return False
    across, down = (one(322), one(323)) if tiled else (width, min(one(278, height), height))
    offsets = tags.values(data, 324 if tiled else 273)
    if offsets is None or not across or not down:
        return False
    wanted = math.ceil(width / across) * math.ceil(height / down)
    if len(offsets[0]) < wanted:
        return False
    counts = tags.values(data, 325 if tiled else 279)
    for k, offset in enumerate(offsets[0][:wanted]):
        rows = down if tiled else min(down, height - k * down)
        need = rows * math.ceil(across * bits * bands / 8)
        piece = data[offset:] if offset >= 8 else b""
        if one(259, 1) == 8:
            piece = piece if counts is None else piece[: counts[0][k]]
            try:
                piece = zlib.decompressobj().decompress(piece)
            except zlib.error:
                return False
        if len(piece) < need:
            return False
    return True


def test_tiffs_with_one_change_are_read_if_and_only_if_all_pixels_are_there():
    draw, wrong, counts = random.Random(0), [], {True: 0, False: 0}
    for i in range(300):
        name, data = change_tiff(tiff(*TIFFS[i % len(TIFFS)]), draw)
        expected = tiff_is_whole(data)
        counts[expected] += 1
        if readable(data) != expected:
            wrong.append((i, TIFFS[i % len(TIFFS)], name, expected))
    assert not wrong
    assert min(counts.values()) > 80


@pytest.mark.parametrize(("mode", "order", "kind"), TIFFS)
def test_a_harmless_fault_of_a_tiff_changes_no_pixel(mode, order, kind):
    data = tiff(mode, order, kind)
    tags = Tags(data)
    _, place, form = tags.values(data, 296)
    odd = data[:place] + struct.pack(order + form, 9) + data[place + 2 :]
    np.testing.assert_array_equal(read_rgb(odd), PHOTO)
    first, second = sorted(tags.entries.values())[:2]
    size = tags.size
    unsorted = data[:first] + data[second : second + size] + data[first : first + size] + data[second + size :]
    np.testing.assert_array_equal(read_rgb(unsorted), PHOTO)


def png_chunk(name, body, checksum=None):
    checksum = zlib.crc32(name + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)


END = png_chunk(b"IEND", b"")


def png(rows: bytes, *before: bytes, end: bytes = END, checksum=None, interlaced=0) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", PHOTO.shape[1], PHOTO.shape[0], 8, 2, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + png_chunk(b"IDAT", rows, checksum) + end


RAW = b"".join(b"\0" + row.tobytes() for row in PHOTO)
PACKED = zlib.compress(RAW)


def saved(kind, **options):
    stream = io.BytesIO()
    Image.fromarray(PHOTO).save(stream, kind, **options)
    return stream.getvalue()


def interlaced_png(rows_less: int = 0) -> bytes:
    """Written by libvips, and without its last rows."""
    data = pyvips.Image.new_from_array(PHOTO).pngsave_buffer(interlace=True)
    body = b"".join(part for name, part in png_parts(data) if name == b"IDAT")
    raw = zlib.decompress(body)
    return png(zlib.compress(raw[: len(raw) - rows_less * 50])[:-4], interlaced=1)


def png_parts(data):
    at = 8
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        yield name, data[at + 8 : at + 8 + length]
        at += 12 + length


WHOLE_FILES = {
    "PNG without an end": png(PACKED, end=b""),
    "PNG with bytes behind its end": png(PACKED) + b"more",
    "PNG whose pixels have a wrong checksum of the chunk": png(PACKED, checksum=1),
    "PNG whose pixels have no checksum of their own": png(PACKED[:-4]),
    "PNG with more rows than it claims": png(zlib.compress(RAW + b"\0" * 200)),
    "PNG whose text has a wrong checksum": png(PACKED, png_chunk(b"tEXt", b"Title\0x", checksum=2)),
    "PNG whose pixels are in chunks apart": png(
        PACKED[:500], end=png_chunk(b"tEXt", b"a\0b") + png_chunk(b"IDAT", PACKED[500:])
    ),
    "interlaced PNG without a checksum": interlaced_png(),
    "WebP with half of a chunk of metadata": saved("WEBP", lossless=True) + b"EXIF\xff\0\0\0II",
    "JPEG without an end": jpeg()[:-2],
}  # fmt: skip
CUT_FILES = {
    "PNG with a row less": png(zlib.compress(RAW[: -PHOTO.shape[1] * 3 - 1])),
    "PNG with three bytes less": png(zlib.compress(RAW[:-3])),
    "PNG with a wrong checksum of its pixels": png(PACKED[:-4] + b"\0\0\0\1"),
    "PNG cut short": png(PACKED)[:-400],
    "interlaced PNG with rows less": interlaced_png(rows_less=3),
    "GIF cut short": saved("GIF")[:-300],
    "WebP cut short": saved("WEBP", lossless=True)[:-50],
}


@pytest.mark.parametrize("case", WHOLE_FILES)
def test_files_with_all_pixels_are_read(case):
    read = read_rgb(WHOLE_FILES[case])
    if "JPEG" in case:
        np.testing.assert_array_equal(read, read_rgb(jpeg()))
    else:
        np.testing.assert_array_equal(read, PHOTO)


@pytest.mark.parametrize("case", CUT_FILES)
def test_files_without_all_pixels_are_refused(case):
    with pytest.raises(UserError, match=f"{MISSING}|Unexpected end of GIF"):
        read_rgb(CUT_FILES[case])


def test_a_gif_without_its_last_bytes_is_read():
    data = saved("GIF")
    np.testing.assert_array_equal(read_rgb(data[:-2]), read_rgb(data))
