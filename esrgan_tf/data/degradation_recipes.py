"""Recipes of degradation: what happens to one image, as plain numbers drawn from the ranges of a configuration.

The second-order degradation of Real-ESRGAN (Wang et al., arXiv 2107.10833): blur, resize, noise and JPEG, twice, then a
sinc filter. `esrgan-tf degrade` writes recipes beside its results; `degradations` applies them.
"""

from dataclasses import dataclass

import numpy as np

from esrgan_tf.config import Config, DegradationRoundConfig, as_plain

METHODS = ("area", "bilinear", "bicubic")


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
            import scipy.special  # a tenth of a second, and only this kernel needs it

            assert self.cutoff is not None
            distance = np.hypot(x, y)
            distance[self.size // 2, self.size // 2] = 1.0  # the limit there follows
            values = self.cutoff * scipy.special.j1(self.cutoff * distance) / (2 * np.pi * distance)
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
    """Draws every parameter from the ranges of the sections `degradation`, `degradation_1` and `degradation_2`.

    What a seed stands for depends on the order of the draws: another order would change every recipe.
    """
    last = config.degradation
    return Recipe(
        sharpen=last.sharpen,
        first=_draw_round(config.degradation_1, rng),
        second=_draw_round(config.degradation_2, rng),
        kernel=_draw_sinc(last.sinc_sizes, last.sinc_cutoff, last.sinc_cutoff, rng)
        if rng.random() < last.sinc_probability
        else None,
        method=_one_of(METHODS, rng),
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
        method=_one_of(METHODS, rng),
        noise="gaussian" if gaussian else "poisson",
        strength=rng.uniform(*(config.gaussian_sigma if gaussian else config.poisson_scale)),
        gray=bool(rng.random() < config.gray_probability),
        quality=round(rng.uniform(low, high)),
    )


def _draw_kernel(config: DegradationRoundConfig, rng) -> Kernel:
    if rng.random() < config.sinc_probability:
        return _draw_sinc(config.blur_sizes, config.sinc_cutoff, config.sinc_cutoff_large, rng)
    kind, size = _choose(config.blur_kinds, rng), _one_of(config.blur_sizes, rng)
    sigma, rotation, beta = rng.uniform(*config.blur_sigma), None, 1.0
    sigmas = (sigma, sigma)
    if kind.endswith("anisotropic"):
        sigmas, rotation = (sigma, rng.uniform(*config.blur_sigma)), rng.uniform(-np.pi, np.pi)
    if kind.startswith(("generalised", "plateau")):
        least, most = config.generalised_beta if kind.startswith("generalised") else config.plateau_beta
        beta = rng.uniform(least, 1.0) if rng.random() < 0.5 else rng.uniform(1.0, most)
    return Kernel(kind, size, sigmas, rotation, beta)


def _draw_sinc(sizes, cutoff, cutoff_of_large, rng) -> Kernel:
    size = _one_of(sizes, rng)
    return Kernel("sinc", size, cutoff=np.pi * rng.uniform(*(cutoff if size < 13 else cutoff_of_large)))


def _one_of(items, rng):
    """As `rng.choice` draws, without making an array of the items."""
    return items[rng.integers(len(items))]


def _choose(weights, rng):
    """As `rng.choice` draws with these probabilities, without checking them each time."""
    shares = np.array(list(weights.values())) / sum(weights.values())
    bounds = shares.cumsum()
    return list(weights)[(bounds / bounds[-1]).searchsorted(rng.random(), side="right")]
