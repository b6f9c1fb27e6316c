"""`esrgan_tf.upscale`, which notebooks call, with a network that doubles every pixel, so that each result is known."""

import io

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageCms

import esrgan_tf
from esrgan_tf.errors import UserError
from esrgan_tf.models import compact_generator
from esrgan_tf.upscaling import enlarging

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


def test_a_colour_profile_stays(nearest, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(PHOTO).save(tmp_path / "photo.png", icc_profile=profile)
    for image in (tmp_path / "photo.png", Image.open(tmp_path / "photo.png")):
        esrgan_tf.upscale(image, nearest).save(tmp_path / "result.png")
        with Image.open(tmp_path / "result.png") as result:
            assert result.info["icc_profile"] == profile


@pytest.mark.parametrize("by_path", [True, False])
def test_colours_that_nobody_sees_do_not_bleed(nearest, by_path, tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4] = (200, 10, 10, 255)  # black under the transparency beside it
    image = Image.fromarray(pixels)
    image.save(tmp_path / "photo.png")
    result = esrgan_tf.upscale(tmp_path / "photo.png" if by_path else image, nearest)
    assert (np.asarray(result)[..., :3] == (200, 10, 10)).all()


def test_the_packaged_network_is_opened_and_compiled_once():
    small = np.zeros((4, 4, 3), np.uint8)
    assert esrgan_tf.upscale(small).shape == (16, 16, 3)
    before = enlarging._enlarger.cache_info()
    assert esrgan_tf.upscale(small).shape == (16, 16, 3)
    after = enlarging._enlarger.cache_info()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)


def test_what_cannot_be_enlarged_is_one_line(nearest, tmp_path):
    stream = io.BytesIO()
    Image.fromarray(skimage.data.astronaut()).save(stream, "PNG")
    (tmp_path / "cut.png").write_bytes(stream.getvalue()[:100_000])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    frames = [Image.fromarray(PHOTO), Image.fromarray(PHOTO[::-1])]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(PHOTO[..., 0].astype(np.uint16)).save(tmp_path / "deep.png")
    cases = [
        (tmp_path / "absent.png", "no image file .*absent.png"),
        (tmp_path / "text.png", "text.png: not an image"),
        (tmp_path / "empty.png", "empty.png: the file is empty"),
        (tmp_path / "cut.png", "cut.png: "),
        (tmp_path / "moving.gif", "moving.gif: it holds 2 frames"),
        (tmp_path / "deep.png", "deep.png has 16 bits"),
        (tmp_path, "no image file"),
        (Image.open(tmp_path / "cut.png"), "the image cannot be decoded"),
        (Image.fromarray(PHOTO[..., 0].astype(np.int32)), "the image has pixels of mode I, not of 8 bits"),
        (PHOTO / 255, r"expected uint8 or uint16 \[H, W, C\]"),
        (PHOTO[..., 0], r"expected uint8 or uint16 \[H, W, C\]"),
        (None, "the image is a NoneType; expected an array, a Pillow image or a path"),
    ]
    for image, message in cases:
        with pytest.raises(UserError, match=message):
            esrgan_tf.upscale(image, nearest)
    with pytest.raises(UserError, match="the model is a int; expected a Keras model, a path or a name"):
        esrgan_tf.upscale(PHOTO, 3)
