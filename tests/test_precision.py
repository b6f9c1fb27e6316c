"""Upscaling in bfloat16: changes of the result, automatic selection, refusals."""

import keras
import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from PIL import Image

from esrgan_tf import load_model
from esrgan_tf.errors import UserError
from esrgan_tf.inference.engines import keras_engine
from esrgan_tf.inference.engines.keras_engine import forward, forward_bfloat16, lists_bfloat16, native_bfloat16
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.models import GENERATORS, compact_generator, compact_resnet_generator
from tests.conftest import randomise

SMALL = {
    "rrdb": {"filters": 8, "blocks": 1, "growth": 4},
    "rcan": {"filters": 8, "groups": 1, "blocks": 1, "reduction": 4},
    "dpsr": {"filters": 8, "blocks": 1},
}


@pytest.mark.parametrize("name", GENERATORS)
def test_every_network_computes_the_same_in_fewer_bits(name):
    keras.utils.set_random_seed(1)
    model = randomise(GENERATORS[name].build(**SMALL.get(name, {"filters": 8, "blocks": 1})))
    image = np.random.default_rng(0).random((1, 9, 11, model.outputs[0].shape[-1]), np.float32)
    exact, rounded = (of(model)(tf.constant(image)).numpy() for of in (forward, forward_bfloat16))
    assert rounded.dtype == np.float32
    assert 0 < np.sqrt(np.mean((rounded - exact) ** 2)) < 0.01 * exact.std()


def test_ends_are_float32_and_what_is_between_bfloat16():
    """bfloat16 has 8 bits: it rounds 1 + e to 1. All numbers here are exact in float32."""
    e, tiny = 2.0**-9, 2.0**-10
    model = compact_resnet_generator(1, filters=1, blocks=1)
    # The middle of each kernel, and the bias; the image has a single pixel.
    values = {
        "conv_first": ([[1], [0], [0]], [-0.5]),  # (0.5 + tiny) - 0.5, which is 0 in bfloat16
        "body_0_0": ([[1 + e]], [0]),
        "body_0_2": ([[1]], [0]),
        "conv_body": ([[1]], [0]),
        "conv_last": ([[(1 + e) / tiny] * 3], [0] * 3),
    }
    for name, (middle, bias) in values.items():
        kernel = np.zeros((3, 3, *np.shape(middle)))
        kernel[1, 1] = middle
        model.get_layer(name).set_weights([kernel, np.array(bias)])
    image = tf.fill((1, 1, 1, 3), 0.5 + tiny)
    exact, rounded = (of(model)(image).numpy()[0, 0, 0] for of in (forward, forward_bfloat16))
    np.testing.assert_array_equal(exact, np.float32(0.5 + tiny + (3 + e) * (1 + e)))
    np.testing.assert_array_equal(rounded, np.float32(0.5 + tiny + 3 * (1 + e)))


@pytest.mark.parametrize("name", ["faithful", "sharp", "photo"])
def test_bundled_models_lose_less_than_a_hundredth_of_a_decibel(name):
    photo = skimage.data.astronaut()[:256, 64:320]
    reduced = photo.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
    image = np.rint(reduced).astype(np.uint8)
    model = load_model(name)
    exact, rounded = (Upscaler(model, precision=p)(image).astype(np.float64) for p in ("float32", "bfloat16"))
    losses = [10 * np.log10(255**2 / np.mean((result - photo) ** 2)) for result in (exact, rounded)]
    assert abs(losses[0] - losses[1]) < 0.01
    assert 0 < np.abs(exact - rounded).max() <= 4


@pytest.fixture
def model():
    return randomise(compact_generator(2, filters=4, blocks=1))


@pytest.mark.parametrize("native", [True, False])
def test_auto_depends_on_the_machine_and_the_bits_alone(model, monkeypatch, native):
    """Not on the image's size, nor on what came before."""
    monkeypatch.setattr(keras_engine, "has_bfloat16", lambda: native)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (side, 2 * side, 3), np.uint8) for side in (3, 40)]
    fine = rng.integers(0, 65536, (20, 20, 3), np.uint16)
    exact, auto = Upscaler(model), Upscaler(model, precision="auto")
    expected = Upscaler(model, precision="bfloat16") if native else exact
    assert auto.precision == ("bfloat16" if native else "float32")
    for image in (*images, fine, *images[::-1]):
        of = exact if image is fine else expected
        np.testing.assert_array_equal(auto(image), of(image))
    assert native == any((expected(image) != exact(image)).any() for image in images)


def test_float32_is_not_tensorfloat32(model):
    tf.config.experimental.enable_tensor_float_32_execution(True)
    Upscaler(model)
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_foreign_networks_are_computed_in_float32(monkeypatch):
    monkeypatch.setattr(keras_engine, "has_bfloat16", lambda: True)
    image = keras.Input((None, None, 3))
    foreign = keras.Model(image, keras.layers.Conv2D(3, 5, padding="same")(image))
    assert native_bfloat16(foreign, 0.0) is None
    with pytest.raises(UserError, match="an unknown architecture"):
        Upscaler(foreign, precision="bfloat16")


def test_weights_in_another_network_are_refused():
    model = randomise(GENERATORS["edsr"].build(2, 4, 2, residual_scale=0.5))
    with pytest.raises(UserError, match="another function"):
        Upscaler(model, precision="bfloat16")


def test_unknown_precision_is_refused(model):
    with pytest.raises(UserError, match="precision 'half'; expected float32, bfloat16, auto"):
        Upscaler(model, precision="half")


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512_bf16 sse\n", True),
        ("processor\t: 0\nflags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd i8mm bf16\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16x\n", False),
        ("model name\t: with avx512_bf16\n", False),
        ("", False),
    ],
)
def test_instructions_are_read_from_cpuinfo(cpuinfo, expected):
    assert lists_bfloat16(cpuinfo) == expected


def test_command_says_so(tmp_path, run_main):
    image, output, kernel = (tmp_path / name for name in ("a.png", "b.png", "kernel.npy"))
    Image.fromarray(skimage.data.astronaut()[:40, :50]).save(image)
    np.save(kernel, np.ones((3, 3)))
    status, out, _ = run_main("upscale", image, "--output", output, "--precision", "bfloat16")
    assert (status, f" in bfloat16: {output}" in out) == (0, True)
    status, _, err = run_main("upscale", image, "--kernel", kernel, "--precision", "bfloat16")
    assert (status, "--kernel needs float32" in err) == (2, True)


def test_packed_pixels_come_unrounded():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = GENERATORS["rrdb"].build(2, filters=4, blocks=1, growth=4, unshuffle=2)
    packed = keras.Model(model.input, model.get_layer("conv_first").input)
    image = np.random.default_rng(0).random((1, 3, 5, 3), np.float32)
    assert set(np.asarray(packed(image)).ravel()) == set(image.ravel())
