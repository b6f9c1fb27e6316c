import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import tensorflow as tf

from esrgan_tf.imaging.filters import blur, unsharp_mask

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(40, 53), (21, 16), (5, 3), (1, 1)])
@pytest.mark.parametrize("size", [1, 7, 21])
def test_blur_is_scipys_convolution(shape, size):
    images, kernel = RNG.random((2, *shape, 3)), RNG.random((size, size))  # no symmetry that could hide a turn
    expected = np.empty_like(images)
    for b, c in np.ndindex(2, 3):
        expected[b, ..., c] = scipy.ndimage.convolve(images[b, ..., c], kernel, mode="mirror")
    found = blur(tf.constant(images, tf.float32), tf.constant(kernel, tf.float32))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * kernel.sum())


def test_unsharp_mask_is_scipys():
    image = skimage.data.chelsea()[60:180, 100:230] / 255.0
    # OpenCV's Gaussian of 51 pixels: 0.3 * ((51 - 1) / 2 - 1) + 0.8
    blurred = scipy.ndimage.gaussian_filter(image, 8.0, mode="mirror", radius=25, axes=(0, 1))
    residual = image - blurred
    mask = (np.abs(residual) * 255 > 10).astype(float)
    mask = scipy.ndimage.gaussian_filter(mask, 8.0, mode="mirror", radius=25, axes=(0, 1))
    expected = mask * np.clip(image + 0.5 * residual, 0, 1) + (1 - mask) * image
    found = unsharp_mask(tf.constant(image[None], tf.float32))[0].numpy()
    assert np.abs(found - image).max() > 0.1
    # In float32 a residual may be on either side of the threshold: such a pixel weighs 1 / 400 in the mask.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
    assert np.mean(np.abs(found - expected)) < 1e-6


def test_unsharp_mask_is_the_same_compiled():
    """Compiles the mask like the step of one GPU."""
    images = tf.random.stateless_uniform([2, 48, 40, 3], [1, 2])
    compiled = tf.function(unsharp_mask, jit_compile=True)(images)
    np.testing.assert_allclose(compiled, unsharp_mask(images), atol=1e-6)


def test_flat_images_stay_as_they_are():
    flat = tf.fill([1, 30, 30, 3], 0.5)
    np.testing.assert_allclose(unsharp_mask(flat), flat, atol=1e-6)
