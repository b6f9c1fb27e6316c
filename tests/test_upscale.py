"""`esrgan-tf upscale` on images of users.

The network upscales by nearest neighbour, ×2. So every pixel of every result is known.
"""

import contextlib
import ctypes
import io
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import keras
import numpy as np
import pillow_heif
import pytest
import pyvips
import skimage.data
import tifffile
from PIL import Image, ImageCms

from esrgan_tf.cli import progress
from esrgan_tf.errors import UserError
from esrgan_tf.imaging import reading
from esrgan_tf.imaging.jpeg_structure import MISSING
from esrgan_tf.models import compact_generator
from tests.conftest import REPOSITORY, randomise

PHOTO = skimage.data.astronaut()[100:130, 200:240]  # 30x40
RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (30, 40, 3), dtype=np.uint16)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
TEN_BITS = np.linspace(0, 1023, 3600).round().astype(np.uint16).reshape(30, 40, 3)
PALETTE = Image.fromarray(PHOTO).quantize(16)
# A red disc on nothing. The colour under the transparency is black, like in files of most programs.
DISC = np.zeros((30, 40, 4), np.uint8)
VISIBLE = np.hypot(*(np.mgrid[:30, :40] - np.array([[[15]], [[20]]]))) < 10
DISC[VISIBLE] = (255, 0, 0, 255)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of networks: the nearest neighbour, alone and as base of a compact network, and one with new colours."""
    folder = tmp_path_factory.mktemp("models")
    image = keras.Input((None, None, 3))
    keras.Model(image, keras.layers.UpSampling2D(2)(image)).save(folder / "nearest.keras")
    base = compact_generator(2, filters=4, blocks=0)
    base.set_weights([np.zeros_like(weight) for weight in base.get_weights()])
    base.save(folder / "compact.keras")
    randomise(compact_generator(2, filters=4, blocks=1)).save(folder / "other.keras")
    return folder


@pytest.fixture
def upscale(models, run_main):
    def run(*argv, model="nearest"):
        return run_main("upscale", *argv, "--model", models / f"{model}.keras")

    return run


def doubled(pixels):
    return np.asarray(pixels).repeat(2, axis=0).repeat(2, axis=1)


def saved(pixels, **options):
    return lambda path: Image.fromarray(pixels).save(path, **options)


def converted(mode, **options):
    return lambda path: Image.fromarray(PHOTO).convert(mode).save(path, **options)


def deep(pixels, path):
    form = {1: "grey16", 3: "rgb16", 4: "rgb16", 2: "grey16"}[pixels.shape[2]]
    pyvips.Image.new_from_array(pixels).copy(interpretation=form).write_to_file(str(path))


def with_exif(path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"  # turn clockwise; the camera's maker
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    Image.fromarray(PHOTO).save(path, exif=exif, icc_profile=PROFILE, quality=95)


def bomb(path):
    """A PNG of a hundred bytes with a header for ten billion pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))


def cut_short(suffix, share=0.6):
    def make(path):
        stream = io.BytesIO()
        Image.fromarray(skimage.data.astronaut()).save(stream, {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}[suffix])
        path.write_bytes(stream.getvalue()[: int(share * len(stream.getvalue()))])

    return make


def tiff(share=1.0, pixels=PHOTO, **options):
    """A TIFF with its directory at its start, complete or truncated."""

    def make(path):
        tifffile.imwrite(path, pixels, photometric="rgb", metadata=None, **options)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return make


def short_strip(compression, rows_per_strip):
    """A TIFF of 26 rows with a header for 30; only the end of the last strip is missing."""

    def make(path):
        Image.fromarray(PHOTO[:26]).save(path, compression=compression, tiffinfo={278: rows_per_strip})
        data = bytearray(path.read_bytes())
        directory = struct.unpack_from("<I", data, 4)[0]
        for at in range(directory + 2, directory + 2 + 12 * struct.unpack_from("<H", data, directory)[0], 12):
            if struct.unpack_from("<H", data, at)[0] == 257:  # the image's height
                data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, 30)
            if struct.unpack_from("<H", data, at)[0] == 278:
                data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, rows_per_strip)
        path.write_bytes(data)

    return make


def with_bytes_between(path):
    """A JPEG with bytes between two markers, which every program accepts."""
    Image.fromarray(PHOTO).save(path, quality=95)
    before, scan, after = path.read_bytes().partition(b"\xff\xda")
    path.write_bytes(before + b"\0\0\x12" + scan + after)


def heic(pixels=PHOTO, pages=1, share=1.0, **options):
    def make(path):
        stream = io.BytesIO()
        file = pillow_heif.from_pillow(Image.fromarray(pixels))
        for _ in range(pages - 1):
            file.add_from_pillow(Image.fromarray(pixels))
        file.save(stream, quality=options.pop("quality", 95), **options)
        path.write_bytes(stream.getvalue()[: int(share * len(stream.getvalue()))])

    return make


def ten_bits(path):
    """Every level of ten bits from black to white, lossless."""
    pixels = TEN_BITS << 6
    if path.suffix == ".heic":
        pillow_heif.encode("RGB;16", (40, 30), pixels.tobytes(), path, quality=-1, chroma="444", matrix_coefficients=0)
    else:
        image = pyvips.Image.new_from_array(pixels).copy(interpretation="rgb16")
        image.write_to_file(str(path), bitdepth=10, lossless=True)


def bitmap_with_alpha(path):
    """The disc in a BMP of the fourth version, with masks for four channels."""
    data = DISC[::-1, :, [2, 1, 0, 3]].tobytes()
    header = struct.pack("<IiiHHIIiiII", 108, 40, 30, 1, 32, 3, len(data), 0, 0, 0, 0)
    header += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    path.write_bytes(struct.pack("<2sIII", b"BM", 122 + len(data), 0, 122) + header + data)


def cut(make, share=0.6):
    def shortened(path):
        make(path)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return shortened


def read(path):
    """The pixels in the file, and Pillow's mode."""
    with Image.open(path) as image:
        return np.asarray(image), image.mode


# name: (file name, function, mode of the result, pixels of the result or None for lossy formats)
RESULTS = {
    "RGB": ("a.png", saved(PHOTO), "RGB", PHOTO),
    "JPEG": ("a.jpg", saved(PHOTO, quality=95), "RGB", None),
    "JPEG by its other name": ("a.JPEG", saved(PHOTO, quality=95), "RGB", None),
    "grayscale": ("a.png", saved(PHOTO[..., 0]), "L", PHOTO[..., 0]),
    "grayscale JPEG": ("a.jpg", saved(PHOTO[..., 0], quality=95), "L", None),
    "one bit": ("a.png", converted("1"), "L", np.asarray(Image.fromarray(PHOTO).convert("1").convert("L"))),
    "palette": ("a.png", converted("P"), "RGB", np.asarray(Image.fromarray(PHOTO).convert("P").convert("RGB"))),
    "RGBA": ("a.png", saved(np.dstack([PHOTO, np.full((30, 40), 255, np.uint8)])), "RGBA", None),
    "grayscale with alpha": ("a.png", converted("LA"), "LA", np.asarray(Image.fromarray(PHOTO).convert("LA"))),
    "16-bit RGB": ("a.png", lambda path: deep(DEEP, path), "RGB", None),
    "16-bit grayscale": ("a.png", lambda path: deep(DEEP[..., :1], path), "I;16", DEEP[..., 0]),
    "16-bit grayscale TIFF": ("a.tif", lambda path: deep(DEEP[..., :1], path), "I;16", DEEP[..., 0]),
    "TIFF": ("a.tiff", saved(PHOTO), "RGB", PHOTO),
    "TIFF with LZW": ("a.tif", saved(PHOTO, compression="tiff_lzw"), "RGB", PHOTO),
    "TIFF in tiles": ("a.tif", tiff(tile=(16, 16), compression="zlib"), "RGB", PHOTO),
    "TIFF in strips": ("a.tif", tiff(rowsperstrip=8, compression="zlib"), "RGB", PHOTO),
    "TIFF with unknown tags": ("a.tif", tiff(extratags=[(65000, "s", 0, "a word", True)]), "RGB", PHOTO),
    "JPEG with bytes between markers": ("a.jpg", with_bytes_between, "RGB", None),
    "grayscale TIFF": ("a.tif", saved(PHOTO[..., 0]), "L", PHOTO[..., 0]),
    "RGBA TIFF": ("a.tif", saved(np.dstack([PHOTO, PHOTO[..., :1] // 2 + 100])), "RGBA", None),
    "WebP": ("a.webp", saved(PHOTO, quality=95), "RGB", None),
    "WebP with alpha": ("a.webp", saved(np.dstack([PHOTO, PHOTO[..., :1] // 2 + 100]), lossless=True), "RGBA", None),
    "CMYK JPEG": ("a.jpg", converted("CMYK", quality=95), "RGB", None),
    "CMYK TIFF": ("a.tif", converted("CMYK"), "RGB", None),
    "1x1": ("a.png", saved(PHOTO[:1, :1]), "RGB", PHOTO[:1, :1]),
    "1x4000": ("a.png", saved(np.tile(PHOTO[:1], (1, 100, 1))), "RGB", np.tile(PHOTO[:1], (1, 100, 1))),
    "4000x1": ("a.png", saved(np.tile(PHOTO[:, :1], (134, 1, 1))), "RGB", np.tile(PHOTO[:, :1], (134, 1, 1))),
    "another ending than its format": ("a.png", lambda path: Image.fromarray(PHOTO).save(path, "TIFF"), "RGB", PHOTO),
    "a long name": (f"{'n' * 251}.png", saved(PHOTO), "RGB", PHOTO),
    "spaces and other letters": ("ein Bild – 写真 фото.png", saved(PHOTO), "RGB", PHOTO),
    "brackets and quotes": ("a[1],'b' \"c\"[Q=3].png", saved(PHOTO), "RGB", PHOTO),
    "no ending but its own": (".jpg.png", saved(PHOTO), "RGB", PHOTO),
}

# The same for formats without a writer: the results are PNG.
OTHERS = {
    "BMP": ("a.bmp", saved(PHOTO), "RGB", PHOTO),
    "BMP with alpha": ("a.bmp", bitmap_with_alpha, "RGBA", None),
    "gray BMP": ("a.BMP", saved(PHOTO[..., 0]), "L", PHOTO[..., 0]),
    "BMP with a palette": ("a.bmp", lambda path: PALETTE.save(path), "RGB", np.asarray(PALETTE.convert("RGB"))),
    "BMP of one bit": ("a.bmp", converted("1"), "L", np.asarray(Image.fromarray(PHOTO).convert("1").convert("L"))),
    "GIF": ("a.gif", lambda path: PALETTE.save(path), "RGB", np.asarray(PALETTE.convert("RGB"))),
    "GIF with transparency": ("a.gif", saved(DISC), "RGBA", None),
    "AVIF": ("a.avif", saved(PHOTO, quality=95), "RGB", None),
    "AVIF with alpha": ("a.avif", saved(DISC, quality=100, subsampling="4:4:4"), "RGBA", None),
    "HEIC": ("a.heic", heic(), "RGB", None),
    "HEIC by its other name": ("a.HIF", heic(), "RGB", None),
    "HEIC with alpha": ("a.heif", heic(DISC, quality=-1, chroma="444"), "RGBA", None),
    "gray HEIC": ("a.heic", heic(np.asarray(Image.fromarray(PHOTO).convert("L"))), "L", None),
}

# libvips would render this file, including its link.
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/hostname"/></svg>'

REFUSALS = {
    "empty": ("a.png", lambda path: path.write_bytes(b""), "a.png: the file is empty"),
    "text": (
        "a.png",
        lambda path: path.write_text("not an image"),
        "not an image; PNG, JPEG, WebP, TIFF, BMP, PNM, GIF, AVIF and HEIC are read",
    ),
    "JPEG cut short": ("a.jpg", cut_short(".jpg"), MISSING),
    "PNG cut short": ("a.png", cut_short(".png"), MISSING),
    "WebP cut short": ("a.webp", cut_short(".webp"), MISSING),
    "TIFF cut short": ("a.tif", tiff(0.5), MISSING),
    "TIFF in strips cut short": ("a.tif", tiff(0.5, rowsperstrip=8), MISSING),
    "TIFF with deflate cut short": ("a.tif", tiff(0.5, compression="zlib"), "libvips: "),
    "TIFF in tiles cut short": ("a.tif", tiff(0.5, tile=(16, 16)), MISSING),
    "TIFF in tiles with deflate cut short": ("a.tif", tiff(0.5, tile=(16, 16), compression="zlib"), MISSING),
    "TIFF with a short strip": ("a.tif", short_strip(None, 30), MISSING),
    "TIFF with a short strip of deflate": ("a.tif", short_strip("tiff_adobe_deflate", 30), "libvips: "),
    "TIFF with a short strip of LZW": ("a.tif", short_strip("tiff_lzw", 30), "libvips: "),
    "TIFF with a short last strip": ("a.tif", short_strip(None, 10), MISSING),
    "TIFF with a short last strip of deflate": ("a.tif", short_strip("tiff_adobe_deflate", 10), "libvips: "),
    "TIFF with a short last strip of LZW": ("a.tif", short_strip("tiff_lzw", 10), "libvips: "),
    "only a beginning": ("a.jpg", cut_short(".jpg", 0.001), MISSING),
    "animated WebP": (
        "a.webp",
        saved(PHOTO, save_all=True, append_images=[Image.fromarray(PHOTO[::-1])]),
        "it holds 2 frames or pages; save the one that you want as a separate file",
    ),
    "animated PNG": (
        "a.png",
        saved(PHOTO, save_all=True, append_images=[Image.fromarray(PHOTO[::-1])]),
        "it is an animated PNG; save the frame that you want as a separate file",
    ),
    "animated GIF": (
        "a.gif",
        saved(PHOTO, save_all=True, append_images=[Image.fromarray(PHOTO[::-1])]),
        "it holds 2 frames or pages; save the one that you want as a separate file",
    ),
    "animated AVIF": (
        "a.avif",
        saved(PHOTO, save_all=True, append_images=[Image.fromarray(PHOTO[::-1])]),
        "it is an animated AVIF; save the frame that you want as a separate file",
    ),
    "HEIC of two pages": ("a.heic", heic(pages=2), "it holds 2 frames or pages"),
    "BMP cut short": ("a.bmp", cut(saved(PHOTO)), "a damaged BMP (Pillow: image file is truncated"),
    "GIF cut short": ("a.gif", cut(saved(PHOTO)), "libvips: "),
    "AVIF cut short": ("a.avif", cut(saved(PHOTO)), "libvips: "),
    "HEIC cut short": ("a.heic", cut(heic()), "a damaged HEIC (libheif: "),
    "BMP of many pixels": (
        "a.bmp",
        lambda path: path.write_bytes(
            b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, 100_000, 100_000, 1, 24, *[0] * 6)
        ),
        "it claims 100000x100000 pixels, more than the 268,435,456 accepted",
    ),
    "camera raw": (
        "a.CR2",
        saved(PHOTO, format="TIFF"),
        "camera raw files are not read; develop them into TIFF or PNG",
    ),
    "JPEG XL": (
        "a.jxl",
        lambda path: path.write_bytes(b"\xff\x0a\0"),
        "JPEG XL is not read; convert it into PNG first",
    ),
    "drawing": ("a.svg", lambda path: path.write_text("<svg/>"), "drawings and documents are not read; render them"),
    "drawing under another name": ("a.png", lambda path: path.write_text(SVG), "a.png: not an image; PNG, JPEG, WebP"),
    "document under another name": ("a.jpg", lambda path: path.write_bytes(b"%PDF-1.4\n"), "a.jpg: not an image; PNG"),
    "TIFF of two pages": (
        "a.tif",
        saved(PHOTO, save_all=True, append_images=[Image.fromarray(PHOTO[::-1])]),
        "it holds 2 frames or pages",
    ),
    "float": (
        "a.tif",
        saved(PHOTO[..., 0].astype(np.float32)),
        "its pixels are float numbers, which have no",
    ),
    "decompression bomb": ("a.png", bomb, "it claims 100000x100000 pixels, more than the 268,435,456 accepted"),
    "too long for JPEG": (
        "a.jpg",
        saved(np.zeros((1, 40000, 3), np.uint8)),
        "80000x2 pixels, and jpg holds 65535",
    ),
    "too long for WebP": ("a.webp", saved(np.zeros((1, 9000, 3), np.uint8)), "18000x2 pixels, and webp holds 16383"),
}


def test_the_tables_are_long_enough():
    assert len(RESULTS) + len(REFUSALS) >= 30


@pytest.mark.parametrize("case", RESULTS)
def test_result(case, upscale, tmp_path):
    name, make, mode, pixels = RESULTS[case]
    (tmp_path / "in").mkdir()
    make(tmp_path / "in" / name)
    status, out, err = upscale(tmp_path / "in" / name, "--output", tmp_path / "out")
    assert status == 0, err
    assert err == ""
    assert "\n1 upscaled in " in out
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    result, result_mode = read(tmp_path / "out" / name)
    assert result_mode == mode
    if pixels is not None:
        np.testing.assert_array_equal(result, doubled(pixels))
    elif "16-bit" not in case:
        # Lossy or with alpha: within the tolerance of the format and of bicubic alpha.
        original = np.asarray(Image.open(tmp_path / "in" / name).convert(mode)).astype(float)
        assert np.abs(result - doubled(original)).mean() < (12 if "CMYK" in case else 6)


@pytest.mark.parametrize("case", OTHERS)
def test_result_of_a_format_that_is_not_written(case, upscale, tmp_path):
    name, make, mode, pixels = OTHERS[case]
    (tmp_path / "in").mkdir()
    make(tmp_path / "in" / name)
    status, _, err = upscale(tmp_path / "in", "--output", tmp_path / "out")
    assert (status, err) == (0, "")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    result, result_mode = read(tmp_path / "out" / "a.png")
    assert result_mode == mode
    if pixels is not None:
        np.testing.assert_array_equal(result, doubled(pixels))
    else:
        original = DISC if "A" in mode else PHOTO
        original = doubled(Image.fromarray(original).convert("RGBA").convert(mode))
        opaque = original[..., 3] == 255 if mode == "RGBA" else np.full(result.shape[:2], True)
        assert np.abs(result.astype(float) - original)[opaque].mean() < 6
        assert mode != "RGBA" or (result[~opaque][:, 3] < 128).mean() > 0.9


@pytest.mark.parametrize("name", ["a.avif", "a.heic"])
def test_ten_bits_become_sixteen_from_black_to_white(name, upscale, tmp_path):
    ten_bits(tmp_path / name)
    assert upscale(tmp_path / name, "--output", tmp_path)[0] == 0
    result = pyvips.Image.new_from_file(str(tmp_path / "a.png"))
    assert result.format == "ushort"
    np.testing.assert_array_equal(result.numpy(), doubled(np.rint(TEN_BITS * (65535 / 1023))))


@pytest.mark.parametrize("kind", ["avif", "heic"])
def test_orientation_exif_and_profile_of_phones_photos(kind, upscale, tmp_path):
    exif = exif_of(_274=6, _282=200.0, _283=200.0, _296=2)
    if kind == "avif":
        Image.fromarray(PHOTO).save(tmp_path / "a.avif", quality=95, exif=exif, icc_profile=PROFILE)
    else:
        heic(exif=exif.tobytes(), icc_profile=PROFILE, xmp=b"<x:xmpmeta/>")(tmp_path / "a.heic")
    assert upscale(tmp_path / f"a.{kind}", "--output", tmp_path)[0] == 0
    with Image.open(tmp_path / "a.png") as result:
        assert np.abs(np.asarray(result) - doubled(np.rot90(PHOTO, -1)).astype(float)).mean() < 6
        assert result.getexif()[0x010F] == "a camera"
        assert result.getexif().get(0x0112, 1) == 1
        assert result.info["icc_profile"] == PROFILE
        assert result.info["dpi"] == pytest.approx((200, 200), abs=0.02)
        if kind == "heic":
            assert "xmpmeta" in str(result.info["XML:com.adobe.xmp"])


def test_resolution_of_a_bmp(upscale, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.bmp", dpi=(300, 300))
    assert upscale(tmp_path / "a.bmp", "--output", tmp_path)[0] == 0
    assert Image.open(tmp_path / "a.png").info["dpi"] == pytest.approx((300, 300), abs=0.02)


def test_images_that_cannot_be_read_are_named_and_the_rest_is_done(models, tmp_path, warm):
    """Reads without pillow-heif, which most users do not have."""
    for name in ("in", "only"):
        (tmp_path / name).mkdir()
        for i in range(7):
            heic()(tmp_path / name / f"{i}.heic")
    Image.fromarray(PHOTO).save(tmp_path / "in" / "a.bmp")
    Image.fromarray(PHOTO).save(tmp_path / "in" / "b.jfif", "JPEG")
    for name in ("c.NEF", "notes.txt", "data.json", ".hidden.dng"):
        (tmp_path / "in" / name).write_text("something")
    program = "import sys; sys.modules['pillow_heif'] = None; from esrgan_tf.cli.main import main; "
    program += "folder, model = sys.argv[1:]; flags = ['--output', f'{folder}/out', '--model', model]; "
    program += "print([main(['upscale', f'{folder}/{name}', *flags]) for name in ('only', 'in')]); "
    program += "main(['upscale', f'{folder}/in/0.heic', *flags])"
    (tmp_path / "program.py").write_text(program)
    result = warm.run("python", tmp_path / "program.py", tmp_path, models / "nearest.keras")
    help_for_heic = "HEIC is read with pillow-heif (pip install pillow-heif)"
    help_for_raw = "camera raw files are not read; develop them into TIFF or PNG first"
    first, *rest = result.stderr.splitlines()
    assert first.endswith(f" in {tmp_path / 'only'}; 0.heic, 1.heic, 2.heic and 4 more: {help_for_heic}")
    assert rest == [
        f"esrgan-tf: 0.heic, 1.heic, 2.heic, 3.heic, 4.heic and 2 more: left out; {help_for_heic}",
        f"esrgan-tf: c.NEF: left out; {help_for_raw}",
        f"esrgan-tf: {tmp_path / 'in' / '0.heic'}: {help_for_heic}",
    ]
    _, done, statuses, _, failed = result.stdout.splitlines()
    assert done.startswith("2 upscaled in ")
    assert done.endswith(", 8 left out")
    assert statuses == "[2, 0]"
    assert failed.endswith(", 1 failed")
    assert result.returncode == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png", "b.jpg"}


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif"])
def test_gray_stored_as_rgb_gets_no_tint(kind, upscale, tmp_path):
    """Uses a network that changes colours; the result is RGB like the stored image, with its profile."""
    Image.fromarray(np.dstack([PHOTO[..., 1]] * 3)).save(tmp_path / f"a.{kind}", icc_profile=PROFILE)
    status, _, err = upscale(tmp_path / f"a.{kind}", "--output", tmp_path / f"b.{kind}", model="other")
    assert status == 0, err
    with Image.open(tmp_path / f"b.{kind}") as result:
        assert result.mode == "RGB"
        assert result.info["icc_profile"] == PROFILE
        pixels = np.asarray(result).astype(int)
    assert np.ptp(pixels, axis=-1).max() <= 2
    assert np.ptp(pixels[..., 0]) > 20


def test_a_network_of_one_channel_takes_gray_stored_as_rgb(run_main, tmp_path):
    image = keras.Input((None, None, 1))
    keras.Model(image, keras.layers.UpSampling2D(2)(image)).save(tmp_path / "gray.keras")
    gray = PHOTO[..., 1]
    Image.fromarray(np.dstack([gray] * 3)).save(tmp_path / "a.png")
    Image.fromarray(PHOTO).save(tmp_path / "b.png")
    flags = ("--output", tmp_path / "out", "--model", tmp_path / "gray.keras", "--precision", "float32")
    status, _, err = run_main("upscale", tmp_path / "a.png", tmp_path / "b.png", *flags)
    assert status == 1
    assert "b.png: it has colours, and the model takes gray; choose another --model" in err
    result = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    np.testing.assert_array_equal(result, np.dstack([gray.repeat(2, 0).repeat(2, 1)] * 3))


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal(case, upscale, tmp_path):
    name, make, message = REFUSALS[case]
    (tmp_path / "in").mkdir()
    make(tmp_path / "in" / name)
    status, out, err = upscale(tmp_path / "in" / name, "--output", tmp_path / "out")
    assert status == 1
    assert message in err
    assert err.startswith(f"esrgan-tf: {tmp_path / 'in' / name}: ")
    assert err.count("\n") == 1, err
    assert ", 1 failed" in out
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bands", [3, 4])
def test_sixteen_bits_stay_sixteen(bands, suffix, upscale, tmp_path):
    pixels = np.concatenate([DEEP, np.full((30, 40, 1), 65535, np.uint16)], axis=2)[..., :bands]
    deep(pixels, tmp_path / f"a{suffix}")
    assert upscale(tmp_path / f"a{suffix}", "--output", tmp_path / f"b{suffix}")[0] == 0
    result = pyvips.Image.new_from_file(str(tmp_path / f"b{suffix}"))
    assert result.format == "ushort"
    np.testing.assert_array_equal(result.numpy(), doubled(pixels))


def test_transparency_has_no_fringe(upscale, tmp_path):
    """The colour under the transparency is black; no visible pixel of the result may contain black."""
    Image.fromarray(DISC).save(tmp_path / "a.png")
    for flags in ((), ("--alpha_upscaler", "model"), ("--outscale", "3"), ("--ensemble",)):
        status, _, err = upscale(tmp_path / "a.png", "--output", tmp_path / "b.png", "--overwrite", *flags)
        assert status == 0, err
        result, mode = read(tmp_path / "b.png")
        assert mode == "RGBA"
        visible = result[result[..., 3] > 0]
        assert len(visible) > 1000
        assert (visible[:, :3] == (255, 0, 0)).all()


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("bands", [1, 3])
def test_visible_colours_stay_where_they_are(bands, depth, upscale, tmp_path):
    """In a cut-out of noise every visible pixel keeps its colour, and transparent pixels take visible colours."""
    noise = (DEEP if depth == 16 else (DEEP // 257).astype(np.uint8))[..., :bands]
    opaque = np.iinfo(noise.dtype).max
    pixels = np.dstack([np.where(VISIBLE[..., None], noise, 0), VISIBLE.astype(noise.dtype) * opaque])
    form = {1: "b-w", 3: "srgb"} if depth == 8 else {1: "grey16", 3: "rgb16"}
    pyvips.Image.new_from_array(pixels).copy(interpretation=form[bands]).write_to_file(str(tmp_path / "a.png"))
    assert upscale(tmp_path / "a.png", "--output", tmp_path / "b.png", "--alpha_upscaler", "model")[0] == 0
    result = pyvips.Image.new_from_file(str(tmp_path / "b.png")).numpy()
    np.testing.assert_array_equal(result[..., -1], doubled(pixels[..., -1]))
    np.testing.assert_array_equal(result[doubled(VISIBLE)][:, :-1], doubled(noise)[doubled(VISIBLE)])
    hidden = result[~doubled(VISIBLE)][:, :-1]
    assert hidden.min() >= noise[VISIBLE].min()  # no black from the transparency


def test_a_large_cut_out_takes_no_time_to_fill():
    """Filling works at every scale at once, without a loop over distances."""
    colour, alpha = np.zeros((1500, 2000, 3), np.uint8), np.zeros((1500, 2000, 1), np.uint8)
    colour[700:760, 900:960], alpha[700:760, 900:960] = (10, 200, 30), 255
    filled = reading.without_hidden_colours(colour, alpha)
    assert (filled == (10, 200, 30)).all()


def test_transparency_is_bicubic_or_the_models(upscale, tmp_path):
    Image.fromarray(DISC).save(tmp_path / "a.png")
    alphas = {}
    for kind in ("bicubic", "model"):
        assert upscale(tmp_path / "a.png", "--output", tmp_path / f"{kind}.png", "--alpha_upscaler", kind)[0] == 0
        alphas[kind] = read(tmp_path / f"{kind}.png")[0][..., 3]
    np.testing.assert_array_equal(alphas["model"], doubled(DISC[..., 3]))
    expected = Image.fromarray(DISC[..., 3].astype(np.float32)).resize((80, 60), Image.Resampling.BICUBIC)
    inside = np.s_[4:-4, 4:-4]  # at the edge Pillow weighs existing pixels, libvips repeats them
    assert np.abs(alphas["bicubic"].astype(float) - np.clip(expected, 0, 255))[inside].max() <= 1


@pytest.mark.parametrize("value", [0, 128, 255])
def test_transparency_that_is_the_same_everywhere_stays_so(value, upscale, tmp_path):
    pixels = np.dstack([PHOTO, np.full((30, 40), value, np.uint8)])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for kind in ("bicubic", "model"):
        status, _, err = upscale(
            tmp_path / "a.png", "--output", tmp_path / f"{kind}.png", "--alpha_upscaler", kind, model="other"
        )
        assert status == 0, err
        assert (read(tmp_path / f"{kind}.png")[0][..., 3] == value).all()


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_orientation_is_applied_and_exif_and_profile_are_kept(kind, upscale, tmp_path):
    with_exif(tmp_path / "a.jpg")
    assert upscale(tmp_path / "a.jpg", "--output", tmp_path / "out", "--format", kind)[0] == 0
    with Image.open(tmp_path / "out" / f"a.{kind}") as result:
        assert result.size == (60, 80)
        turned = doubled(np.rot90(PHOTO, -1)).astype(float)
        assert np.abs(np.asarray(result) - turned).mean() < 6
        exif = result.getexif()
        assert exif[0x0112] == 1
        assert exif[0x010F] == "a camera"
        assert exif.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
        assert result.info["icc_profile"] == PROFILE


def test_profile_and_resolution_are_kept_in_tiff(upscale, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.tif", icc_profile=PROFILE, dpi=(300, 300))
    assert upscale(tmp_path / "a.tif", "--output", tmp_path / "b.tif")[0] == 0
    with Image.open(tmp_path / "b.tif") as result:
        assert result.info["icc_profile"] == PROFILE
        assert result.info["dpi"] == (300, 300)


def exif_of(**tags):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    for number, value in tags.items():
        exif[int(number[1:])] = value
    return exif


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Photos of every format, with their resolution in their names."""
    folder, photo = tmp_path_factory.mktemp("measured"), Image.fromarray(PHOTO)
    inches = exif_of(_282=200.0, _283=200.0, _296=2)
    for kind in ("png", "jpg", "webp", "tif"):
        photo.save(folder / f"{kind}-nothing.{kind}")
        if kind != "tif":
            photo.save(folder / f"{kind}-exif-nothing.{kind}", exif=exif_of())
            photo.save(folder / f"{kind}-exif-200.{kind}", exif=inches)
        if kind != "webp":
            photo.save(folder / f"{kind}-300.{kind}", dpi=(300, 300))
    photo.save(folder / "png-72.png", dpi=(72, 72))  # libvips' default resolution
    photo.save(folder / "tif-25.4.tif", dpi=(25.4, 25.4))
    return folder


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif"])
def test_a_result_has_a_resolution_only_if_its_input_has(kind, measured, upscale, tmp_path):
    status, _, err = upscale(measured, "--output", tmp_path, "--format", kind)
    assert status == 0, err
    results = sorted(tmp_path.iterdir())
    assert len(results) == 15
    for path in results:
        *_, about, dpi = path.stem.split("-")
        with Image.open(path) as image:
            assert image.size == (80, 60)
            image.load()
            exif, info = image.getexif(), image.info
            if dpi == "nothing":
                assert not {282, 283, 296} & set(exif), path
                # Without a resolution, Pillow returns 1 for a TIFF, and 72 for the EXIF of a JPEG.
                assert "dpi" not in info or kind == "tif" or (kind, about) == ("jpg", "exif"), path
            elif kind in ("png", "tif"):
                assert info["dpi"] == pytest.approx((float(dpi), float(dpi)), abs=0.02)
            else:
                assert (exif[282], exif[283], exif[296]) == (*[pytest.approx(float(dpi), abs=0.02)] * 2, 2)
            if kind != "tif":
                assert (0x010F in exif) == (about == "exif")
                if about != "exif" and (dpi == "nothing" or kind == "png"):
                    assert not exif, path


def test_a_resolution_turns_with_its_image(upscale, tmp_path):
    exif = exif_of(_274=6)  # turn clockwise
    Image.fromarray(PHOTO).save(tmp_path / "a.png", dpi=(100, 200), exif=exif)
    assert upscale(tmp_path / "a.png", "--output", tmp_path / "b.png")[0] == 0
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["dpi"] == pytest.approx((200, 100), abs=0.02)


@pytest.mark.parametrize("outscale", ["0.5", "1", "1.7", "3"])
def test_outscale(outscale, upscale, tmp_path):
    """Scales by any factor, and keeps the position of the photo."""
    photo = skimage.data.astronaut()[:200, :240]
    Image.fromarray(photo).save(tmp_path / "a.png")
    assert upscale(tmp_path / "a.png", "--output", tmp_path / "b.png", "--outscale", outscale)[0] == 0
    result, _ = read(tmp_path / "b.png")
    height, width = (round(size * float(outscale)) for size in photo.shape[:2])
    assert result.shape == (height, width, 3)
    resample = Image.Resampling.BICUBIC if float(outscale) > 2 else Image.Resampling.LANCZOS
    expected = np.asarray(Image.fromarray(doubled(photo)).resize((width, height), resample))
    assert np.abs(result.astype(float) - expected).mean() < 1


def test_outscale_is_quantised_last(upscale, models, tmp_path):
    """Downscaling averages values before eight bits round or clip them."""
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    assert (
        upscale(
            tmp_path / "a.png",
            "--output",
            tmp_path / "b.png",
            "--outscale",
            "1",
            "--precision",
            "float32",
            model="other",
        )[0]
        == 0
    )
    model = keras.models.load_model(models / "other.keras")
    upscaled = np.asarray(model(PHOTO[np.newaxis].astype(np.float32) / 255))[0]
    reduced = pyvips.Image.new_from_array(upscaled).resize(0.5, kernel="lanczos3").numpy()
    expected = np.rint(np.clip(reduced, 0, 1) * 255)
    np.testing.assert_array_equal(read(tmp_path / "b.png")[0], expected)


def test_metadata_that_a_format_cannot_contain_is_named(upscale, tmp_path):
    Image.fromarray(DISC).save(tmp_path / "disc.png")
    status, _, err = upscale(tmp_path / "disc.png", "--output", tmp_path / "disc.jpg")
    assert (status, err) == (0, "esrgan-tf: disc.png: transparency became white, as jpg has none\n")
    assert read(tmp_path / "disc.jpg")[0][0, 0].min() > 250
    deep(DEEP, tmp_path / "deep.png")
    status, _, err = upscale(tmp_path / "deep.png", "--output", tmp_path / "deep.webp")
    assert (status, err) == (0, "esrgan-tf: deep.png: 16 bits became 8, which is what webp holds\n")
    assert np.abs(read(tmp_path / "deep.webp")[0] - doubled(DEEP / 257)).mean() < 40


def test_a_folder_with_a_broken_file_is_done_but_for_it(upscale, tmp_path):
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    for name in ("a.png", "c.jpg", "below/d.png", ".hidden.png"):
        Image.fromarray(PHOTO).save(folder / name)
    (folder / "b.png").write_text("broken")
    (folder / "notes.txt").write_text("not meant")
    status, out, err = upscale(folder, "--output", tmp_path / "out")
    assert status == 1
    assert (
        err == f"esrgan-tf: {folder / 'b.png'}: not an image; "
        "PNG, JPEG, WebP, TIFF, BMP, PNM, GIF, AVIF and HEIC are read\n"
    )
    assert "\n2 upscaled in " in out
    assert out.endswith(", 1 failed\n")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png", "c.jpg"}

    # The same command resumes, now with subfolders.
    status, out, _ = upscale(folder, "--output", tmp_path / "out", "--recursive", "--skip_existing", "--suffix=")
    assert status == 1
    assert "\n1 upscaled in " in out
    assert "2 skipped because their results exist, 1 failed" in out
    assert (tmp_path / "out" / "below" / "d.png").is_file()


def test_images_of_one_size_are_not_taken_for_one_another(upscale, tmp_path):
    photos = [np.full((30, 40, 3), colour, np.uint8) for colour in RNG.integers(0, 256, (5, 3))]
    (tmp_path / "in").mkdir()
    for i, photo in enumerate(photos):
        Image.fromarray(photo).save(tmp_path / "in" / f"{i}.png")
    for outscale in ("2", "1"):
        flags = ("--output", tmp_path / "out", "--overwrite", "--outscale", outscale)
        assert upscale(tmp_path / "in", *flags)[0] == 0
        for i, photo in enumerate(photos):
            result, _ = read(tmp_path / "out" / f"{i}.png")
            np.testing.assert_array_equal(result, doubled(photo) if outscale == "2" else photo)


def test_results_inside_the_input_folder_are_no_inputs(upscale, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    flags = ("--output", tmp_path / "big", "--recursive", "--suffix", "_x2")
    assert upscale(tmp_path, *flags)[0] == 0
    status, out, err = upscale(tmp_path, *flags, "--skip_existing")
    assert status == 0, err
    assert "\n0 upscaled in " in out
    assert "1 skipped" in out
    assert [path.name for path in (tmp_path / "big").iterdir()] == ["a_x2.png"]


def test_a_profile_that_does_not_fit_is_left_out_and_reported(upscale, tmp_path):
    """A gray image with a profile for RGB."""
    Image.fromarray(PHOTO[..., 0]).save(tmp_path / "a.jpg", icc_profile=PROFILE)
    status, _, err = upscale(tmp_path / "a.jpg", "--output", tmp_path / "b.jpg")
    assert status == 0
    assert err == "esrgan-tf: a.jpg: its colour profile was left out: it is for RGB, and the result is gray\n"
    assert "icc_profile" not in Image.open(tmp_path / "b.jpg").info


def test_a_link_stays_a_link(upscale, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    (tmp_path / "real.png").write_text("before")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    assert upscale(tmp_path / "a.png", "--output", tmp_path / "link.png", "--overwrite")[0] == 0
    assert (tmp_path / "link.png").is_symlink()
    np.testing.assert_array_equal(read(tmp_path / "real.png")[0], doubled(PHOTO))


def test_suffix_and_format(upscale, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    Image.fromarray(PHOTO).save(tmp_path / "b.jpg")
    flags = ("--output", tmp_path / "out", "--suffix", "_x2", "--format", "webp")
    assert upscale(tmp_path / "a.png", tmp_path / "b.jpg", *flags)[0] == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a_x2.webp", "b_x2.webp"}


def test_overwrite_replaces_only_when_complete(upscale, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("before")
    (tmp_path / "broken.png").write_text("broken")
    assert upscale(tmp_path / "broken.png", "--output", tmp_path / "b.png", "--overwrite")[0] == 1
    assert (tmp_path / "b.png").read_text() == "before"
    assert upscale(tmp_path / "a.png", "--output", tmp_path / "b.png", "--overwrite")[0] == 0
    np.testing.assert_array_equal(read(tmp_path / "b.png")[0], doubled(PHOTO))
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png", "broken.png"}


def test_without_output_results_are_next_to_their_originals(upscale, tmp_path, monkeypatch):
    (tmp_path / "photos" / "below").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    for name in ("a.png", "b.jpg", "other/c.png", "photos/d.png", "photos/below/e.png"):
        Image.fromarray(PHOTO).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    status, out, err = upscale("a.png", model="compact")
    assert (status, err) == (0, "")
    model, summary = out.splitlines()
    assert re.fullmatch(r".*compact\.keras: SRVGGNetCompact: scale 2, 4 filters, .*", model)
    assert re.fullmatch(r"1 upscaled in \d+ s( in bfloat16)?: a_x2\.png", summary)
    np.testing.assert_array_equal(read(tmp_path / "a_x2.png")[0], doubled(PHOTO))

    assert upscale("b.jpg", "other/c.png", "photos/", "--format", "webp", "--outscale", "1.5")[0] == 0
    assert upscale("photos", "--recursive", "--suffix", "_big")[0] == 0
    monkeypatch.chdir(tmp_path / "photos" / "below")
    assert upscale(".")[0] == 0
    new = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*_x*") if path.is_file()}
    new |= {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*_x*/**/*") if path.is_file()}
    assert new == {
        "a_x2.png", "b_x1.5.webp", "other/c_x1.5.webp", "photos_x1.5/d.webp", "photos_x2/d_big.png",
        "photos_x2/below/e_big.png", "photos/below_x2/e.png",
    }  # fmt: skip


def test_beside_an_original_nothing_is_written_over(upscale, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    (tmp_path / "a_x2.png").write_text("before")
    status, out, err = upscale(tmp_path / "a.png")
    assert (status, out) == (2, "")
    assert err == f"esrgan-tf: there is already {tmp_path / 'a_x2.png'}; give --overwrite or --skip_existing\n"
    status, _, err = upscale(tmp_path / "a.png", tmp_path / "a_x2.png")  # the second time, *.png matches both files
    assert (status, f"{tmp_path / 'a_x2.png'} is an input" in err) == (2, True)
    assert (tmp_path / "a_x2.png").read_text() == "before"
    for place, message in (("-", "standard input (-) needs --output"), ("/", "the result of / needs a folder")):
        status, _, err = upscale(place)
        assert (status, message in err) == (2, True)


@pytest.mark.parametrize("kind", ["heic", "avif", "jpg", "webp", "tif", "png"])
def test_damaged_bytes_have_a_plain_message(kind, tmp_path):
    stream = io.BytesIO()
    if kind == "heic":
        pillow_heif.from_pillow(Image.fromarray(PHOTO)).save(stream, quality=90)
    else:
        Image.fromarray(PHOTO).save(stream, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper()))
    whole, reported = np.frombuffer(stream.getvalue(), np.uint8), 0
    for seed in range(200):
        rng, damaged = np.random.default_rng(seed), whole.copy()
        places = rng.integers(12, min(600, len(whole)), rng.integers(1, 4))
        damaged[places] = rng.integers(0, 256, len(places))
        try:
            reading.read_picture(damaged.tobytes())
        except UserError:
            reported += 1
    assert reported


def test_names_that_collide_are_distinguished(upscale, tmp_path):
    for name in ("a.bmp", "a.png", "b.gif"):
        Image.fromarray(PHOTO).save(tmp_path / name)
    status, out, err = upscale(tmp_path / "a.bmp", tmp_path / "a.png", tmp_path / "b.gif", tmp_path / "./a.png")
    assert (status, err) == (0, "")
    assert "\n3 upscaled in " in out
    assert {path.name for path in tmp_path.glob("*_*")} == {"a_x2.png", "a_x2_bmp.png", "b_x2.png"}


def test_skip_existing_leaves_results_of_the_time_before_alone(upscale, tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(PHOTO).save(tmp_path / name)
    assert upscale(tmp_path / "a.png")[0] == 0
    status, out, err = upscale(*sorted(tmp_path.glob("*.png")), "--skip_existing")
    assert (status, err) == (0, "")
    assert "\n1 upscaled in " in out
    assert "1 skipped because their results exist" in out
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png", "a_x2.png", "b_x2.png"}


def test_inputs_are_checked_before_the_model(run_main, tmp_path):
    (tmp_path / "model.keras").write_text("broken")
    for inputs, message in (((tmp_path / "absent.png",), "no file or folder"), ((), "nothing to upscale")):
        status, _, err = run_main("upscale", *inputs, "--model", tmp_path / "model.keras")
        assert (status, message in err) == (2, True)


MISTAKES = {
    "nothing": ((), "nothing to upscale"),
    "no such input": (("{tmp}/absent.png",), "no file or folder {tmp}/absent.png"),
    "empty folder": (
        ("{tmp}/empty",),
        ".bmp, .ppm, .pgm, .pbm, .pnm, .gif, .avif, .heic, .heif, .hif) in {tmp}/empty; --recursive",
    ),
    "result exists": (("{tmp}/a.png", "--output", "{tmp}/b.png"), "there is already {tmp}/b.png; give --overwrite"),
    "result is the input": (("{tmp}/a.png", "--output", "{tmp}"), "{tmp}/a.png is an input"),
    "two of one name": (("{tmp}/a.png", "{tmp}/sub/a.png"), "would both become {tmp}/out/a.png"),
    "format and ending": (("{tmp}/a.png", "--output", "{tmp}/c.png", "--format", "jpg"), "name two formats"),
    "foreign ending": (("{tmp}/a.png", "--output", "{tmp}/c.gif"), "use the extension .png, .jpg"),
    "several into a file": (
        ("{tmp}/a.png", "{tmp}/b.png", "--output", "{tmp}/c.png"),
        "for one image, use the extension .png",
    ),
    "suffix for a file": (("{tmp}/a.png", "--output", "{tmp}/c.png", "--suffix", "_x"), "--suffix is for results in a"),
    "unknown format": (("{tmp}/a.png", "--format", "gif"), "should be one of <png|jpg|webp|tif>"),
    "both ways": (("{tmp}/a.png", "--overwrite", "--skip_existing"), "contradict each other"),
    "suffix is a path": (("{tmp}/a.png", "--suffix", "/x"), "must be part of a name"),
    "outscale of nothing": (("{tmp}/a.png", "--outscale", "0"), "--outscale 0: must be above 0"),
    "outscale is no number": (("{tmp}/a.png", "--outscale", "big"), "outscale"),
    "tile too small": (("{tmp}/a.png", "--tile", "40", "--overlap", "24"), "tile 40 is too small for an overlap of 24"),
    "negative tile": (("{tmp}/a.png", "--tile", "-1"), "tile"),
    "many to standard output": (
        ("{tmp}/a.png", "{tmp}/b.png", "--output", "-"),
        "standard output takes a single image",
    ),
    "standard input among others": (("-", "{tmp}/a.png"), "standard input (-) cannot be combined"),
    "standard input into a folder": (("-",), "name a file with the extension .png"),
    "below a file": (("{tmp}/a.png", "--output", "{tmp}/b.png/c.png"), "{tmp}/b.png is a file, not a folder"),
    "no model": (("{tmp}/a.png", "--model", "{tmp}/absent.keras"), "--model: no file or folder {tmp}/absent.keras"),
    "model is an image": (("{tmp}/a.png", "--model", "{tmp}/a.png"), "is a PNG picture"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(mistake, models, run_main, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "b.png", "sub/a.png"):
        Image.fromarray(PHOTO).save(tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    argv, message = MISTAKES[mistake]
    argv = [argument.format(tmp=tmp_path) for argument in argv]
    argv += [] if "--output" in argv else ["--output", str(tmp_path / "out")]
    argv += [] if "--model" in argv else ["--model", str(models / "nearest.keras")]
    status, _, err = run_main("upscale", *argv)
    assert status == 2, err
    assert message.format(tmp=tmp_path) in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def run(models, *argv, **options):
    command = [sys.executable, "-c", "from esrgan_tf.cli.main import entry_point; entry_point()", "upscale"]
    command += [*map(str, argv), "--model", str(models / "nearest.keras")]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, **options)


def test_standard_input_and_output(models, tmp_path):
    stream = io.BytesIO()
    Image.fromarray(PHOTO).save(stream, "PNG")
    result = run(models, "-", "--output", "-", input=stream.getvalue())
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(result.stdout))), doubled(PHOTO))
    assert b"\n1 upscaled in " in result.stderr


def test_a_read_only_folder(models, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o555)

    def obey_permissions():  # root loses the right to ignore permissions: PR_CAPBSET_DROP, CAP_DAC_OVERRIDE
        ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)

    result = run(models, tmp_path / "a.png", "--output", tmp_path / "out", preexec_fn=obey_permissions)
    (tmp_path / "out").chmod(0o755)
    assert result.returncode == 1
    assert result.stderr.startswith(f"esrgan-tf: {tmp_path / 'a.png'}: Permission denied: ".encode())
    assert result.stderr.count(b"\n") == 1
    assert not list((tmp_path / "out").iterdir())


@contextlib.contextmanager
def files_up_to(size):
    """Limits the file size, so that the disk is full at this size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk(upscale, tmp_path):
    """The disk is too small for the network's output, or only for the larger encoded result."""
    noise = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    source, target = tmp_path / "a.png", tmp_path / "out" / "a.png"
    Image.fromarray(noise).save(source)
    unpacked = 4 * 4 * noise.size  # of twice the rows and columns, in float32
    for size, words in ((unpacked // 2, "File too large\n"), (unpacked + 2**16, f"{target}: libvips: ")):
        with files_up_to(size):
            status, _, err = upscale(source, "--outscale", "8", "--output", target)
        assert status == 1
        assert err.startswith(f"esrgan-tf: {source}: {words}")
        assert "File too large" in err
        assert err.count("\n") == 1
        assert not list(target.parent.iterdir())


def test_a_full_standard_output(models, tmp_path):
    """A device that is always full."""
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-c", "from esrgan_tf.cli.main import entry_point; entry_point()", "upscale"]
        command += [str(tmp_path / "a.png"), "--output", "-", "--model", str(models / "nearest.keras")]
        result = subprocess.run(command, cwd=REPOSITORY, stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert b"No space left on device" in result.stderr


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_leaves_nothing(stop, models, tmp_path, warm):
    """Stops the process during writing, which its open files indicate."""
    Image.fromarray(np.tile(skimage.data.astronaut(), (8, 8, 1))).save(tmp_path / "a.png")
    out = tmp_path / "out"
    argv = ("upscale", tmp_path / "a.png", "--output", out, "--model", models / "nearest.keras")
    process = warm.start("esrgan-tf", *argv)
    descriptors = Path(f"/proc/{process.pid}/fd")
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            if any(str(out) in os.readlink(link) for link in descriptors.iterdir()):
                break
        time.sleep(0.01)
    process.send_signal(stop)
    assert process.wait() == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[stop]
    assert not list(out.iterdir())


def test_without_a_terminal_lines_report_progress(upscale, tmp_path, monkeypatch):
    """Prints after every tile and image, not only every ten seconds."""
    monkeypatch.setattr(progress, "EVERY", 0)
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(skimage.data.astronaut()[:100, :100]).save(tmp_path / "in" / name)
    (tmp_path / "in" / "b.png").write_text("broken")
    flags = ("--output", tmp_path / "out", "--tile", "64", "--overlap", "4")
    status, _, err = upscale(tmp_path / "in", *flags)
    lines = err.splitlines()
    assert status == 1
    # 2x2 tiles of 60 and 40 pixels; the last tile and the last image print no remaining time.
    shares = [int(found[1]) for line in lines if (found := re.search(r"a\.png \(1 of 3\): (\d+)%, \d+ s left$", line))]
    assert len(shares) == 3
    assert shares == sorted(shares)
    assert [line[11:24] for line in lines if "of 3 images, " in line] == ["1 of 3 images", "2 of 3 images"]
    assert len([line for line in lines if "c.png (3 of 3): " in line]) == 3
    assert len(lines) == 3 + 1 + 1 + 1 + 3


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (59.5, "1 min 0 s"), (3605, "60 min 5 s")])
def test_durations(seconds, words):
    assert progress.duration(seconds) == words
