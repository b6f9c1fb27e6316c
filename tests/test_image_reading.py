"""The meaning of the numbers in an image file (bands, colours, gray), for upscaling and for training."""

import io
import threading

import numpy as np
import pytest
import pyvips
import skimage.data
import tifffile
from PIL import Image, ImageOps

from esrgan_tf.data import folder
from esrgan_tf.errors import UserError
from esrgan_tf.imaging import reading
from esrgan_tf.imaging.reading import read_picture, read_rgb

PHOTO = np.ascontiguousarray(skimage.data.astronaut()[20:64, 60:126])
GRAY = PHOTO[..., 1].copy()
MASK = np.where(np.add.outer(np.arange(44), np.arange(66)) % 7 == 0, 0, 200).astype(np.uint8)


def tiff(pixels, **options) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def saved(image, kind, **options) -> bytes:
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **options)
    return stream.getvalue()


FOUR, FIVE = np.dstack([PHOTO, MASK]), np.dstack([PHOTO, MASK, GRAY])
BANDS = {
    "RGB and an unspecified band": (FOUR, {"photometric": "rgb", "extrasamples": ["unspecified"]}, "RGB and 1 of no"),
    "the same in planes": (
        np.moveaxis(FOUR, -1, 0), {"photometric": "rgb", "planarconfig": "separate", "extrasamples": [0]}, "RGB and 1"
    ),
    "gray and three bands": (FOUR, {"photometric": "minisblack", "planarconfig": "contig"}, "gray and 3 of no"),
    "gray and two bands": (PHOTO, {"photometric": "minisblack", "planarconfig": "contig"}, "gray and 2 of no declared"),
    "RGB, transparency and a mask": (FIVE, {"photometric": "rgb", "extrasamples": [2, 0]}, "RGB and 2 of no declared"),
    "CMYK and a spot ink": (FIVE, {"photometric": "separated", "extrasamples": [0]}, "CMYK and 1 of no declared"),
    "a sensor's mosaic": (GRAY, {"photometric": "cfa"}, "kind 32803"),
    "float": (PHOTO.astype(np.float32), {"photometric": "rgb"}, "float numbers"),
    "signed": (PHOTO.astype(np.int16), {"photometric": "rgb"}, "short numbers"),
}  # fmt: skip


@pytest.mark.parametrize("case", BANDS)
def test_bands_of_no_declared_meaning_are_refused_by_name(case):
    pixels, options, words = BANDS[case]
    for read in (read_picture, read_rgb):
        with pytest.raises(UserError, match=words):
            read(tiff(pixels, **options))


def test_declared_transparency_is_transparency():
    """Premultiplied transparency counts too; the colours are divided by it."""
    picture = read_picture(tiff(FOUR, photometric="rgb", extrasamples=["unassalpha"]))
    np.testing.assert_array_equal(picture.alpha[..., 0], MASK)
    np.testing.assert_array_equal(picture.colour[MASK > 0], PHOTO[MASK > 0])
    multiplied = np.rint(PHOTO * (MASK[..., None] / 255.0)).astype(np.uint8)
    picture = read_picture(tiff(np.dstack([multiplied, MASK]), photometric="rgb", extrasamples=["assocalpha"]))
    np.testing.assert_array_equal(picture.alpha[..., 0], MASK)
    assert np.abs(picture.colour[MASK > 0].astype(int) - PHOTO[MASK > 0]).max() <= 1


def lab_to_srgb(lab):
    """CIELAB with a white of D50 to sRGB in [0, 1], by the formulas of ICC.1 and IEC 61966-2-1."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.9642, 1.0, 0.8249]
    # From D50 to linear sRGB, adapted by Bradford (Lindbloom).
    matrix = [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
    linear = np.clip(xyz @ np.array(matrix).T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


LAB = np.stack(
    [*np.meshgrid(np.linspace(20, 90, 44), np.linspace(-15, 15, 66), indexing="ij"), np.full((44, 66), -12.0)], -1
)


@pytest.mark.parametrize("kind", [8, 9])
@pytest.mark.parametrize("bits", [8, 16])
def test_lab_becomes_srgb(bits, kind):
    """PhotometricInterpretation 8 has signed a and b; PhotometricInterpretation 9 (ICC) has shifted values."""
    lightness, ab = LAB[..., :1], LAB[..., 1:]
    if bits == 8:
        parts = [lightness * 2.55, ab + 128 if kind == 9 else ab % 256]
    else:
        parts = [lightness * (652.8 if kind == 9 else 655.35), (ab + 128) * 256 if kind == 9 else (ab * 256) % 65536]
    stored = np.concatenate([np.rint(part) for part in parts], -1).astype(f"uint{bits}")
    picture = read_picture(tiff(stored, photometric=kind))
    most = np.iinfo(picture.colour.dtype).max
    assert picture.colour.dtype.itemsize * 8 == bits
    difference = np.abs(picture.colour / most - lab_to_srgb(LAB))
    assert difference.max() < (0.03 if bits == 8 else 0.004)  # a step of 8 bits in a and b is up to six levels


GRAY_AS_RGB = {
    "PNG": saved(np.dstack([GRAY] * 3), "PNG"),
    "JPEG": saved(np.dstack([GRAY] * 3), "JPEG", quality=60),
    "JPEG with colours in less detail": saved(np.dstack([GRAY] * 3), "JPEG", quality=90, subsampling=2),
    "WebP": saved(np.dstack([GRAY] * 3), "WEBP", lossless=True),
    "a scan with a little noise": saved(np.dstack([GRAY, GRAY, GRAY // 2 * 2]), "PNG"),
    "with transparency": saved(np.dstack([GRAY, GRAY, GRAY, MASK]), "PNG"),
}


@pytest.mark.parametrize("case", GRAY_AS_RGB)
def test_gray_stored_as_rgb_is_gray(case):
    picture = read_picture(GRAY_AS_RGB[case])
    assert picture.colour.shape == (44, 66, 1)
    assert picture.stored_bands == 3


def test_weak_colours_are_colours():
    tinted = np.dstack([GRAY, GRAY, np.maximum(GRAY, 3) - 3])
    assert read_picture(saved(tinted, "PNG")).colour.shape == (44, 66, 3)


def exif_png():
    exif = Image.Exif()
    exif[0x0112] = 8
    return saved(PHOTO, "PNG", exif=exif)


def gray16(**options):
    return tiff((GRAY.astype(np.uint16) * 257), **options)


ODD = {
    "CMYK JPEG": saved(Image.fromarray(PHOTO).convert("CMYK"), "JPEG", quality=95),
    "CMYK TIFF": saved(Image.fromarray(PHOTO).convert("CMYK"), "TIFF"),
    "white is zero": tiff(GRAY, photometric="miniswhite"),
    "white is zero in 16 bits": gray16(photometric="miniswhite"),
    "16 bits in strips of one row": gray16(rowsperstrip=1),
    "RGB of 16 bits": tiff(PHOTO.astype(np.uint16) * 257, photometric="rgb"),
    "RGB of 16 bits, big-endian": tiff(PHOTO.astype(np.uint16) * 257, photometric="rgb", byteorder=">"),
    "RGB in planes": tiff(np.moveaxis(PHOTO, -1, 0), photometric="rgb", planarconfig="separate"),
    "RGB in tiles": tiff(PHOTO, photometric="rgb", tile=(16, 16)),
    "LZW": saved(PHOTO, "TIFF", compression="tiff_lzw"),
    "a TIFF of JPEG": saved(PHOTO, "TIFF", compression="jpeg"),
    "single bits": saved(Image.fromarray(GRAY > 100), "TIFF", compression="group4"),
    "a palette TIFF": saved(Image.fromarray(PHOTO).quantize(32), "TIFF"),
    "transparency TIFF": tiff(FOUR, photometric="rgb", extrasamples=["unassalpha"]),
    "premultiplied TIFF": tiff(FOUR // 2, photometric="rgb", extrasamples=["assocalpha"]),
    "gray with transparency TIFF": tiff(np.dstack([GRAY, MASK]), photometric="minisblack", extrasamples=["unassalpha"]),
    "Lab": tiff(np.dstack([GRAY, MASK * 0, MASK * 0]), photometric="cielab"),
    "Lab of 16 bits": pyvips.Image.new_from_array(PHOTO).colourspace("labs").tiffsave_buffer(),
    "a turned PNG": exif_png(),
    "a palette PNG": saved(Image.fromarray(PHOTO).quantize(16), "PNG"),
    "a palette PNG with transparency": saved(Image.fromarray(FOUR).quantize(16), "PNG"),
    "a PNG of single bits": saved(Image.fromarray(GRAY > 100), "PNG"),
    "a PNG of 2 bits": saved(Image.fromarray(PHOTO).quantize(4), "PNG", bits=2),
    "a PNG of 16 bits with a transparent level": saved(
        Image.fromarray(GRAY.astype(np.uint16) * 257), "PNG", transparency=int(GRAY[3, 3]) * 257
    ),
    "an RGB PNG with a transparent colour": saved(PHOTO, "PNG", transparency=tuple(int(v) for v in PHOTO[2, 2])),
    "gray with transparency": saved(np.dstack([GRAY, MASK]), "PNG"),
    "RGB of 16 bits with transparency": pyvips.Image.new_from_array(FOUR.astype(np.uint16) * 257).pngsave_buffer(),
    "an interlaced PNG": pyvips.Image.new_from_array(PHOTO).pngsave_buffer(interlace=True),
    "a progressive JPEG": saved(PHOTO, "JPEG", progressive=True),
    "a gray JPEG": saved(GRAY, "JPEG"),
    "an RGB JPEG": saved(PHOTO, "JPEG", keep_rgb=True),
    "a JPEG without an end": saved(PHOTO, "JPEG")[:-2],
    "a WebP": saved(PHOTO, "WEBP"),
    "a WebP with transparency": saved(FOUR, "WEBP", lossless=True),
    "a GIF": saved(PHOTO, "GIF"),
    "a GIF with transparency": saved(Image.fromarray(FOUR), "GIF"),
    "a BMP": saved(PHOTO, "BMP"),
    "a BMP with a palette": saved(Image.fromarray(PHOTO).quantize(16), "BMP"),
    "an AVIF": saved(PHOTO, "AVIF"),
    "a PPM": saved(PHOTO, "PPM"),
}


# Files that Pillow does not read, or reads with 8 bits or simplified colours.
NOT_BY_PILLOW = ("CMYK", "premultiplied", "Lab", "planes", "AVIF", "16 bits", "HEIC")
LOSSY = ("JPEG", "WebP")


@pytest.mark.parametrize("case", ODD)
def test_training_and_upscaling_read_the_same_pixels(case):
    """Pillow reads the same pixels, if it supports all of the format."""
    data = ODD[case]
    picture, rgb = read_picture(data), read_rgb(data)
    colour = picture.colour / (np.iinfo(picture.colour.dtype).max / 255)
    if picture.alpha is not None:
        alpha = picture.alpha / np.iinfo(picture.alpha.dtype).max
        colour = colour * alpha + 255 * (1 - alpha)
    assert np.abs(rgb - colour).max() <= 0.51
    if any(words in case for words in NOT_BY_PILLOW):
        return
    with Image.open(io.BytesIO(data + b"\xff\xd9" if "without an end" in case else data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGBA")
    expected = np.asarray(Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB"))
    assert np.abs(rgb - expected.astype(int)).max() <= (3 if any(words in case for words in LOSSY) else 1)


PAGES = {
    "GIF": saved(Image.fromarray(GRAY), "GIF", save_all=True, append_images=[Image.fromarray(255 - GRAY)]),
    "PNG": saved(Image.fromarray(GRAY), "PNG", save_all=True, append_images=[Image.fromarray(255 - GRAY)]),
    "WebP": saved(Image.fromarray(PHOTO), "WEBP", save_all=True, append_images=[Image.fromarray(255 - PHOTO)]),
    "TIFF": saved(Image.fromarray(PHOTO), "TIFF", save_all=True, append_images=[Image.fromarray(255 - PHOTO)]),
}


@pytest.mark.parametrize("case", PAGES)
def test_training_and_upscaling_refuse_several_pictures(case):
    for read in (read_picture, read_rgb):
        with pytest.raises(UserError, match=r"2 frames or pages|animated"):
            read(PAGES[case])


@pytest.mark.parametrize("thumbnail_first", [False, True])
def test_a_thumbnail_is_no_page(thumbnail_first):
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as file:
        for thumbnail in (thumbnail_first, not thumbnail_first):
            file.write(PHOTO[::4, ::4] if thumbnail else PHOTO, photometric="rgb", subfiletype=int(thumbnail))
    np.testing.assert_array_equal(read_rgb(stream.getvalue()), PHOTO)


TRIALS = {
    "R02/cmyk.jpg": (48, 64, 3),
    "R03/minisblack4.tif": "gray and 3 of no declared meaning",
    "R03/planes.tif": "RGB and 1 of no declared meaning",
    "R03/rgb_nir.tif": "RGB and 1 of no declared meaning",
    "R03/three_gray.tif": "gray and 2 of no declared meaning",
    "R09/l16_key.png": (48, 64, 1),
    "R10/orientation0.tif": (48, 64, 3),
    "R10/unit9.tif": (48, 64, 3),
    "R10/unsorted.tif": (48, 64, 3),
    "R11/page_l.png": (64, 64, 1),
    "R11/page_rgb.jpg": (64, 64, 1),
    "R11/page_rgb.png": (64, 64, 1),
    "R11/white_is_zero16.tif": (64, 64, 1),
    "R12/no_end.jpg": (48, 64, 3),
    "R12/no_end_progressive.jpg": (48, 64, 3),
    "R19/gray_as_rgb.png": (48, 64, 1),
    "R21/float.tif": "float numbers",
    "R21/long_text.png": (48, 64, 3),
    "R21/moving.gif": "2 frames or pages",
    "R21/moving.png": "animated PNG",
    "R21/moving.tif": "2 frames or pages",
    "R21/moving.webp": "2 frames or pages",
}


@pytest.mark.shared
@pytest.mark.parametrize("name", TRIALS)
def test_users_files(name, trials):
    path, expected = trials / name, TRIALS[name]
    for read in (read_picture, read_rgb):
        if isinstance(expected, str):
            with pytest.raises(UserError, match=expected):
                read(path)
        else:
            read(path)
    if not isinstance(expected, str):
        assert read_picture(path).colour.shape == expected


@pytest.mark.shared
@pytest.mark.parametrize("name", ["lab8.tif", "lab16.tif", "lab_alpha.tif"])
def test_users_lab_files_have_the_colours_of_the_photo(name, trials):
    photo = read_rgb(trials / "R07" / "generated.png").astype(int)
    picture = read_picture(trials / "R04" / name)
    most = np.iinfo(picture.colour.dtype).max
    assert np.abs(picture.colour * (255 / most) - photo).mean() < 1
    assert np.abs(read_rgb(trials / "R04" / name) - photo).mean() < 1 or picture.alpha is not None


@pytest.mark.shared
def test_users_page_without_its_tint(trials, tmp_path):
    """`R11`: white is zero, and black on white, in an image of one gray channel."""
    white_is_zero = read_rgb(trials / "R11" / "white_is_zero16.tif")
    np.testing.assert_array_equal(white_is_zero, read_rgb(trials / "R11" / "page_l.png"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_no_lock_keeps_threads_from_decoding_at_once(kind, tmp_path, monkeypatch):
    """Two threads decode two images of a folder at the same time; a lock around decoding would block both."""
    for name in ("a", "b"):
        Image.fromarray(PHOTO).save(tmp_path / f"{name}.png", kind)
    meeting = threading.Barrier(2, timeout=20)
    read_metadata = reading.read_metadata

    def meet(*arguments):
        meeting.wait()
        return read_metadata(*arguments)

    monkeypatch.setattr(reading, "read_metadata", meet)
    assert [name for name, _, _ in folder.folder_source(str(tmp_path), None, 2).pairs()] == ["a.png", "b.png"]


def test_an_image_that_takes_long_keeps_no_thread_waiting(tmp_path, monkeypatch):
    """The 32nd image ends after the start of the 41st. Up to 32 images are decoded ahead of the consumer."""
    for i in range(44):
        Image.fromarray(PHOTO[: 8 + i % 2]).save(tmp_path / f"{i:02d}.png")
    begun = threading.Event()
    read = folder.read_rgb

    def read_late(path):
        if path.stem == "40":
            begun.set()
        if path.stem == "31":
            assert begun.wait(timeout=20)
        return read(path)

    monkeypatch.setattr(folder, "read_rgb", read_late)
    pairs = list(folder.folder_source(str(tmp_path), None, 1).pairs())
    assert [name for name, _, _ in pairs] == [f"{i:02d}.png" for i in range(44)]
    assert all(hr.shape[0] == 8 + i % 2 for i, (_, _, hr) in enumerate(pairs))
