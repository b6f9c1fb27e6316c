import keras
import numpy as np
import pytest
import tensorflow as tf

from esrgan_tf.models import unet_sn_discriminator
from esrgan_tf.models.pixels import upscale_bilinearly
from tests.conftest import random_image, randomise

# test_interop compares its output and its gradients with PyTorch's network.


@pytest.fixture(scope="module")
def trained():
    """Random weights with singular vectors that match; tests must not change it."""
    model = randomise(unet_sn_discriminator(4))
    iterate(model, 30)
    return model


def iterate(model, times):
    """Runs one power iteration after another, like training."""
    step = tf.function(lambda image: model(image, training=True))
    for _ in range(times):
        step(random_image(8, 8))


def test_one_logit_a_pixel_of_any_size():
    model = unet_sn_discriminator(4)
    for size in ((8, 8), (24, 40)):
        assert model(random_image(*size)).shape == (1, *size, 1)


@pytest.mark.parametrize("size", [(1, 1), (5, 4)])
@pytest.mark.parametrize("r", [2, 3, 4])
def test_bilinear_upscaling_is_tensorflows(size, r):
    image = keras.Input((None, None, 3))
    model = keras.Model(image, upscale_bilinearly(image, r, "up"))
    x = random_image(*size)
    expected = tf.image.resize(x, [r * size[0], r * size[1]])
    np.testing.assert_allclose(model(x), expected, atol=1e-6)
    of_any_size = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
    np.testing.assert_allclose(of_any_size(x), expected, atol=1e-6)


def test_kernels_are_divided_by_their_largest_singular_value():
    model = randomise(unet_sn_discriminator(4))
    before = {v.path: v.numpy() for v in model.trainable_variables}
    iterate(model, 100)
    for v in model.trainable_variables:
        np.testing.assert_array_equal(v, before[v.path])  # the kernel does not change, unlike in Keras' layer
    for i in range(1, 9):
        layer = model.get_layer(f"conv{i}_sn")
        kernel = layer.kernel.numpy()
        largest = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
        x = np.random.default_rng(i).random((1, 12, 12, kernel.shape[2]), dtype=np.float32)
        np.testing.assert_allclose(layer(x) * largest, layer.layer(x), rtol=1e-3, atol=1e-4)


def test_xla_has_all_its_gradients(trained):
    model, image = trained, random_image(16, 16)

    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(image)))
        return tape.gradient(loss, model.trainable_variables)

    for plain, compiled in zip(gradients(), tf.function(gradients, jit_compile=True)(), strict=True):
        np.testing.assert_allclose(compiled, plain, atol=1e-4 * np.abs(plain).max())


def test_singular_values_are_float32_under_mixed_precision(trained):
    model, image = trained, random_image(16, 16)
    expected = model(image)
    keras.config.set_dtype_policy("mixed_bfloat16")
    mixed = unet_sn_discriminator(4)
    mixed.set_weights(model.get_weights())
    assert mixed.get_layer("conv1_sn").kernel.dtype == mixed.get_layer("conv1_sn").vector_u.dtype == "float32"
    output = mixed(image)
    assert output.dtype == "float32"
    assert 0 < np.abs(output - expected).max() < 0.1 * np.ptp(expected)


def test_a_saved_discriminator_opens(trained, tmp_path):
    model = trained
    model.save(tmp_path / "discriminator.keras")
    image = random_image(8, 16)
    opened = keras.models.load_model(tmp_path / "discriminator.keras")
    np.testing.assert_array_equal(opened(image), model(image))
    assert [v.path for v in opened.weights] == [v.path for v in model.weights]
