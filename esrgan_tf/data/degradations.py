"""Low resolution as the world makes it: recipes of degradation (Real-ESRGAN, arXiv 2107.10833), applied to images.

Each image of a batch has its own recipe, a pure function of the numbers that seed it, so the authors' pool of training
pairs, which mixes batches because theirs share their sizes, has no use.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from esrgan_tf.config import Config
from esrgan_tf.data.degradation_recipes import METHODS, Kernel, Recipe, Round, draw_recipe
from esrgan_tf.data.store import ImageStore
from esrgan_tf.imaging.filters import blur, unsharp_mask

_METHODS = {
    "area": tf.image.ResizeMethod.AREA,
    "bilinear": tf.image.ResizeMethod.BILINEAR,
    "bicubic": tf.image.ResizeMethod.BICUBIC,
}


class Degradation:
    """Low resolution for training, as the configuration's section `degradation` says."""

    def __init__(self, config: Config):
        self._config, self._scale = config, config.generator.scale
        taken, made = config.generator.channels_in_and_out
        self._tells_level = taken == made + 1

    def __call__(self, lr: np.ndarray, hr: np.ndarray, seeds: Sequence[Sequence[int]]) -> np.ndarray:
        """New low resolution for a batch of pairs, uint8 `[B, H / scale, W / scale, 3]`, each from its own seed.

        Noise has a fourth channel for generators that take its level: the standard deviation, of 255.
        """
        rngs = [np.random.default_rng(seed) for seed in seeds]
        share = self._config.degradation.clean_probability
        clean = np.array([share > 0 and rng.random() < share for rng in rngs])
        if self._config.degradation.kind == "noise":
            return np.stack(
                [self._noisy(image, 0 if kept else None, rng) for image, kept, rng in zip(lr, clean, rngs, strict=True)]
            )
        if self._config.degradation.kind == "jpeg":
            low, high = self._config.degradation_2.jpeg_quality
            with tf.device("CPU:0"):
                degraded = np.stack([_jpeg(i, round(g.uniform(low, high))) for i, g in zip(lr, rngs, strict=True)])
        else:
            degraded = apply_recipes(hr, [draw_recipe(self._config, rng) for rng in rngs], self._scale)
        return np.where(clean[:, None, None, None], lr, degraded)

    def _noisy(self, image, level, rng):
        """uint8 `[h, w, 3]` to the same with noise, and perhaps its level; whole numbers, which 8 bits hold."""
        if level is None:
            level = round(rng.uniform(*self._config.degradation_2.gaussian_sigma))
        noise = level * rng.standard_normal(image.shape, np.float32)
        result = np.rint(np.clip(image + noise, 0, 255)).astype(np.uint8)
        if not self._tells_level:
            return result
        return np.concatenate([result, np.full_like(result[..., :1], level)], axis=-1)


class DegradedStore:
    """A store whose low resolution is degraded, each image by a recipe of its own that stays the same."""

    def __init__(self, store: ImageStore, degradation: Degradation, seed: int):
        self._store, self._degradation, self._seed = store, degradation, seed
        self._made: dict[int, np.ndarray] = {}
        self.names, self.hr, self.lr_size, self.hr_size = store.names, store.hr, store.lr_size, store.hr_size

    def __len__(self) -> int:
        return len(self._store)

    def lr(self, i: int) -> np.ndarray:
        """Low resolution `[h, w, 3]`, uint8."""
        if i not in self._made:  # four numbers, where the seeds of training are three
            seeds = [(self._seed, 0, 0, 1 + i)]
            self._made[i] = self._degradation(self._store.lr(i)[None], self._store.hr(i)[None], seeds)[0]
        return self._made[i]


def apply_recipes(hr: np.ndarray, recipes: Sequence[Recipe], scale: int) -> np.ndarray:
    """Applies a recipe to each of uint8 `[B, H, W, 3]`: uint8 `[B, H / scale, W / scale, 3]`, rounded down."""
    with tf.device("CPU:0"):
        return _degrade(hr, scale, _stacked(recipes)).numpy()


class _Filter(NamedTuple):
    """A kernel, as the compiled graph takes it.

    Attributes:
        pixels: `[K, K]`, the kernel in the middle of zeros, K that of the largest kernel of the batch.
        size: the kernel's own pixels on a side; 1 is no filter.
    """

    pixels: tf.Tensor
    size: tf.Tensor


class _RoundNumbers(NamedTuple):
    """A `Round`, as the compiled graph takes it: names are numbers."""

    filter: _Filter
    scale: tf.Tensor
    method: tf.Tensor
    gaussian: tf.Tensor
    strength: tf.Tensor
    gray: tf.Tensor
    quality: tf.Tensor


class _Numbers(NamedTuple):
    """A `Recipe`, as the compiled graph takes it; or those of a batch, stacked; or their types."""

    sharpen: tf.Tensor
    first: _RoundNumbers
    second: _RoundNumbers
    filter: _Filter
    method: tf.Tensor
    jpeg_last: tf.Tensor
    seed: tf.Tensor


def _of_batch(dtype, rank=0):
    return tf.TensorSpec([None] * (1 + rank), dtype)


_FILTERS = _Filter(pixels=_of_batch(tf.float32, rank=2), size=_of_batch(tf.int32))
_ROUNDS = _RoundNumbers(
    filter=_FILTERS,
    scale=_of_batch(tf.float32),
    method=_of_batch(tf.int32),
    gaussian=_of_batch(tf.bool),
    strength=_of_batch(tf.float32),
    gray=_of_batch(tf.bool),
    quality=_of_batch(tf.int32),
)
_RECIPES = _Numbers(
    sharpen=_of_batch(tf.bool),
    first=_ROUNDS,
    second=_ROUNDS,
    filter=_FILTERS,
    method=_of_batch(tf.int32),
    jpeg_last=_of_batch(tf.bool),
    seed=_of_batch(tf.int32),
)


def _stacked(recipes: Sequence[Recipe]) -> _Numbers:
    """The numbers of all recipes, an array `[B, …]` each, of the types of `_RECIPES`."""
    kernels = [part.kernel for r in recipes for part in (r.first, r.second, r) if part.kernel is not None]
    largest = max((kernel.size for kernel in kernels), default=1)
    numbers = [_numbers(recipe, largest) for recipe in recipes]
    return tf.nest.map_structure(lambda spec, *of: np.array(of, spec.dtype.as_numpy_dtype), _RECIPES, *numbers)


def _numbers(recipe: Recipe, largest: int) -> _Numbers:
    return _Numbers(
        sharpen=recipe.sharpen,
        first=_round_numbers(recipe.first, largest),
        second=_round_numbers(recipe.second, largest),
        filter=_filter(recipe.kernel, largest),
        method=METHODS.index(recipe.method),
        jpeg_last=recipe.jpeg_last,
        seed=recipe.seed,
    )


def _round_numbers(part: Round, largest: int) -> _RoundNumbers:
    return _RoundNumbers(
        filter=_filter(part.kernel, largest),
        scale=part.scale,
        method=METHODS.index(part.method),
        gaussian=part.noise == "gaussian",
        strength=part.strength,
        gray=part.gray,
        quality=part.quality,
    )


def _filter(kernel: Kernel | None, largest: int) -> _Filter:
    pixels = np.ones((1, 1), np.float32) if kernel is None else kernel.pixels()
    return _Filter(np.pad(pixels, (largest - len(pixels)) // 2), len(pixels))


# One graph for all recipes and sizes, so that the threads that make batches spend next to no time in Python.
@tf.function(
    input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8), tf.TensorSpec((), tf.int32), _RECIPES],
    autograph=False,
)
def _degrade(hr, scale, recipes):
    return tf.map_fn(
        lambda one: _degraded(one[0], scale, one[1]),
        (hr, recipes),
        fn_output_signature=tf.TensorSpec((None, None, 3), tf.uint8),
        parallel_iterations=16,
    )


def _degraded(hr, scale, recipe: _Numbers):
    """One image `[H, W, 3]`, uint8 to uint8."""
    size = tf.shape(hr)[:2]
    low = size // scale
    x = tf.cast(hr, tf.float32) / 255.0
    x = tf.cond(recipe.sharpen, lambda: unsharp_mask(x[None])[0], lambda: x)
    x = _blurred_resized_noisy(x, size, recipe.first, tf.stack([recipe.seed, 0]))
    x = compressed(x, recipe.first.quality)
    x = _blurred_resized_noisy(x, low, recipe.second, tf.stack([recipe.seed, 1]))

    def jpeg(x):
        return compressed(x, recipe.second.quality)

    def finished(x):
        return filtered(resized(x, low, recipe.method), _kernel(recipe.filter))

    return eight_bits(tf.cond(recipe.jpeg_last, lambda: jpeg(finished(x)), lambda: finished(jpeg(x))))


def _blurred_resized_noisy(x, size, part: _RoundNumbers, seed):
    """A round before its JPEG; its resize is to `part.scale` times `size`."""
    x = filtered(x, _kernel(part.filter))
    size = tf.maximum(1, tf.cast(tf.cast(size, tf.float32) * part.scale, tf.int32))
    return noisy(resized(x, size, part.method), part.gaussian, part.strength, part.gray, seed)


def _kernel(laid: _Filter):
    """`[size, size]`, without the zeros around."""
    edge = (tf.shape(laid.pixels)[0] - laid.size) // 2
    return laid.pixels[edge : edge + laid.size, edge : edge + laid.size]


def filtered(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolves `[H, W, C]` with `[k, k]`; one pixel stands for no filter."""
    return tf.cond(tf.shape(kernel)[0] > 1, lambda: blur(x[None], kernel)[0], lambda: x)


def resized(x: tf.Tensor, size: tf.Tensor, method: tf.Tensor) -> tf.Tensor:
    """Resizes `[H, W, C]` by the method of that number in `METHODS`, without antialiasing, as the authors do.

    Area and bicubic are TensorFlow's: exact areas, where PyTorch rounds them to whole pixels, and Keys' cubic with
    -1/2, where PyTorch has -3/4.
    """
    return tf.switch_case(method, [lambda m=_METHODS[name]: tf.image.resize(x, size, m) for name in METHODS])


def noisy(x: tf.Tensor, gaussian: tf.Tensor, strength: tf.Tensor, gray: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Adds Gaussian noise of sigma `strength` of 255, or `strength` times the noise of light, and clips to [0, 1]."""
    height, width = tf.shape(x)[0], tf.shape(x)[1]

    def gaussian_noise():
        channels = tf.where(gray, 1, 3)
        return strength / 255.0 * tf.random.stateless_normal([height, width, channels], seed)

    def poisson_noise():
        # As many photons as make 8 bits of the levels that the image has (BasicSR's degradations.py).
        seen = tf.cond(gray, lambda: tf.image.rgb_to_grayscale(x), lambda: x)
        levels = tf.cast(eight_bits(seen), tf.int32)
        count = tf.math.count_nonzero(tf.math.bincount(levels, minlength=256), dtype=tf.float32)
        photons = 2.0 ** tf.math.ceil(tf.math.log(count) / tf.math.log(2.0) - 1e-4)
        expected = tf.cast(levels, tf.float32) / 255.0
        counted = tf.random.stateless_poisson(tf.shape(expected), seed, photons * expected, tf.float32)
        return strength * (counted / photons - expected)

    noise = tf.cond(gaussian, gaussian_noise, poisson_noise)
    return tf.clip_by_value(x + noise, 0.0, 1.0)


def compressed(x: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """Writes `[H, W, 3]` in [0, 1] as JPEG and reads it back."""
    return tf.cast(_jpeg(eight_bits(x), quality), tf.float32) / 255.0


def _jpeg(image, quality):
    # TensorFlow's default is faster by a little and up to 10 of 255 off.
    return tf.image.adjust_jpeg_quality(image, quality, dct_method="INTEGER_ACCURATE")


def eight_bits(x: tf.Tensor) -> tf.Tensor:
    """float32 in [0, 1] to uint8, clipped and rounded."""
    return tf.cast(tf.round(255.0 * tf.clip_by_value(x, 0.0, 1.0)), tf.uint8)
