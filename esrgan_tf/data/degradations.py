"""Low resolution as the world makes it: the second-order degradation of Real-ESRGAN (Wang et al., arXiv 2107.10833).

Blur, resize, noise and JPEG, twice, then a sinc filter. First a recipe is drawn, plain numbers that `esrgan-tf degrade`
writes beside its results; then it is applied. Each image of a batch has its own recipe, a pure function of the numbers
that seed it, so the authors' pool of training pairs, which mixes batches because theirs share their sizes, has no use.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from esrgan_tf.config import Config, DegradationRoundConfig, as_plain
from esrgan_tf.data.store import ImageStore
from esrgan_tf.images.filters import blur, unsharp_mask

METHODS = ("area", "bilinear", "bicubic")
_METHODS = {
    "area": tf.image.ResizeMethod.AREA,
    "bilinear": tf.image.ResizeMethod.BILINEAR,
    "bicubic": tf.image.ResizeMethod.BICUBIC,
}


@dataclass(frozen=True)
class Kernel:
    """What a blur kernel is computed from.

    Attributes:
        kind: `isotropic`, `anisotropic`, `generalised_…`, `plateau_…`, or `sinc`.
        size: pixels on a side, odd.
        sigma: pixels, along the axes of the ellipse; equal where isotropic; none for `sinc`.
        rotation: radians, of the first axis; none where isotropic.
        beta: shape; 1 is a Gaussian, none for `sinc`.
        cutoff: radians a pixel, of `sinc`.
    """

    kind: str
    size: int
    sigma: tuple[float, float] | None = None
    rotation: float | None = None
    beta: float | None = None
    cutoff: float | None = None

    def pixels(self) -> np.ndarray:
        """float32 `[size, size]`, of sum 1 (section 3.1, and 3.3 for `sinc`)."""
        y, x = np.mgrid[: self.size, : self.size] - self.size // 2
        if self.kind == "sinc":
            assert self.cutoff is not None
            distance = np.hypot(x, y)
            distance[self.size // 2, self.size // 2] = 1.0  # the limit there follows
            values = self.cutoff * _bessel_j1(self.cutoff * distance) / (2 * np.pi * distance)
            values[self.size // 2, self.size // 2] = self.cutoff**2 / (4 * np.pi)
        else:
            assert self.sigma is not None
            assert self.beta is not None
            angle = self.rotation or 0.0
            along = (np.cos(angle) * x + np.sin(angle) * y) / self.sigma[0]
            across = (-np.sin(angle) * x + np.cos(angle) * y) / self.sigma[1]
            power = (along**2 + across**2) ** self.beta
            values = 1 / (1 + power) if self.kind.startswith("plateau") else np.exp(-0.5 * power)
        return (values / values.sum()).astype(np.float32)


@dataclass(frozen=True)
class Round:
    """Blur, resize, noise and JPEG.

    Attributes:
        kernel: None leaves the blur out.
        scale: of the image's size in the first round, of the low resolution's in the second.
        method: of the resize, one of `METHODS`.
        noise: `gaussian` or `poisson`.
        strength: sigma of 255 for Gaussian noise, times the noise of light for Poisson's.
        gray: the same noise in all colours.
        quality: JPEG's.
    """

    kernel: Kernel | None
    scale: float
    method: str
    noise: str
    strength: float
    gray: bool
    quality: int


@dataclass(frozen=True)
class Recipe:
    """One image's degradation.

    Attributes:
        kernel: the last, a sinc filter; None leaves it out.
        method: of the last resize, to the low resolution.
        jpeg_last: whether JPEG of the second round follows the last resize and filter, or comes before.
        seed: of the noise.
    """

    sharpen: bool
    first: Round
    second: Round
    kernel: Kernel | None
    method: str
    jpeg_last: bool
    seed: int

    def as_plain(self) -> dict:
        """What YAML knows: dictionaries, texts and numbers, without what is not used."""

        def used(values):
            return {k: used(v) if isinstance(v, dict) else v for k, v in values.items() if v is not None}

        return used(as_plain(self))


def draw_recipe(config: Config, rng: np.random.Generator) -> Recipe:
    """Draws every parameter from the ranges of the sections `degradation`, `degradation_1` and `degradation_2`."""
    last = config.degradation
    return Recipe(
        sharpen=last.sharpen,
        first=_draw_round(config.degradation_1, rng),
        second=_draw_round(config.degradation_2, rng),
        kernel=_draw_sinc(last.sinc_sizes, last.sinc_cutoff, last.sinc_cutoff, rng)
        if rng.random() < last.sinc_probability
        else None,
        method=str(rng.choice(METHODS)),
        jpeg_last=bool(rng.random() < last.jpeg_last),
        seed=int(rng.integers(2**31)),
    )


def _draw_round(config: DegradationRoundConfig, rng) -> Round:
    kernel = _draw_kernel(config, rng) if rng.random() < config.blur_probability else None
    least, most = config.resize_scale
    direction = _choose(config.resize, rng)
    scale = {"up": rng.uniform(1.0, most), "down": rng.uniform(least, 1.0), "keep": 1.0}[direction]
    gaussian = rng.random() < config.gaussian_probability
    low, high = config.jpeg_quality
    return Round(
        kernel=kernel,
        scale=scale,
        method=str(rng.choice(METHODS)),
        noise="gaussian" if gaussian else "poisson",
        strength=rng.uniform(*(config.gaussian_sigma if gaussian else config.poisson_scale)),
        gray=bool(rng.random() < config.gray_probability),
        quality=round(rng.uniform(low, high)),
    )


def _draw_kernel(config: DegradationRoundConfig, rng) -> Kernel:
    if rng.random() < config.sinc_probability:
        return _draw_sinc(config.blur_sizes, config.sinc_cutoff, config.sinc_cutoff_large, rng)
    kind, size = _choose(config.blur_kinds, rng), int(rng.choice(config.blur_sizes))
    sigma, rotation, beta = rng.uniform(*config.blur_sigma), None, 1.0
    sigmas = (sigma, sigma)
    if kind.endswith("anisotropic"):
        sigmas, rotation = (sigma, rng.uniform(*config.blur_sigma)), rng.uniform(-np.pi, np.pi)
    if kind.startswith(("generalised", "plateau")):
        least, most = config.generalised_beta if kind.startswith("generalised") else config.plateau_beta
        beta = rng.uniform(least, 1.0) if rng.random() < 0.5 else rng.uniform(1.0, most)
    return Kernel(kind, size, sigmas, rotation, beta)


def _draw_sinc(sizes, cutoff, cutoff_of_large, rng) -> Kernel:
    size = int(rng.choice(sizes))
    return Kernel("sinc", size, cutoff=np.pi * rng.uniform(*(cutoff if size < 13 else cutoff_of_large)))


def _choose(weights, rng):
    values = np.array(list(weights.values()))
    return str(rng.choice(list(weights), p=values / values.sum()))


def _bessel_j1(x):
    """By Bessel's integral, in float64: over a whole period the trapezoidal rule converges as fast as a series."""
    angles = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    return np.cos(angles - x[..., None] * np.sin(angles)).mean(axis=-1)


class Degradation:
    """Low resolution for training, as the configuration's section `degradation` says."""

    def __init__(self, config: Config):
        self._config, self._scale = config, config.generator.scale

    def __call__(self, lr: np.ndarray, hr: np.ndarray, seeds: Sequence[Sequence[int]]) -> np.ndarray:
        """New low resolution for a batch of pairs, uint8 `[B, H / scale, W / scale, 3]`, each from its own seed."""
        rngs = [np.random.default_rng(seed) for seed in seeds]
        share = self._config.degradation.clean_probability
        clean = np.array([share > 0 and rng.random() < share for rng in rngs])
        if self._config.degradation.kind == "jpeg":
            low, high = self._config.degradation_2.jpeg_quality
            with tf.device("CPU:0"):
                degraded = np.stack([_jpeg(i, round(g.uniform(low, high))) for i, g in zip(lr, rngs, strict=True)])
        else:
            degraded = degrade(hr, [draw_recipe(self._config, rng) for rng in rngs], self._scale)
        return np.where(clean[:, None, None, None], lr, degraded)


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


def degrade(hr: np.ndarray, recipes: Sequence[Recipe], scale: int) -> np.ndarray:
    """Applies a recipe to each of uint8 `[B, H, W, 3]`: uint8 `[B, H / scale, W / scale, 3]`, rounded down."""
    with tf.device("CPU:0"):
        return _degrade(hr, scale, *_stacked(recipes)).numpy()


def _stacked(recipes):
    """The numbers of all recipes, one array a parameter; kernels are laid into the middle of equally large ones."""
    kernels = [(part.kernel for part in (recipe.first, recipe.second, recipe)) for recipe in recipes]
    pixels = [[np.ones((1, 1), np.float32) if k is None else k.pixels() for k in row] for row in kernels]
    largest = max(len(values) for row in pixels for values in row)
    padded = np.array([[np.pad(values, (largest - len(values)) // 2) for values in row] for row in pixels])
    sizes = np.array([[len(values) for values in row] for row in pixels], np.int32)
    rounds = [(recipe.first, recipe.second) for recipe in recipes]
    last = [[recipe.sharpen, recipe.jpeg_last] for recipe in recipes]
    methods = [[METHODS.index(part.method) for part in (r.first, r.second, r)] for r in recipes]
    return (
        padded,
        sizes,
        np.array([[part.scale for part in row] for row in rounds], np.float32),
        np.array(methods, np.int32),
        np.array([[part.noise == "gaussian" for part in row] for row in rounds]),
        np.array([[part.strength for part in row] for row in rounds], np.float32),
        np.array([[part.gray for part in row] for row in rounds]),
        np.array([[part.quality for part in row] for row in rounds], np.int32),
        np.array(last),
        np.array([recipe.seed for recipe in recipes], np.int32),
    )


# One graph for all recipes and sizes, so that the threads that make batches spend next to no time in Python.
@tf.function(
    input_signature=[
        tf.TensorSpec(shape, dtype)
        for shape, dtype in (
            ((None, None, None, 3), tf.uint8),
            ((), tf.int32),
            ((None, 3, None, None), tf.float32),
            ((None, 3), tf.int32),
            ((None, 2), tf.float32),
            ((None, 3), tf.int32),
            ((None, 2), tf.bool),
            ((None, 2), tf.float32),
            ((None, 2), tf.bool),
            ((None, 2), tf.int32),
            ((None, 2), tf.bool),
            ((None,), tf.int32),
        )
    ]
)
def _degrade(hr, scale, *numbers):
    return tf.map_fn(
        lambda one: _degraded(one[0], scale, *one[1:]),
        (hr, *numbers),
        fn_output_signature=tf.TensorSpec((None, None, 3), tf.uint8),
        parallel_iterations=16,
    )


def _degraded(hr, scale, kernels, sizes, scales, methods, gaussian, strengths, gray, qualities, flags, seed):
    """One image `[H, W, 3]`, uint8 to uint8."""
    sharpen, jpeg_last = flags[0], flags[1]
    size = tf.shape(hr)[:2]
    low = size // scale
    x = tf.cast(hr, tf.float32) / 255.0
    x = tf.cond(sharpen, lambda: unsharp_mask(x[None])[0], lambda: x)

    def kernel(i):
        edge = (tf.shape(kernels)[1] - sizes[i]) // 2
        return kernels[i, edge : edge + sizes[i], edge : edge + sizes[i]]

    for i, of in enumerate((size, low)):
        x = filtered(x, kernel(i))
        x = resized(x, tf.maximum(1, tf.cast(tf.cast(of, tf.float32) * scales[i], tf.int32)), methods[i])
        x = noisy(x, gaussian[i], strengths[i], gray[i], tf.stack([seed, i]))
        if i == 0:
            x = compressed(x, qualities[i])

    def finished(x):
        return filtered(resized(x, low, methods[2]), kernel(2))

    x = tf.cond(jpeg_last, lambda: compressed(finished(x), qualities[1]), lambda: finished(compressed(x, qualities[1])))
    return eight_bits(x)


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

    def of_gauss():
        channels = tf.where(gray, 1, 3)
        return strength / 255.0 * tf.random.stateless_normal([height, width, channels], seed)

    def of_light():
        # As many photons as make 8 bits of the levels that the image has (BasicSR's degradations.py).
        seen = tf.cond(gray, lambda: tf.image.rgb_to_grayscale(x), lambda: x)
        levels = tf.cast(eight_bits(seen), tf.int32)
        count = tf.math.count_nonzero(tf.math.bincount(levels, minlength=256), dtype=tf.float32)
        photons = 2.0 ** tf.math.ceil(tf.math.log(count) / tf.math.log(2.0) - 1e-4)
        expected = tf.cast(levels, tf.float32) / 255.0
        counted = tf.random.stateless_poisson(tf.shape(expected), seed, photons * expected, tf.float32)
        return strength * (counted / photons - expected)

    noise = tf.cond(gaussian, of_gauss, of_light)
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
