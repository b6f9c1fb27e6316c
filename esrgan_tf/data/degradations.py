"""Realistic LR images: degradation recipes (Real-ESRGAN, arXiv 2107.10833) applied to images.

Each image of a batch has its own recipe, a pure function of its seed. The authors' batches share the sizes of their
resizes, and a pool of training pairs mixes the batches. That pool is not needed here.
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
    """The degradation of training patches by the configuration's section `degradation`."""

    def __init__(self, config: Config):
        self._config, self._scale = config, config.generator.scale
        taken, made = config.generator.channels_in_and_out
        self._appends_level = taken == made + 1

    def __call__(self, lr: np.ndarray, hr: np.ndarray, seeds: Sequence[Sequence[int]]) -> np.ndarray:
        """Degrades a batch of pairs: uint8 LR `[B, H / scale, W / scale, 3]`, with a seed per pair.

        For noise-conditioned generators a fourth channel holds the noise level: the standard deviation on the scale
        0 … 255.
        """
        rngs = [np.random.default_rng(seed) for seed in seeds]
        share = self._config.degradation.clean_probability
        clean = np.array([share > 0 and rng.random() < share for rng in rngs])
        if self._config.degradation.kind == "noise":
            return np.stack(
                [
                    self._add_noise(image, 0 if kept else None, rng)
                    for image, kept, rng in zip(lr, clean, rngs, strict=True)
                ]
            )
        if self._config.degradation.kind == "jpeg":
            low, high = self._config.degradation_2.jpeg_quality
            with tf.device("CPU:0"):
                degraded = np.stack(
                    [_compress_jpeg(i, round(g.uniform(low, high))) for i, g in zip(lr, rngs, strict=True)]
                )
        else:
            degraded = apply_recipes(hr, [draw_recipe(self._config, rng) for rng in rngs], self._scale)
        return np.where(clean[:, None, None, None], lr, degraded)

    def _add_noise(self, image, level, rng):
        """Adds noise to uint8 `[h, w, 3]`, and its level as a channel if needed; levels are integers for uint8."""
        if level is None:
            level = round(rng.uniform(*self._config.degradation_2.gaussian_sigma))
        noise = level * rng.standard_normal(image.shape, np.float32)
        result = np.rint(np.clip(image + noise, 0, 255)).astype(np.uint8)
        if not self._appends_level:
            return result
        return np.concatenate([result, np.full_like(result[..., :1], level)], axis=-1)


class DegradedStore:
    """A store of degraded LR images, with a fixed recipe per image."""

    def __init__(self, store: ImageStore, degradation: Degradation, seed: int):
        self._store, self._degradation, self._seed = store, degradation, seed
        self._made: dict[int, np.ndarray] = {}
        self.names, self.hr, self.lr_size, self.hr_size = store.names, store.hr, store.lr_size, store.hr_size

    def __len__(self) -> int:
        return len(self._store)

    def lr(self, i: int) -> np.ndarray:
        """The degraded LR image `[h, w, 3]`, uint8."""
        if i not in self._made:  # four numbers; training seeds have three
            seeds = [(self._seed, 0, 0, 1 + i)]
            self._made[i] = self._degradation(self._store.lr(i)[None], self._store.hr(i)[None], seeds)[0]
        return self._made[i]


def apply_recipes(hr: np.ndarray, recipes: Sequence[Recipe], scale: int) -> np.ndarray:
    """Applies a recipe per image of uint8 `[B, H, W, 3]`: uint8 `[B, H / scale, W / scale, 3]`, rounded down."""
    with tf.device("CPU:0"):
        return _degrade_batch(hr, scale, _stack_recipes(recipes)).numpy()


class _Filter(NamedTuple):
    """A kernel as input of the compiled graph.

    Attributes:
        pixels: `[K, K]`, the kernel padded with zeros to the size of the largest kernel of the batch.
        size: pixels on a side of the kernel without padding; 1 is no filter.
    """

    pixels: tf.Tensor
    size: tf.Tensor


class _RoundNumbers(NamedTuple):
    """A `Round` as input of the compiled graph, with numbers instead of names."""

    filter: _Filter
    scale: tf.Tensor
    method: tf.Tensor
    gaussian: tf.Tensor
    strength: tf.Tensor
    gray: tf.Tensor
    quality: tf.Tensor


class _RecipeNumbers(NamedTuple):
    """A `Recipe` as input of the compiled graph, the stacked recipes of a batch, or their types."""

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
_RECIPES = _RecipeNumbers(
    sharpen=_of_batch(tf.bool),
    first=_ROUNDS,
    second=_ROUNDS,
    filter=_FILTERS,
    method=_of_batch(tf.int32),
    jpeg_last=_of_batch(tf.bool),
    seed=_of_batch(tf.int32),
)


def _stack_recipes(recipes: Sequence[Recipe]) -> _RecipeNumbers:
    """Stacks the parameters of all recipes into arrays `[B, …]` of the types of `_RECIPES`."""
    kernels = [part.kernel for r in recipes for part in (r.first, r.second, r) if part.kernel is not None]
    largest = max((kernel.size for kernel in kernels), default=1)
    numbers = [_number_recipe(recipe, largest) for recipe in recipes]
    return tf.nest.map_structure(lambda spec, *of: np.array(of, spec.dtype.as_numpy_dtype), _RECIPES, *numbers)


def _number_recipe(recipe: Recipe, largest: int) -> _RecipeNumbers:
    return _RecipeNumbers(
        sharpen=recipe.sharpen,
        first=_number_round(recipe.first, largest),
        second=_number_round(recipe.second, largest),
        filter=_pad_kernel(recipe.kernel, largest),
        method=METHODS.index(recipe.method),
        jpeg_last=recipe.jpeg_last,
        seed=recipe.seed,
    )


def _number_round(part: Round, largest: int) -> _RoundNumbers:
    return _RoundNumbers(
        filter=_pad_kernel(part.kernel, largest),
        scale=part.scale,
        method=METHODS.index(part.method),
        gaussian=part.noise == "gaussian",
        strength=part.strength,
        gray=part.gray,
        quality=part.quality,
    )


def _pad_kernel(kernel: Kernel | None, largest: int) -> _Filter:
    pixels = np.ones((1, 1), np.float32) if kernel is None else kernel.pixels()
    return _Filter(np.pad(pixels, (largest - len(pixels)) // 2), len(pixels))


# One graph serves all recipes and sizes, so that the batch threads spend little time in Python.
@tf.function(
    input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8), tf.TensorSpec((), tf.int32), _RECIPES],
    autograph=False,
)
def _degrade_batch(hr, scale, recipes):
    return tf.map_fn(
        lambda image_and_recipe: _degrade_image(image_and_recipe[0], scale, image_and_recipe[1]),
        (hr, recipes),
        fn_output_signature=tf.TensorSpec((None, None, 3), tf.uint8),
        parallel_iterations=16,
    )


def _degrade_image(hr, scale, recipe: _RecipeNumbers):
    """Degrades an image `[H, W, 3]`, uint8 to uint8."""
    size = tf.shape(hr)[:2]
    lr_size = size // scale
    x = tf.cast(hr, tf.float32) / 255.0
    x = tf.cond(recipe.sharpen, lambda: unsharp_mask(x[None])[0], lambda: x)
    x = _apply_round(x, size, recipe.first, tf.stack([recipe.seed, 0]))
    x = compressed(x, recipe.first.quality)
    x = _apply_round(x, lr_size, recipe.second, tf.stack([recipe.seed, 1]))

    def compress_again(x):
        return compressed(x, recipe.second.quality)

    def resize_and_filter(x):
        return apply_filter(resize(x, lr_size, recipe.method), _crop_kernel(recipe.filter))

    return to_eight_bits(
        tf.cond(
            recipe.jpeg_last,
            lambda: compress_again(resize_and_filter(x)),
            lambda: resize_and_filter(compress_again(x)),
        )
    )


def _apply_round(x, size, part: _RoundNumbers, seed):
    """Blurs, resizes to `part.scale` times `size` and adds noise: a round without its JPEG."""
    x = apply_filter(x, _crop_kernel(part.filter))
    size = tf.maximum(1, tf.cast(tf.cast(size, tf.float32) * part.scale, tf.int32))
    return add_noise(resize(x, size, part.method), part.gaussian, part.strength, part.gray, seed)


def _crop_kernel(padded: _Filter):
    """Crops the padding: `[size, size]`."""
    edge = (tf.shape(padded.pixels)[0] - padded.size) // 2
    return padded.pixels[edge : edge + padded.size, edge : edge + padded.size]


def apply_filter(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolves `[H, W, C]` with `[k, k]`; a kernel of one pixel is no filter."""
    return tf.cond(tf.shape(kernel)[0] > 1, lambda: blur(x[None], kernel)[0], lambda: x)


def resize(x: tf.Tensor, size: tf.Tensor, method: tf.Tensor) -> tf.Tensor:
    """Resizes `[H, W, C]` by the method at this index of `METHODS`, without antialiasing, as the authors do.

    Area and bicubic are TensorFlow's. Its areas are exact; PyTorch rounds areas to whole pixels. Keys' cubic parameter
    `a` is `-1/2`; in PyTorch it is `-3/4`.
    """
    return tf.switch_case(method, [lambda m=_METHODS[name]: tf.image.resize(x, size, m) for name in METHODS])


def add_noise(x: tf.Tensor, gaussian: tf.Tensor, strength: tf.Tensor, gray: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Adds Gaussian noise of sigma `strength` / 255, or `strength` times shot noise, and clips to [0, 1]."""
    height, width = tf.shape(x)[0], tf.shape(x)[1]

    def gaussian_noise():
        channels = tf.where(gray, 1, 3)
        return strength / 255.0 * tf.random.stateless_normal([height, width, channels], seed)

    def poisson_noise():
        # The number of photons follows from the number of the image's levels (BasicSR's degradations.py).
        luma_or_rgb = tf.cond(gray, lambda: tf.image.rgb_to_grayscale(x), lambda: x)
        levels = tf.cast(to_eight_bits(luma_or_rgb), tf.int32)
        count = tf.math.count_nonzero(tf.math.bincount(levels, minlength=256), dtype=tf.float32)
        photons = 2.0 ** tf.math.ceil(tf.math.log(count) / tf.math.log(2.0) - 1e-4)
        expected = tf.cast(levels, tf.float32) / 255.0
        counted = tf.random.stateless_poisson(tf.shape(expected), seed, photons * expected, tf.float32)
        return strength * (counted / photons - expected)

    noise = tf.cond(gaussian, gaussian_noise, poisson_noise)
    return tf.clip_by_value(x + noise, 0.0, 1.0)


def compressed(x: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """Encodes `[H, W, 3]` in [0, 1] as JPEG and decodes it."""
    return tf.cast(_compress_jpeg(to_eight_bits(x), quality), tf.float32) / 255.0


def _compress_jpeg(image, quality):
    # TensorFlow's default is slightly faster, with errors of up to 10 of 255.
    return tf.image.adjust_jpeg_quality(image, quality, dct_method="INTEGER_ACCURATE")


def to_eight_bits(x: tf.Tensor) -> tf.Tensor:
    """float32 in [0, 1] to uint8, clipped and rounded."""
    return tf.cast(tf.round(255.0 * tf.clip_by_value(x, 0.0, 1.0)), tf.uint8)
