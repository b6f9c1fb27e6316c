"""Degradation recipes: the parameters of the degradation of one image, drawn from the ranges of a configuration.

This is the second-order degradation of Real-ESRGAN (Wang et al., arXiv 2107.10833): two rounds of blur, resize, noise
and JPEG, then a sinc filter. `esrgan-tf degrade` writes recipes beside its results; `degradations` applies them.
"""

from dataclasses import dataclass

import numpy as np

from esrgan_tf.config import Config, DegradationRoundConfig, as_plain

METHODS = ("area", "bilinear", "bicubic")


@dataclass(frozen=True)
class Kernel:
    """The parameters of a blur kernel.

    Attributes:
        kind: `isotropic`, `anisotropic`, `generalised_…`, `plateau_…`, or `sinc`.
        size: pixels on a side, odd.
        sigma: in pixels, along both axes of the ellipse, equal for isotropic kernels; None for `sinc`.
        rotation: of the first axis, in radians; None for isotropic kernels.
        beta: the shape; 1 is a Gaussian. None for `sinc`.
        cutoff: of `sinc`, in radians per pixel.
    """

    kind: str
    size: int
    sigma: tuple[float, float] | None = None
    rotation: float | None = None
    beta: float | None = None
    cutoff: float | None = None

    def pixels(self) -> np.ndarray:
        """The kernel, float32 `[size, size]`, of sum 1 (section 3.1, and 3.3 for `sinc`)."""
        y, x = np.mgrid[: self.size, : self.size] - self.size // 2
        if self.kind == "sinc":
            import scipy.special  # slow to import, and only this kernel needs it

            assert self.cutoff is not None
            distance = np.hypot(x, y)
            distance[self.size // 2, self.size // 2] = 1.0  # avoids 0 / 0; the limit replaces it below
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
        kernel: None is no blur.
        scale: the resized size relative to the HR image in the first round, to the LR image in the second.
        method: of the resize, one of `METHODS`.
        noise: `gaussian` or `poisson`.
        strength: of Gaussian noise, sigma on the scale 0 … 255; of Poisson noise, a factor of shot noise.
        gray: whether the noise is gray noise, equal in all channels.
        quality: of JPEG.
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
    """The degradation of one image.

    Attributes:
        sharpen: whether the HR image is sharpened first.
        first, second: the rounds.
        kernel: the last sinc filter; None is no filter.
        method: of the last resize, to the LR size.
        jpeg_last: whether the JPEG of the second round follows the last resize and filter, else precedes them.
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
        """The parameters as dictionaries, strings and numbers for YAML, without parameters that are None."""

        def drop_none(values):
            return {k: drop_none(v) if isinstance(v, dict) else v for k, v in values.items() if v is not None}

        return drop_none(as_plain(self))


def draw_recipe(config: Config, rng: np.random.Generator) -> Recipe:
    """Draws every parameter from the ranges of the sections `degradation`, `degradation_1` and `degradation_2`.

    The order of the draws is fixed: another order would change the recipe of every seed.
    """
    last = config.degradation
    return Recipe(
        sharpen=last.sharpen,
        first=_draw_round(config.degradation_1, rng),
        second=_draw_round(config.degradation_2, rng),
        kernel=_draw_sinc(last.sinc_sizes, last.sinc_cutoff, last.sinc_cutoff, rng)
        if rng.random() < last.sinc_probability
        else None,
        method=_choose(METHODS, rng),
        jpeg_last=bool(rng.random() < last.jpeg_last),
        seed=int(rng.integers(2**31)),
    )


def _draw_round(config: DegradationRoundConfig, rng) -> Round:
    kernel = _draw_kernel(config, rng) if rng.random() < config.blur_probability else None
    least, most = config.resize_scale
    direction = _choose_weighted(config.resize, rng)
    scale = {"up": rng.uniform(1.0, most), "down": rng.uniform(least, 1.0), "keep": 1.0}[direction]
    gaussian = rng.random() < config.gaussian_probability
    low, high = config.jpeg_quality
    return Round(
        kernel=kernel,
        scale=scale,
        method=_choose(METHODS, rng),
        noise="gaussian" if gaussian else "poisson",
        strength=rng.uniform(*(config.gaussian_sigma if gaussian else config.poisson_scale)),
        gray=bool(rng.random() < config.gray_probability),
        quality=round(rng.uniform(low, high)),
    )


def _draw_kernel(config: DegradationRoundConfig, rng) -> Kernel:
    if rng.random() < config.sinc_probability:
        return _draw_sinc(config.blur_sizes, config.sinc_cutoff, config.sinc_cutoff_large, rng)
    kind, size = _choose_weighted(config.blur_kinds, rng), _choose(config.blur_sizes, rng)
    sigma, rotation, beta = rng.uniform(*config.blur_sigma), None, 1.0
    sigmas = (sigma, sigma)
    if kind.endswith("anisotropic"):
        sigmas, rotation = (sigma, rng.uniform(*config.blur_sigma)), rng.uniform(-np.pi, np.pi)
    if kind.startswith(("generalised", "plateau")):
        least, most = config.generalised_beta if kind.startswith("generalised") else config.plateau_beta
        beta = rng.uniform(least, 1.0) if rng.random() < 0.5 else rng.uniform(1.0, most)
    return Kernel(kind, size, sigmas, rotation, beta)


def _draw_sinc(sizes, cutoff, cutoff_of_large, rng) -> Kernel:
    size = _choose(sizes, rng)
    return Kernel("sinc", size, cutoff=np.pi * rng.uniform(*(cutoff if size < 13 else cutoff_of_large)))


def _choose(items, rng):
    """Draws the same item as `rng.choice`, without an array of the items."""
    return items[rng.integers(len(items))]


def _choose_weighted(weights, rng):
    """Draws the same key as `rng.choice` with these probabilities, without its checks."""
    shares = np.array(list(weights.values())) / sum(weights.values())
    bounds = shares.cumsum()
    return list(weights)[(bounds / bounds[-1]).searchsorted(rng.random(), side="right")]
