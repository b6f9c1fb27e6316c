"""The steps of SRGAN and Real-ESRGAN: losses, gradients and changed variables, compared with explicit computations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from esrgan_tf.config import RuntimeConfig
from esrgan_tf.data import Patches
from esrgan_tf.imaging.filters import unsharp_mask
from esrgan_tf.models import compact_generator, srgan_discriminator, srresnet_generator, unet_sn_discriminator
from esrgan_tf.training.train_step import TrainStep
from tests import reference
from tests.small_training import Store, all_weights, assert_same, make_phase

SRGAN = {"pixel_loss": "l2", "perceptual_loss": "l2", "adversarial_loss": "plain", "pixel_weight": 0.0}
REAL = {
    "sharpen_targets": True, "adversarial_loss": "plain", "adversarial_weight": 0.1, "pixel_weight": 1.0,
    "perceptual_layers": {"conv1_2": 0.1, "conv5_4": 1.0},
}  # fmt: skip


def systems():
    """The smallest networks of each system."""
    return {
        "srgan": (lambda: srresnet_generator(4, 4, 1), lambda: srgan_discriminator(32, 4), SRGAN),
        "real": (lambda: compact_generator(4, 4, 1), lambda: unet_sn_discriminator(4), REAL),
    }


def batch():
    return [(x / 255.0).astype(np.float32) for x in Patches(Store(), 4, 32, 4, 0).batch(0)]


def features_of(layers):
    """A replacement for VGG19 with two known layers of other sizes."""
    image = keras.Input((None, None, 3))
    outputs = {layer: keras.layers.Conv2D(2, 3, padding="same", name=f"of_{layer}")(image) for layer in layers}
    return keras.Model(image, outputs, trainable=False)


def gan_phase(system, layers):
    generators, discriminators, config = systems()[system]
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    phase = make_phase("gan", strategy, generators, discriminators, **{"perceptual_layers": layers, **config})
    phase.step.features = features_of(phase.step.config.perceptual_layers)
    return phase


def numpy_features(phase, images):
    model = phase.step.features
    return {
        layer: reference.conv2d(images, *(np.asarray(w) for w in model.get_layer(f"of_{layer}").weights))
        for layer in phase.step.config.perceptual_layers
    }


@pytest.mark.parametrize(("system", "layers"), [("srgan", {"relu5_4": 1.0}), ("real", REAL["perceptual_layers"])])
def test_losses_of_the_gan_phase(system, layers):
    phase = gan_phase(system, layers)
    generator, discriminator = phase.step.generator, phase.step.discriminator
    start = generator.get_weights(), discriminator.get_weights()
    lr, hr = batch()
    losses, gradients = phase.step(tf.constant(lr), tf.constant(hr), tf.constant(1.0))

    generator.set_weights(start[0])
    discriminator.set_weights(start[1])
    sr = np.asarray(generator(lr, training=True))
    target = np.asarray(unsharp_mask(tf.constant(hr))) if system == "real" else hr
    norm = np.square if system == "srgan" else np.abs
    np.testing.assert_allclose(losses["pixel"], norm(target - sr).mean(), rtol=1e-4)
    of_target, of_sr = (numpy_features(phase, images) for images in (target, sr))
    perceptual = sum(weight * norm(of_target[name] - of_sr[name]).mean() for name, weight in layers.items())
    np.testing.assert_allclose(losses["perceptual"], perceptual, rtol=1e-4)
    # The discriminator sees the real images in the second of two calls. Each call moves its vectors.
    fake, real = (np.asarray(discriminator(images, training=True)) for images in (sr, hr))
    np.testing.assert_allclose(losses["adversarial"], reference.sigmoid_cross_entropy(fake, 1), rtol=1e-4)
    expected = reference.sigmoid_cross_entropy(real, 1) + reference.sigmoid_cross_entropy(fake, 0)
    np.testing.assert_allclose(losses["discriminator"], expected, rtol=1e-4)
    np.testing.assert_allclose(losses["logit_real"], real.mean(), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(losses["logit_fake"], fake.mean(), rtol=1e-3, atol=1e-5)

    generator.set_weights(start[0])
    discriminator.set_weights(start[1])
    c = phase.step.config
    with tf.GradientTape() as tape:
        sr = generator(lr, training=True)
        difference = tf.square if system == "srgan" else tf.abs
        features = phase.step.features(target), phase.step.features(sr)
        total = c.pixel_weight * tf.reduce_mean(difference(target - sr))
        total += sum(w * tf.reduce_mean(difference(features[0][n] - features[1][n])) for n, w in layers.items())
        total += c.adversarial_weight * tf.reduce_mean(tf.math.softplus(-discriminator(sr, training=True)))
    expected = tape.gradient(total, generator.trainable_variables)
    for a, b in zip(gradients["generator"], expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * float(tf.reduce_max(tf.abs(b))) + 1e-9)

    discriminator.set_weights(start[1])
    with tf.GradientTape() as tape:  # a separate pass over constant images
        fake, real = (discriminator(tf.constant(images), training=True) for images in (np.asarray(sr), hr))
        total = tf.reduce_mean(tf.math.softplus(-real)) + tf.reduce_mean(tf.math.softplus(fake))
    expected = tape.gradient(total, discriminator.trainable_variables)
    for a, b in zip(gradients["discriminator"], expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1.0, float(tf.reduce_max(tf.abs(b)))))


@pytest.mark.parametrize(("norm", "sharpen"), [("l1", True), ("l2", False)])
def test_loss_of_the_first_phase(norm, sharpen):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    phase = make_phase("psnr", strategy, pixel_loss=norm, sharpen_targets=sharpen)
    lr, hr = batch()
    target = np.asarray(unsharp_mask(tf.constant(hr))) if sharpen else hr
    assert (np.abs(target - hr).max() > 0.01) == sharpen
    difference = target - np.asarray(phase.generator(lr))
    expected = (np.abs(difference) if norm == "l1" else np.square(difference)).mean()
    losses, _ = phase.step(tf.constant(lr), tf.constant(hr), tf.constant(1.0))
    np.testing.assert_allclose(losses["pixel"], expected, rtol=1e-4)


@pytest.fixture(scope="module", params=["srgan", "real"])
def two_steps(request):
    """A compiled step after two calls, the initial values, and a batch."""
    generators, discriminators, config = systems()[request.param]
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    phase = make_phase("gan", strategy, generators, discriminators, **{**config, "pixel_weight": 1.0, "ema_decay": 0.5})
    step, before = TrainStep(phase, strategy, RuntimeConfig()), all_weights(phase)
    lr, hr = (tf.constant(images) for images in Patches(Store(), 4, 32, 4, 0).batch(0))
    for _ in range(2):
        assert step(lr, hr, tf.constant(0.0)).numpy()[len(step.columns)] == 0.0  # not skipped
    return request.param, phase, step, before, (lr, hr)


def test_a_step_moves_all_of_both_systems(two_steps):
    """Changes the untrained variables too; the EMA of a batch-normalised network is usable."""
    system, phase, _, before, _ = two_steps
    after = all_weights(phase)
    for owner in phase.step.trained:
        for path in (path for path in before if path.startswith(f"{owner}/")):
            assert (before[path] != after[path]).any(), path
    variances = [np.asarray(v) for v in phase.average.weights if "moving_variance" in v.path]
    assert len(variances) == (3 if system == "srgan" else 0)
    assert all((v > 0).all() and (v != 1).any() for v in variances)  # the EMA has these too, with valid values
    assert np.isfinite(phase.average(batch()[0])).all()


def test_a_skipped_step_leaves_statistics_and_singular_vectors(two_steps):
    _, phase, step, _, (lr, hr) = two_steps
    *_, last = phase.step.generator.trainable_variables
    kept = np.asarray(last)
    last.assign(np.full_like(kept, np.inf))
    try:
        before = all_weights(phase)
        assert step(lr, hr, tf.constant(0.0)).numpy()[len(step.columns)] == 1.0  # skipped
        assert_same(before, all_weights(phase), rtol=0, atol=0)
    finally:
        last.assign(kept)
