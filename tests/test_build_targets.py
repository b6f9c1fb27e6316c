"""Other operations give the same numbers, for every build target of a network."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from esrgan_tf.models.build_targets import BuildTarget, build_for, prelu
from esrgan_tf.models.pixels import crop_to_multiple_of, pixel_shuffle, pixel_unshuffle, upscale_nearest
from tests import reference

PURPOSES = pytest.mark.parametrize("purpose", BuildTarget)


def image_of(channels):
    return keras.Input((None, None, channels)), np.random.default_rng(0).random((2, 5, 3, channels), np.float32)


@PURPOSES
@pytest.mark.parametrize(("r", "channels"), [(1, 3), (2, 1), (3, 4), (4, 3), (8, 3)])
def test_a_shuffle(purpose, r, channels):
    packed, pixels = image_of(channels * r**2)
    with build_for(purpose):
        model = keras.Model(packed, pixel_shuffle(packed, r, "shuffle"))
    np.testing.assert_array_equal(model(pixels), reference.pixel_shuffle(pixels, r))
    assert model.output_shape == (None, None, None, channels)
    assert purpose is BuildTarget.SAVE or r == 1 or len(model.layers) == 2


@PURPOSES
@pytest.mark.parametrize("r", [2, 3, 4])
def test_an_unshuffle_of_sizes_that_r_does_not_divide_and_its_crop(purpose, r):
    image, pixels = image_of(3)
    with build_for(purpose):
        packed = pixel_unshuffle(image, r)
        back = keras.Model(image, [packed, crop_to_multiple_of(image, pixel_shuffle(packed, r, "shuffle"), 1)])
    height, width = -(-5 // r), -(-3 // r)
    whole = np.pad(pixels, ((0, 0), (0, height * r - 5), (0, width * r - 3), (0, 0)), "edge")
    expected = whole.reshape(2, height, r, width, r, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, height, width, -1)
    found, cropped = back(pixels)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(cropped, pixels)
    assert packed.shape == (None, None, None, 3 * r**2)


@PURPOSES
@pytest.mark.parametrize("r", [1, 2, 3])
def test_every_pixel_r_times(purpose, r):
    image, pixels = image_of(4)
    with build_for(purpose):
        model = keras.Model(image, upscale_nearest(image, r, "up"))
    np.testing.assert_array_equal(model(pixels), pixels.repeat(r, 1).repeat(r, 2))
    assert model.output_shape == (None, None, None, 4)


@PURPOSES
@pytest.mark.parametrize("shared_axes", [[1, 2], [1, 2, 3]])
def test_a_prelu(purpose, shared_axes):
    rng = np.random.default_rng(0)
    slopes = rng.uniform(-1, 2, (1, 1, 1 if 3 in shared_axes else 4)).astype(np.float32)
    x = rng.standard_normal((2, 5, 3, 4), np.float32)
    x[0, 0, 0, 0] = 0
    with build_for(purpose):
        layer = prelu(shared_axes, "slopes")
    layer.build(x.shape)
    layer.set_weights([slopes])
    np.testing.assert_array_equal(layer(x), np.where(x > 0, x, slopes * x))


def test_an_export_has_gradients_in_xla():
    """Users who fine-tune a SavedModel compile their step."""
    image, pixels = image_of(3)
    with build_for(BuildTarget.EXPORT):
        model = keras.Model(image, upscale_nearest(pixel_shuffle(pixel_unshuffle(image, 2), 2, "shuffle"), 2, "up"))

    @tf.function(jit_compile=True)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(model(x))
        return tape.gradient(loss, x)

    gradients = gradient(tf.constant(pixels[:, :4, :2]))
    np.testing.assert_array_equal(gradients, np.full((2, 4, 2, 3), 4.0))
