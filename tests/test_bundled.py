"""The bundled models, as they are in the package."""

import io

import numpy as np
import pytest
import skimage.data
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

import esrgan_tf
from esrgan_tf.errors import UserError
from esrgan_tf.evaluation.metrics import psnr
from esrgan_tf.imaging.resampling import bicubic, crop_to_multiple
from esrgan_tf.weights.architecture import recognise_model
from esrgan_tf.weights.bundled import BLENDED, DEFAULT, TIMES_2, bundled_models
from esrgan_tf.weights.loading import load_blend

PHOTOS = {"astronaut": 1.5, "coffee": 1.0, "chelsea": 0.5}  # the least gain over bicubic in dB
FAITHFUL = {"faithful"}  # the models that are judged by their pixels


def test_the_default_is_there():
    assert DEFAULT in bundled_models()


@pytest.mark.parametrize("name", bundled_models())
def test_a_bundled_model_is_small_and_has_metadata(name):
    bundled = bundled_models()[name]
    assert bundled.path.stat().st_size <= 2_000_000
    with safe_open(bundled.path, framework="numpy") as file:
        assert {file.get_tensor(key).dtype for key in file.keys()} == {np.dtype(np.float16)}  # noqa: SIM118
    model = esrgan_tf.load_model(name)
    architecture = recognise_model(model)
    assert bundled.facts["architecture"] == architecture.family.name
    assert int(bundled.facts["scale"]) == architecture.options.scale == (2 if name == TIMES_2 else 4)
    assert int(bundled.facts["parameters"]) == model.count_params()
    card = bundled.card.read_text()
    assert f"{model.count_params():,} parameters" in card
    for word in ("Trained on", "research and education", "Kodak", "Set5", bundled.facts["made_for"]):
        assert word in card


@pytest.mark.parametrize("name", FAITHFUL)
def test_bundled_models_gain_over_bicubic(name):
    """Photos that are not in the training data of the bundled models."""
    for photo, least in PHOTOS.items():
        hr = crop_to_multiple(getattr(skimage.data, photo)(), 4)
        lr = bicubic(hr, hr.shape[0] // 4, hr.shape[1] // 4)
        gain = psnr(hr, esrgan_tf.upscale(lr, name), border=4) - psnr(hr, bicubic(lr, *hr.shape[:2]), border=4)
        assert gain > least, photo


def test_photo_removes_noise_and_compression():
    rng, gains, over_faithful = np.random.default_rng(0), [], []
    for photo in PHOTOS:
        hr = crop_to_multiple(getattr(skimage.data, photo)(), 4)
        lr = bicubic(hr, hr.shape[0] // 4, hr.shape[1] // 4)
        file = io.BytesIO()
        noisy = np.clip(lr + rng.normal(0, 5, lr.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(file, "JPEG", quality=70)
        given = np.asarray(Image.open(file))
        scores = [psnr(hr, esrgan_tf.upscale(given, name), border=4) for name in ("photo", "faithful")]
        over_faithful.append(scores[0] - scores[1])
        gains.append(scores[0] - psnr(hr, bicubic(given, *hr.shape[:2]), border=4))
    assert np.mean(gains) > 0.2  # 0.27 dB; on fur it loses a little, because it draws texture
    assert min(over_faithful) > 0  # the texture costs pixel accuracy
    assert np.mean(over_faithful) > 0.3


def test_upscale_needs_nothing_but_a_photo(run_main, tmp_path):
    Image.fromarray(skimage.data.chelsea()[100:140, 100:150]).save(tmp_path / "photo.jpg", quality=95)
    status, out, err = run_main("upscale", tmp_path / "photo.jpg")
    assert (status, err) == (0, "")
    model, summary = out.splitlines()
    assert model.startswith(f"{DEFAULT}: Compact ResNet: scale 4, 64 filters, 9 blocks, 731,120 parameters")
    assert summary.replace(" in bfloat16", "").endswith(f" s: {tmp_path / 'photo_x4.jpg'}")
    with Image.open(tmp_path / "photo_x4.jpg") as result:
        assert result.size == (200, 160)
    assert esrgan_tf.upscale(tmp_path / "photo.jpg").size == (200, 160)


@pytest.mark.parametrize(
    ("flags", "network", "size"),
    [
        (["--outscale", "2"], f"{TIMES_2}: ", (40, 32)),
        (["--outscale", "1.5"], f"{TIMES_2}: ", (30, 24)),
        (["--outscale", "2.5"], f"{DEFAULT}: ", (50, 40)),
        (["--outscale", "2", "--model", DEFAULT], f"{DEFAULT}: ", (40, 32)),
        (["--outscale", "2", "--alpha", "0.5"], "faithful and sharp, alpha 0.5: ", (40, 32)),
    ],
)
def test_upscaling_by_2_uses_the_x2_model(flags, network, size, run_main, tmp_path):
    """An outscale up to 2 selects the ×2 model, unless the command names another model."""
    Image.fromarray(skimage.data.chelsea()[100:116, 100:120]).save(tmp_path / "photo.png")
    status, out, err = run_main("upscale", tmp_path / "photo.png", "--output", tmp_path / "large.png", *flags)
    assert (status, err) == (0, "")
    assert out.startswith(network)
    with Image.open(tmp_path / "large.png") as result:
        assert result.size == size


def test_the_x2_model_gains_over_bicubic():
    for photo, least in PHOTOS.items():
        hr = crop_to_multiple(getattr(skimage.data, photo)(), 2)[:256, :256]
        lr = bicubic(hr, hr.shape[0] // 2, hr.shape[1] // 2)
        gain = psnr(hr, esrgan_tf.upscale(lr, TIMES_2), border=2) - psnr(hr, bicubic(lr, *hr.shape[:2]), border=2)
        assert gain > least / 2, photo


def tensors(name):
    return load_file(bundled_models()[name].path)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_alpha_blends_every_weight(alpha):
    faithful, sharp = map(tensors, BLENDED)
    blended = {v.path: np.asarray(v) for v in load_blend(alpha).weights}
    # The file has the axes in PyTorch's order.
    for name in ("conv_first", "body.3.2", "conv_body"):
        expected = (1 - alpha) * np.float32(faithful[f"{name}.weight"]) + alpha * np.float32(sharp[f"{name}.weight"])
        path = f"{name.replace('.', '_')}/kernel"
        np.testing.assert_allclose(blended[path], expected.transpose(2, 3, 1, 0), atol=1e-6)


def test_alpha_of_upscale(run_main, tmp_path):
    pixels = skimage.data.chelsea()[100:140, 100:150]
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    status, out, err = run_main("upscale", tmp_path / "photo.png", "--alpha", "0.25")
    assert (status, err) == (0, "")
    assert out.startswith("faithful and sharp, alpha 0.25: Compact ResNet")
    result = np.asarray(Image.open(tmp_path / "photo_x4.png"))
    np.testing.assert_array_equal(result, esrgan_tf.upscale(pixels, alpha=0.25))
    exact = esrgan_tf.upscale(pixels, alpha=0.25, precision="float32").astype(int)
    differences = np.abs(exact - esrgan_tf.upscale(pixels, load_blend(0.25), precision="float32"))
    assert differences.max() <= 1
    assert (differences > 0).mean() <= 0.001


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--alpha", "1.5"], "--alpha=1.5"),
        (["--alpha", "0.5", "--model", "faithful"], "faithful.safetensors is a single network"),
    ],
)
def test_alpha_that_blends_nothing_is_refused(flags, words, run_main, tmp_path):
    Image.fromarray(skimage.data.chelsea()[:20, :20]).save(tmp_path / "photo.png")
    status, _, err = run_main("upscale", tmp_path / "photo.png", *flags)
    assert status == 2
    assert words in err
    assert err.count("\n") == 1


def test_alpha_of_an_open_network_is_refused():
    with pytest.raises(UserError, match="single network"):
        esrgan_tf.upscale(np.zeros((8, 8, 3), np.uint8), load_blend(0.5), alpha=0.5)
