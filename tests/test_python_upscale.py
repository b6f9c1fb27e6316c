"""`esrgan_tf.upscale` from Python, with a network that doubles every pixel, so that each result is predictable."""

import gc
import io
import os
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageCms

import esrgan_tf
from esrgan_tf.config import load_config, save_config
from esrgan_tf.errors import UserError
from esrgan_tf.inference import images
from esrgan_tf.inference.engines import keras_engine
from esrgan_tf.models import compact_generator, dpsr_generator
from tests.conftest import randomise

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
    exif[0x0112] = 6  # turn clockwise
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
def test_invisible_colours_do_not_bleed(nearest, by_path, tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4] = (200, 10, 10, 255)  # black under the transparency next to the disc
    image = Image.fromarray(pixels)
    image.save(tmp_path / "photo.png")
    result = esrgan_tf.upscale(tmp_path / "photo.png" if by_path else image, nearest)
    assert (np.asarray(result)[..., :3] == (200, 10, 10)).all()


@pytest.fixture
def counted(monkeypatch):
    """Counts how often models are loaded and prepared."""
    counts = Counter()

    def counting(function):
        def call(*arguments, **named):
            counts[function.__name__] += 1
            return function(*arguments, **named)

        return call

    images._opened_runner.cache_clear()
    for module, function in ((images, images.open_runner), (keras_engine, keras_engine.KerasRunner)):
        monkeypatch.setattr(module, function.__name__, counting(function))
    yield counts
    images._opened_runner.cache_clear()


SMALL = np.zeros((4, 4, 3), np.uint8)


@pytest.mark.parametrize("model", [None, "faithful", "run", "file"])
def test_a_named_model_is_loaded_and_compiled_once(model, nearest, counted, tmp_path):
    if model in ("run", "file"):
        nearest.save(tmp_path / "nearest.keras")
        model = tmp_path / "nearest.keras" if model == "file" else tmp_path
    if model == tmp_path:
        (tmp_path / "psnr").mkdir()
        (tmp_path / "nearest.keras").rename(tmp_path / "psnr" / "generator.keras")
        save_config(load_config(None, []), tmp_path / "config.yaml")
    for _ in range(3):
        esrgan_tf.upscale(SMALL, model)
    esrgan_tf.upscale(SMALL, model, ensemble=True)
    assert counted == {"open_runner": 1} | ({} if model in (None, "faithful") else {"KerasRunner": 1})


def test_a_file_that_has_changed_is_loaded_again(nearest, counted, tmp_path):
    path = tmp_path / "a.keras"
    nearest.save(path)
    np.testing.assert_array_equal(esrgan_tf.upscale(PHOTO, path), doubled(PHOTO))
    other = randomise(compact_generator(2, filters=4, blocks=0))
    other.save(path)
    os.utime(path, ns=(1, 1))
    assert (esrgan_tf.upscale(PHOTO, path) != doubled(PHOTO)).any()
    assert counted["open_runner"] == 2


def test_a_link_is_a_model_too(nearest, tmp_path):
    """A link in the cache of Hugging Face leads to a file without an extension."""
    nearest.save(tmp_path / "nearest.keras")
    (tmp_path / "nearest.keras").rename(tmp_path / "0123abcd")
    (tmp_path / "link.keras").symlink_to(tmp_path / "0123abcd")
    np.testing.assert_array_equal(esrgan_tf.upscale(PHOTO, tmp_path / "link.keras"), doubled(PHOTO))


@pytest.mark.parametrize("native", [True, False])
def test_a_model_that_was_trained_since_gives_its_new_result(native, monkeypatch):
    monkeypatch.setattr(keras_engine, "has_bfloat16", lambda: native)
    model = randomise(compact_generator(2, filters=4, blocks=1))
    before = esrgan_tf.upscale(PHOTO, model)
    np.testing.assert_array_equal(esrgan_tf.upscale(PHOTO, model), before)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    np.testing.assert_array_equal(esrgan_tf.upscale(PHOTO, model), doubled(PHOTO))


def test_few_compiled_functions_of_a_model_are_kept(counted):
    model = dpsr_generator(4, 4, 1)
    for noise in (1.0, 2.0, 3.0, 3.0, 2.0, 1.0):
        esrgan_tf.upscale(SMALL, model, noise=noise)
    assert counted["KerasRunner"] == 4
    assert len(model.__dict__["_esrgan_tf_runners"]) == 2


def test_compiled_functions_are_freed_with_their_model():
    model = compact_generator(2, filters=4, blocks=0)
    esrgan_tf.upscale(SMALL, model)
    gone = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert gone() is None


def test_threads_share_a_model(nearest, counted, tmp_path):
    """The threads also share loading and compiling."""
    nearest.save(tmp_path / "a.keras")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (rng.integers(5, 60), rng.integers(5, 60), 3), np.uint8) for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda image: esrgan_tf.upscale(image, tmp_path / "a.keras", tile=48), images))
    for image, result in zip(images, results, strict=True):
        np.testing.assert_array_equal(result, doubled(image))
    assert counted == {"open_runner": 1, "KerasRunner": 1}


def test_an_image_that_cannot_be_upscaled_is_one_line(nearest, tmp_path):
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


def test_the_upscaler_is_public():
    model = randomise(compact_generator(2, filters=4, blocks=1))
    with pytest.warns(FutureWarning, match=r"esrgan_tf\.Enlarger is now esrgan_tf\.Upscaler"):
        assert esrgan_tf.Enlarger is esrgan_tf.Upscaler
    result = esrgan_tf.Upscaler(model, tile=48)(PHOTO)
    np.testing.assert_array_equal(result, esrgan_tf.upscale(PHOTO, model, tile=48, precision="float32"))
