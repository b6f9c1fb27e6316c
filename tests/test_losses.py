import numpy as np
import pytest
import tensorflow as tf

from esrgan_tf.training.losses import (
    checkerboard_loss,
    perceptual_loss,
    pixel_loss,
    plain_discriminator_loss,
    plain_generator_loss,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
)
from tests.reference import sigmoid_cross_entropy

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(1, 2, (6, 1)), RNG.normal(-1, 2, (6, 1))


def generator_loss(real, fake):
    return 0.5 * (sigmoid_cross_entropy(real - fake.mean(), 0) + sigmoid_cross_entropy(fake - real.mean(), 1))


def discriminator_loss(real, fake, mean_real, mean_fake):
    return 0.5 * (sigmoid_cross_entropy(real - mean_fake, 1) + sigmoid_cross_entropy(fake - mean_real, 0))


def slope(function, x, step=1e-5):
    """Central differences."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        gradient[i] = (function(up) - function(down)) / (2 * step)
    return gradient


def gradients(loss, real=REAL, fake=FAKE):
    real, fake = tf.constant(real), tf.constant(fake)
    with tf.GradientTape() as tape:
        tape.watch([real, fake])
        value = loss(real, fake)
    return value, tape.gradient(value, [real, fake])


def test_pixel_loss():
    hr, sr = RNG.random((2, 4, 5, 3)), RNG.random((2, 4, 5, 3))
    assert float(pixel_loss(tf.constant(hr), tf.constant(sr))) == pytest.approx(np.abs(hr - sr).mean())
    assert float(pixel_loss(tf.constant(hr), tf.constant(sr), "l2")) == pytest.approx(np.square(hr - sr).mean())


@pytest.mark.parametrize(("norm", "difference"), [("l1", np.abs), ("l2", np.square)])
def test_perceptual_loss(norm, difference):
    hr = {"conv1_2": RNG.normal(size=(2, 4, 4, 8)), "conv5_4": RNG.normal(size=(2, 1, 1, 16))}
    sr = {name: RNG.normal(size=value.shape) for name, value in hr.items()}
    means = {name: difference(hr[name] - sr[name]).mean() for name in hr}
    expected = 0.1 * means["conv1_2"] + 2.0 * means["conv5_4"]
    hr, sr = ({name: tf.constant(v, tf.float32) for name, v in features.items()} for features in (hr, sr))
    with tf.GradientTape() as tape:
        tape.watch([hr, sr])
        loss = perceptual_loss(hr, sr, {"conv1_2": 0.1, "conv5_4": 2.0}, norm)
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    of_hr, of_sr = tape.gradient(loss, [hr, sr])
    assert all(gradient is None for gradient in of_hr.values())
    assert all(np.abs(gradient).min() > 0 for gradient in of_sr.values())


def test_generator_loss_and_its_gradient():
    value, (of_real, of_fake) = gradients(relativistic_generator_loss)
    assert float(value) == pytest.approx(generator_loss(REAL, FAKE))
    assert of_real is None  # D(real) is held constant
    np.testing.assert_allclose(of_fake, slope(lambda fake: generator_loss(REAL, fake), FAKE), rtol=1e-6)


def test_discriminator_loss_and_its_gradient():
    value, (of_real, of_fake) = gradients(relativistic_discriminator_loss)
    means = REAL.mean(), FAKE.mean()  # held constant
    assert float(value) == pytest.approx(discriminator_loss(REAL, FAKE, *means))
    np.testing.assert_allclose(of_real, slope(lambda r: discriminator_loss(r, FAKE, *means), REAL), rtol=1e-6)
    np.testing.assert_allclose(of_fake, slope(lambda f: discriminator_loss(REAL, f, *means), FAKE), rtol=1e-6)


def test_plain_losses_and_their_gradients():
    """Uses the logits per pixel of the U-Net."""
    real, fake = RNG.normal(1, 2, (2, 3, 4, 1)), RNG.normal(-1, 2, (2, 3, 4, 1))
    value, (of_real, of_fake) = gradients(plain_discriminator_loss, real, fake)
    assert float(value) == pytest.approx(sigmoid_cross_entropy(real, 1) + sigmoid_cross_entropy(fake, 0))
    np.testing.assert_allclose(of_real, slope(lambda r: sigmoid_cross_entropy(r, 1), real), atol=1e-8)
    np.testing.assert_allclose(of_fake, slope(lambda f: sigmoid_cross_entropy(f, 0), fake), atol=1e-8)
    value, (of_real, of_fake) = gradients(lambda real, fake: plain_generator_loss(fake), real, fake)
    assert float(value) == pytest.approx(sigmoid_cross_entropy(fake, 1))
    assert of_real is None
    np.testing.assert_allclose(of_fake, slope(lambda f: sigmoid_cross_entropy(f, 1), fake), atol=1e-8)


@pytest.mark.parametrize(
    "loss", [relativistic_generator_loss, relativistic_discriminator_loss, plain_discriminator_loss]
)
def test_large_logits_stay_finite(loss):
    value, (_, of_fake) = gradients(lambda real, fake: loss(200.0 * real, 200.0 * fake))
    assert np.isfinite(value)
    assert np.isfinite(of_fake).all()


def repeated(difference):
    """An explicit computation: windows of 8 input pixels per side, 2 x 3 windows in 9 x 10 input pixels."""
    terms = []
    for image in difference:
        for top in range(2):
            for left in range(3):
                window = image[4 * top : 4 * (top + 8), 4 * left : 4 * (left + 8)]
                places = np.stack([window[dy::4, dx::4].mean((0, 1)) for dy in range(4) for dx in range(4)])
                terms.append(np.abs(places - places.mean(0)))
    return np.mean(terms)


def texture(images):
    """Subtracts the mean of 5 x 5 pixels, at the border of the existing pixels only."""
    ones = np.pad(np.ones_like(images), ((0, 0), (2, 2), (2, 2), (0, 0)))
    padded, (_, height, width, _) = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0))), images.shape
    places = [np.s_[:, dy : dy + height, dx : dx + width] for dy in range(5) for dx in range(5)]
    return np.abs(images - sum(padded[place] for place in places) / sum(ones[place] for place in places))


def test_the_checkerboard_loss_is_the_mean_of_each_place():
    rng = np.random.default_rng(0)
    hr, sr = (rng.random((2, 36, 40, 3)) for _ in range(2))
    expected = repeated(sr - hr) + repeated(texture(sr) - texture(hr))
    assert float(checkerboard_loss(tf.constant(hr, tf.float32), tf.constant(sr, tf.float32), 4)) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_checkerboard_loss_detects_only_patterns(scale):
    """Detects patterns of bright pixels, and of equal numbers of bright and dark pixels, but no brightness or noise."""
    rng = np.random.default_rng(1)
    hr = rng.random((1, 16 * scale, 16 * scale, 3), dtype=np.float32)
    assert float(checkerboard_loss(hr, hr + 0.1, scale)) == pytest.approx(0, abs=1e-6)
    even, bright, either = np.full_like(hr, 0.5), np.zeros_like(hr), np.zeros_like(hr)
    bright[:, ::scale, ::scale] = 0.1
    either[:, ::scale, ::scale] = 0.1 * rng.choice([-1.0, 1.0], either[:, ::scale, ::scale].shape)
    noise = np.float32(rng.choice([-1.0, 1.0], hr.shape)) * np.abs(bright).mean()  # equally strong at all places
    seen = {name: float(checkerboard_loss(even, even + pattern, scale)) for name, pattern in
            {"bright": bright, "either": either, "noise": noise}.items()}  # fmt: skip
    n = scale**2  # 0.1 (1 - 1/n) at the first of n places, 0.1/n at the others, and about as much texture
    assert seen["bright"] > 1.5 * 0.2 * (n - 1) / n**2
    assert seen["either"] > 0.4 * seen["bright"]  # from the texture term alone
    assert seen["noise"] < 0.25 * seen["either"]


def test_the_checkerboard_loss_of_patches_smaller_than_its_window():
    hr = np.zeros((1, 16, 16, 3), np.float32)
    assert float(checkerboard_loss(hr, hr, 4)) == 0
