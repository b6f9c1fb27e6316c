import numpy as np
import pytest
import scipy.stats

from esrgan_tf.config import load_config
from esrgan_tf.data.degradation_recipes import METHODS, Kernel, draw_recipe

DRAWS = 10_000


def grid(size):
    half = size // 2
    return np.mgrid[-half : half + 1, -half : half + 1].astype(float)


@pytest.mark.parametrize("size", [7, 21])
@pytest.mark.parametrize("kind", ["isotropic", "anisotropic"])
def test_gaussian_kernels_are_scipys_density(kind, size):
    sigma, angle = ((1.7, 1.7), None) if kind == "isotropic" else ((2.6, 0.9), 0.7)
    turn = np.array([[np.cos(angle or 0), -np.sin(angle or 0)], [np.sin(angle or 0), np.cos(angle or 0)]])
    covariance = turn @ np.diag(np.square(sigma)) @ turn.T
    y, x = grid(size)
    expected = scipy.stats.multivariate_normal([0, 0], covariance).pdf(np.stack([x, y], axis=-1))
    found = Kernel(kind, size, sigma, angle, 1.0).pixels()
    np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-7)


@pytest.mark.parametrize("beta", [0.5, 1.6, 4.0])
@pytest.mark.parametrize("kind", ["generalised_anisotropic", "plateau_anisotropic"])
def test_generalised_and_plateau_kernels(kind, beta):
    """Kernels of Liu et al., "Estimating generalized Gaussian blur kernels for out-of-focus image deblurring"."""
    sigma, angle = (2.0, 0.7), -1.1
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag(np.square(sigma)) @ turn.T)
    expected = np.empty((13, 13))
    for row, column in np.ndindex(13, 13):
        c = np.array([column - 6, row - 6])
        power = (c @ inverse @ c) ** beta
        expected[row, column] = np.exp(-0.5 * power) if kind.startswith("generalised") else 1 / (power + 1)
    np.testing.assert_allclose(Kernel(kind, 13, sigma, angle, beta).pixels(), expected / expected.sum(), atol=1e-7)


@pytest.mark.parametrize("cutoff", [np.pi / 3, 2.0, np.pi])
def test_sinc_kernel_is_bessels_integral(cutoff):
    """J1(x) is the mean of cos(a - x sin a) over a whole turn (Abramowitz and Stegun, 9.1.21)."""
    y, x = grid(21)
    distance = np.hypot(x, y)
    angles = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    j1 = np.cos(angles - cutoff * distance[..., None] * np.sin(angles)).mean(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = cutoff * j1 / (2 * np.pi * distance)
    expected[10, 10] = cutoff**2 / (4 * np.pi)
    np.testing.assert_allclose(Kernel("sinc", 21, cutoff=cutoff).pixels(), expected / expected.sum(), atol=1e-7)


@pytest.fixture(scope="module")
def drawn():
    config = load_config(None, ["degradation.kind=second_order"])
    return [draw_recipe(config, np.random.default_rng((0, i))) for i in range(DRAWS)]


def rounds(drawn, number):
    return [recipe.first if number == 1 else recipe.second for recipe in drawn]


def same_frequencies(found, published):
    """Tests frequencies of names against probabilities with Pearson's chi-squared test."""
    counts = {name: sum(item == name for item in found) for name in published}
    assert sum(counts.values()) == len(found)
    expected = [share * len(found) for share in published.values()]
    assert scipy.stats.chisquare(list(counts.values()), expected).pvalue > 1e-3


def same_share(found, probability):
    assert scipy.stats.binomtest(sum(found), len(found), probability).pvalue > 1e-3


def uniform(values, low, high):
    """The test of Kolmogorov and Smirnov."""
    assert scipy.stats.kstest(values, scipy.stats.uniform(low, high - low).cdf).pvalue > 1e-3
    assert low <= min(values) <= max(values) <= high


# options/train_realesrgan_x4plus.yml of the authors; the resize is larger, smaller, or none.
PUBLISHED = {
    1: {"sigma": (0.2, 3), "resize": {1: 0.2, -1: 0.7, 0: 0.1}, "range": (0.15, 1.5), "gauss": 30, "poisson": 3},
    2: {"sigma": (0.2, 1.5), "resize": {1: 0.3, -1: 0.4, 0: 0.3}, "range": (0.3, 1.2), "gauss": 25, "poisson": 2.5},
}
KINDS = {
    "isotropic": 0.45, "anisotropic": 0.25, "generalised_isotropic": 0.12, "generalised_anisotropic": 0.03,
    "plateau_isotropic": 0.12, "plateau_anisotropic": 0.03,
}  # fmt: skip
SIZES = dict.fromkeys(range(7, 22, 2), 1 / 8)


@pytest.mark.parametrize("number", [1, 2])
def test_kernels_are_drawn_as_published(drawn, number):
    kernels = [part.kernel for part in rounds(drawn, number)]
    if number == 1:
        assert None not in kernels
    else:
        same_share([kernel is not None for kernel in kernels], 0.8)
    kernels = [kernel for kernel in kernels if kernel]
    same_frequencies([kernel.size for kernel in kernels], SIZES)
    same_share([kernel.kind == "sinc" for kernel in kernels], 0.1)
    for large, least in ((False, np.pi / 3), (True, np.pi / 5)):
        found = [k.cutoff for k in kernels if k.kind == "sinc" and (k.size >= 13) == large]
        uniform(found, least, np.pi)
        assert min(found) < least + 0.1
    others = [kernel for kernel in kernels if kernel.kind != "sinc"]
    same_frequencies([kernel.kind for kernel in others], KINDS)
    low, high = PUBLISHED[number]["sigma"]
    uniform([kernel.sigma[0] for kernel in others], low, high)
    turned = [kernel for kernel in others if kernel.kind.endswith("anisotropic")]
    round_ones = [kernel for kernel in others if not kernel.kind.endswith("anisotropic")]
    uniform([kernel.sigma[1] for kernel in turned], low, high)
    uniform([kernel.rotation for kernel in turned], -np.pi, np.pi)
    assert all(k.sigma[0] == k.sigma[1] and k.rotation is None for k in round_ones)
    for kind, low, high in (("generalised", 0.5, 4), ("plateau", 1, 2)):
        betas = np.array([kernel.beta for kernel in others if kernel.kind.startswith(kind)])
        same_share(betas <= 1, 0.5)
        uniform(betas[betas > 1], 1, high)
        if low < 1:
            uniform(betas[betas <= 1], low, 1)
    assert all(k.beta == 1 for k in others if k.kind in ("isotropic", "anisotropic"))


@pytest.mark.parametrize("number", [1, 2])
def test_the_rest_is_drawn_as_published(drawn, number):
    published, parts = PUBLISHED[number], rounds(drawn, number)
    same_frequencies([np.sign(part.scale - 1) for part in parts], published["resize"])
    low, high = published["range"]
    uniform([part.scale for part in parts if part.scale < 1], low, 1)
    uniform([part.scale for part in parts if part.scale > 1], 1, high)
    same_frequencies([part.method for part in parts], dict.fromkeys(METHODS, 1 / 3))
    same_frequencies([part.noise for part in parts], {"gaussian": 0.5, "poisson": 0.5})
    uniform([part.strength for part in parts if part.noise == "gaussian"], 1, published["gauss"])
    uniform([part.strength for part in parts if part.noise == "poisson"], 0.05, published["poisson"])
    same_share([part.gray for part in parts], 0.4)
    inner = [part.quality for part in parts if 30 < part.quality < 95]  # the outer values are half as likely
    same_frequencies(inner, dict.fromkeys(range(31, 95), 1 / 64))
    assert {30, 95} <= {part.quality for part in parts} <= set(range(30, 96))


def test_the_end_is_drawn_as_published(drawn):
    kernels = [recipe.kernel for recipe in drawn if recipe.kernel]
    same_share([recipe.kernel is not None for recipe in drawn], 0.8)
    assert {kernel.kind for kernel in kernels} == {"sinc"}
    same_frequencies([kernel.size for kernel in kernels], SIZES)
    uniform([kernel.cutoff for kernel in kernels], np.pi / 3, np.pi)
    same_frequencies([recipe.method for recipe in drawn], dict.fromkeys(METHODS, 1 / 3))
    same_share([recipe.jpeg_last for recipe in drawn], 0.5)
    assert len({recipe.seed for recipe in drawn}) > 0.999 * DRAWS


def test_draws_do_not_depend_on_one_another(drawn):
    columns = np.array([
        [r.first.scale, r.first.strength, r.first.quality, r.second.scale, r.second.quality, r.first.kernel.size]
        for r in drawn if r.first.noise == "gaussian"
    ])  # fmt: skip
    correlation = np.corrcoef(columns.T)
    assert np.abs(correlation - np.eye(len(correlation))).max() < 0.06
