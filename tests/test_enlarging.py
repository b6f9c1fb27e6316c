"""`esrgan_tf.upscale`, which notebooks call, with a network that doubles every pixel, so that each result is known."""

import io

import numpy as np
import pytest
import skimage.data
from PIL import Image

import esrgan_tf
from esrgan_tf.errors import UserError
from esrgan_tf.models import compact_generator

PHOTO = skimage.data.astronaut()[100:130, 200:240]  # 30x40


@pytest.fixture(scope="module")
def nearest():
    model = compact_generator(2, filters=4, blocks=0)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    return model


def doubled(pixels):
    return np.asarray(pixels).repeat(2, axis=0).repeat(2, axis=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_array_comes_back_as_one(nearest, dtype, channels):
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (7, 5, channels)).astype(dtype)
    result = esrgan_tf.upscale(image, nearest)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, doubled(image))


@pytest.mark.parametrize(("mode", "expected"), [("RGB", "RGB"), ("L", "L"), ("1", "L"), ("P", "RGB"), ("CMYK", "RGB")])
def test_a_pillow_image_comes_back_as_one(nearest, mode, expected):
    image = Image.fromarray(PHOTO).convert(mode)
    result = esrgan_tf.upscale(image, nearest)
    assert (result.mode, result.size) == (expected, (80, 60))
    np.testing.assert_array_equal(result, doubled(image.convert(expected)))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_kept(nearest, mode):
    image = Image.fromarray(PHOTO).convert(mode)
    image.putalpha(Image.fromarray(PHOTO[..., 1]))
    result = esrgan_tf.upscale(image, nearest)
    assert result.mode == mode
    colour = "RGB" if mode == "RGBA" else "L"
    np.testing.assert_array_equal(np.asarray(result)[..., :-1].squeeze(), doubled(image.convert(colour)))
    alpha = Image.fromarray(PHOTO[..., 1]).resize((80, 60), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(np.asarray(result)[..., -1], alpha)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_path_is_opened_upright(nearest, kind, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right
    Image.fromarray(PHOTO).save(tmp_path / "photo.png", exif=exif)
    result = esrgan_tf.upscale(kind(tmp_path / "photo.png"), nearest)
    np.testing.assert_array_equal(result, doubled(np.rot90(PHOTO, -1)))


def test_a_model_is_named_by_its_path(nearest, tmp_path):
    nearest.save(tmp_path / "nearest.keras")
    np.testing.assert_array_equal(esrgan_tf.upscale(PHOTO, tmp_path / "nearest.keras"), doubled(PHOTO))


def test_what_cannot_be_enlarged_is_one_line(nearest, tmp_path):
    stream = io.BytesIO()
    Image.fromarray(skimage.data.astronaut()).save(stream, "PNG")
    (tmp_path / "cut.png").write_bytes(stream.getvalue()[:100_000])
    (tmp_path / "text.png").write_text("no image")
    cases = [
        (tmp_path / "absent.png", "absent.png: no image file that Pillow reads"),
        (tmp_path / "text.png", "text.png: no image file that Pillow reads"),
        (tmp_path, "no image file that Pillow reads"),
        (tmp_path / "cut.png", "cut.png cannot be decoded"),
        (Image.fromarray(PHOTO[..., 0].astype(np.int32)), "the image has pixels of mode I, not of 8 bits"),
    ]
    for image, message in cases:
        with pytest.raises(UserError, match=message):
            esrgan_tf.upscale(image, nearest)
    for image in (PHOTO / 255, PHOTO[..., 0]):
        with pytest.raises(UserError, match=r"expected uint8 or uint16 \[H, W, C\]"):
            esrgan_tf.upscale(image, nearest)
