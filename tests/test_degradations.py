import dataclasses
import functools
import io

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import skimage.data
import tensorflow as tf
from PIL import Image

from esrgan_tf.config import Config, load_config
from esrgan_tf.data import degradations
from esrgan_tf.data.degradation_recipes import METHODS, Kernel, Recipe, Round, draw_recipe
from esrgan_tf.data.degradations import Degradation, DegradedStore, apply_recipes
from esrgan_tf.data.patches import Patches
from esrgan_tf.errors import UserError
from tests.small_training import Store

PHOTO = skimage.data.astronaut()[:96, 130:258]
CONFIG = load_config(None, ["degradation.kind=second_order"])


def rng(*seed):
    return np.random.default_rng(seed)


@functools.cache
def axis_weights(count, new, method):
    """`[new, count]`: the weights of the old pixels of a line in each new pixel; pixels are areas."""
    weights = np.zeros((new, count))
    for i in range(new):
        if method == "area":  # the area of each old pixel that the new pixel covers
            low, high = i * count / new, (i + 1) * count / new
            for j in range(count):
                weights[i, j] = max(0.0, min(high, j + 1) - max(low, j))
        else:
            centre = (i + 0.5) * count / new - 0.5
            for j in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
                d = abs(j - centre)
                if method == "bilinear":
                    weight = max(0.0, 1 - d)
                    j = min(max(j, 0), count - 1)
                elif not 0 <= j < count:  # values outside are left out, and the other weights are normalised
                    continue
                else:  # Keys' cubic, a = -1/2
                    weight = 1.5 * d**3 - 2.5 * d**2 + 1 if d < 1 else -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
                    weight = weight if d < 2 else 0.0
                weights[i, j] += weight
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(14, 19), (61, 77), (40, 50)])
def test_resizing_is_a_sum_written_out(method, size):
    image = PHOTO[:40, :50] / 255.0
    rows, columns = (axis_weights(n, m, method) for n, m in zip((40, 50), size, strict=True))
    expected = np.einsum("ij,jkc,lk->ilc", rows, image, columns, optimize=True)
    found = degradations.resize(tf.constant(image, tf.float32), tf.constant(size), tf.constant(METHODS.index(method)))
    # TensorFlow reads cubic weights from a table of 1,024 steps.
    np.testing.assert_allclose(found, expected, atol=2e-3 if method == "bicubic" else 1e-5)
    assert np.abs(found - expected).mean() < 1e-4


def noise_of(gaussian, strength, gray, image, seed=3):
    found = degradations.add_noise(tf.constant(image, tf.float32), gaussian, strength, gray, tf.constant([seed, 0]))
    return found.numpy() - image


@pytest.mark.parametrize("gray", [False, True])
def test_gaussian_noise(gray):
    image = np.full((128, 128, 3), 0.5)
    noise = noise_of(True, 12.0, gray, image)
    assert (np.ptp(noise, axis=2).max() < 1e-6) == gray
    one = noise[..., 0].ravel()
    assert scipy.stats.kstest(one, scipy.stats.norm(0, 12 / 255).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.03
    if not gray:
        assert abs(np.corrcoef(one, noise[..., 1].ravel())[0, 1]) < 0.03


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize(("levels", "photons"), [(2, 2), (3, 4), (5, 8), (8, 8), (200, 256)])
def test_poisson_noise(gray, levels, photons):
    """The variance is strength^2 * value / photons; photons is the power of two from the number of levels upwards."""
    values = np.rint(np.linspace(60, 128, levels)) if levels < 60 else np.arange(20, 20 + levels)
    image = np.repeat(values[:, None, None] / 255, 4096, axis=1).repeat(3, axis=2)
    noise = noise_of(False, 0.4, gray, image)
    assert (np.ptp(noise, axis=2).max() < 1e-6) == gray
    step = noise[..., 0] * photons / 0.4 + values[:, None] / 255 * photons  # whole numbers of photons
    inside = (noise[..., 0] + image[..., 0] > 1e-4) & (noise[..., 0] + image[..., 0] < 1 - 1e-4)  # not clipped
    np.testing.assert_allclose(step[inside], np.rint(step[inside]), atol=5e-3 * photons / 256 + 1e-3)
    i = levels // 2
    counts = np.rint(step[i]).astype(int)
    expected = scipy.stats.poisson(values[i] / 255 * photons)
    assert abs(counts.mean() - expected.mean()) < 5 * expected.std() / 64
    if inside[i].all():
        assert abs(counts.var() / expected.var() - 1) < 0.15


@pytest.mark.parametrize("quality", [30, 63, 95])
def test_jpeg_is_pillows(quality):
    file = io.BytesIO()
    Image.fromarray(PHOTO).save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file)).astype(float)
    found = degradations.compressed(tf.constant(PHOTO / 255.0, tf.float32), quality).numpy() * 255
    assert np.abs(found - PHOTO).mean() > 0.3
    np.testing.assert_allclose(found, expected, atol=1e-3)


def compute_directly(image, recipe, scale):
    """The whole degradation without noise, in NumPy, SciPy and Pillow."""
    height, width = image.shape[0] // scale, image.shape[1] // scale
    x = image / 255.0
    if recipe.sharpen:
        from esrgan_tf.imaging.filters import unsharp_mask  # test_filters compares it with SciPy's function

        x = unsharp_mask(tf.constant(x[None], tf.float32))[0].numpy().astype(float)

    def filtered(x, kernel):
        if kernel is None:
            return x
        return np.stack([scipy.ndimage.convolve(x[..., c], kernel.pixels(), mode="mirror") for c in range(3)], -1)

    def resized(x, size, method):
        rows, columns = (axis_weights(n, m, method) for n, m in zip(x.shape[:2], size, strict=True))
        return np.einsum("ij,jkc,lk->ilc", rows, x, columns, optimize=True)

    def jpeg(x, quality):
        file = io.BytesIO()
        Image.fromarray(np.rint(255 * np.clip(x, 0, 1)).astype(np.uint8)).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file)) / 255.0

    first, second = recipe.first, recipe.second
    x = filtered(x, first.kernel)
    x = resized(x, [int(n * np.float32(first.scale)) for n in image.shape[:2]], first.method)
    x = jpeg(x, first.quality)
    x = filtered(x, second.kernel)
    x = resized(x, [int(n * np.float32(second.scale)) for n in (height, width)], second.method)
    if not recipe.jpeg_last:
        x = jpeg(x, second.quality)
    x = filtered(resized(x, (height, width), recipe.method), recipe.kernel)
    if recipe.jpeg_last:
        x = jpeg(x, second.quality)
    return np.rint(255 * np.clip(x, 0, 1))


@pytest.mark.parametrize("jpeg_last", [False, True])
@pytest.mark.parametrize("sharpen", [False, True])
def test_the_order_of_the_steps(jpeg_last, sharpen):
    first = Round(Kernel("anisotropic", 9, (2.0, 0.6), 0.4, 1.0), 0.61, "bilinear", "gaussian", 0.0, False, 71)
    second = Round(Kernel("isotropic", 7, (0.5, 0.5), None, 1.0), 1.13, "area", "poisson", 0.0, True, 62)
    recipe = Recipe(sharpen, first, second, Kernel("sinc", 11, cutoff=1.9), "bilinear", jpeg_last, 7)
    found, expected = apply_recipes(PHOTO[None], [recipe], 4)[0], compute_directly(PHOTO, recipe, 4)
    assert found.shape == (24, 32, 3)
    assert found.dtype == np.uint8
    # A value that rounds otherwise before JPEG may change a coefficient of the value's block.
    difference = np.abs(found - expected)
    assert difference.mean() < 0.1
    assert np.abs(found - compute_directly(PHOTO, dataclasses.replace(recipe, jpeg_last=not jpeg_last), 4)).mean() > 1


def test_a_batch_is_a_function_of_seed_step_and_place():
    def patches(seed=0, batch_size=6):
        return Patches(Store(side=24), 4, 64, batch_size, seed, Degradation(CONFIG))

    lr, hr = patches().batch(5)
    assert lr.shape == (6, 16, 16, 3)
    assert lr.dtype == np.uint8
    np.testing.assert_array_equal(lr, patches().batch(5)[0])
    np.testing.assert_array_equal(lr[2:4], patches().batch(5, slice(2, 4))[0])
    found = list(patches().batches(3, 12))  # by threads, in any order
    for step, (lr_of_step, _) in enumerate(found, start=3):
        np.testing.assert_array_equal(lr_of_step, patches().batch(step)[0])
    # The drawn values belong to the place in the batch, not to the image.
    plain, _ = Patches(Store(side=24), 4, 64, 6, 0).batch(5)
    assert len({(a.astype(int) - b).tobytes() for a, b in zip(lr, plain, strict=True)}) == 6
    assert (patches(seed=1).batch(5)[0] != lr).any()
    np.testing.assert_array_equal(Patches(Store(side=24), 4, 64, 6, 0).batch(5)[1], hr)


def test_a_patch_is_cut_from_anywhere_in_a_larger_one():
    """JPEG's blocks start at any pixel. A replacement of the degradation marks the start of its image."""

    def marked(lr, hr, seeds):
        assert lr.shape == (6, 24, 24, 3)
        assert hr.shape == (6, 96, 96, 3)
        rows, columns = np.mgrid[:24, :24].astype(np.uint8)
        return np.broadcast_to(np.stack([rows, columns, rows], -1), lr.shape)

    patches = Patches(Store(side=30), 4, 64, 6, 0, marked, margin=35)  # 8 LR pixels
    starts = set()
    for step in range(200):
        lr, hr = patches.batch(step)
        assert lr.shape == (6, 16, 16, 3)
        assert hr.shape == (6, 64, 64, 3)
        starts |= {tuple(patch[0, 0, :2]) for patch in lr}
    assert starts == {(y, x) for y in range(9) for x in range(9)}
    plain = Patches(Store(side=30), 4, 64, 6, 0, lambda lr, hr, seeds: lr, margin=32)
    lr, hr = plain.batch(3)
    np.testing.assert_array_equal(lr.repeat(4, axis=1).repeat(4, axis=2), hr)  # the same place in both
    with pytest.raises(UserError, match=r"with degradation\.margin: none of the 3 .*the largest patch that fits is 88"):
        Patches(Store(side=30), 4, 92, 6, 0, marked, margin=32)


def test_validation_images_are_degraded_once_each():
    store = DegradedStore(Store(side=24), Degradation(CONFIG), 0)
    first = [store.lr(i) for i in range(3)]
    assert all(lr.shape == (24, 24, 3) for lr in first)
    assert len({(lr.astype(int) - Store(side=24).lr(i)).tobytes() for i, lr in enumerate(first)}) == 3
    again = DegradedStore(Store(side=24), Degradation(CONFIG), 0)
    for i in (2, 0, 1):
        np.testing.assert_array_equal(again.lr(i), first[i])
        assert again.lr(i) is again.lr(i)
    np.testing.assert_array_equal(store.hr(1), Store(side=24).hr(1))


@pytest.mark.parametrize("shape", [(4, 4), (8, 20), (97, 50)])
def test_any_size_and_any_recipe(shape):
    image = rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    recipes = [draw_recipe(CONFIG, rng(2, i)) for i in range(20)]
    together = apply_recipes(np.stack([image] * 20), recipes, 4)
    assert together.shape == (20, shape[0] // 4, shape[1] // 4, 3)
    for recipe, result in zip(recipes[:3], together, strict=False):
        np.testing.assert_array_equal(apply_recipes(image[None], [recipe], 4)[0], result)


def test_only_jpeg_keeps_the_lr_size():
    config = load_config(None, ["degradation.kind=jpeg", "degradation_2.jpeg_quality=[40, 40]"])
    found = Degradation(config)(PHOTO[None], np.zeros((1, 384, 512, 3), np.uint8), [(0, 0, 1)])[0]
    file = io.BytesIO()
    Image.fromarray(PHOTO).save(file, "JPEG", quality=40)
    np.testing.assert_array_equal(found, np.asarray(Image.open(file)))


@pytest.mark.parametrize("kind", ["jpeg", "second_order"])
def test_a_share_of_the_patches_stays_clean(kind):
    count = 1000 if kind == "jpeg" else 60
    noise = rng(3).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    lr, hr = np.stack([noise[:4, :4]] * count), np.stack([noise] * count)
    seeds = [(0, 7, i) for i in range(count)]

    def unchanged(share):
        settings = [f"degradation.kind={kind}", f"degradation.clean_probability={share}"]
        degraded = Degradation(load_config(None, settings))(lr, hr, seeds)
        assert degraded.dtype == np.uint8
        return int((degraded == lr).all(axis=(1, 2, 3)).sum())

    assert unchanged(0.0) == 0
    assert unchanged(1.0) == count
    assert scipy.stats.binomtest(unchanged(0.2), count, 0.2).pvalue > 1e-3


def test_the_defaults_leave_training_alone():
    assert Config().degradation.kind == "none"
