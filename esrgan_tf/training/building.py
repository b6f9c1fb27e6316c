"""Builds the networks of a phase."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import keras

from esrgan_tf.config import Config
from esrgan_tf.errors import UserError
from esrgan_tf.models import DISCRIMINATORS, GENERATORS, vgg19_features
from esrgan_tf.training.gan_step import GanStep
from esrgan_tf.training.gradient_checkpointing import checkpoint_gradients
from esrgan_tf.training.psnr_step import PsnrStep
from esrgan_tf.training.train_step import Phase
from esrgan_tf.weights.interpolation import first_difference

Given = tuple[Path, keras.Model]  # a network's file, and the network


def build_phase(name: str, config: Config, generator: Given | None = None, discriminator: Given | None = None) -> Phase:
    """Builds the networks and the step of phase `name`, in the scope of the caller's strategy.

    Networks compute in `runtime.precision`. The EMA, which is saved, is always float32.

    Args:
        generator, discriminator: networks with the initial weights; None for random weights.

    Raises:
        UserError: the networks differ from the configuration's, VGG19's weights are unavailable, or the generator
            does not support gradient checkpointing.
    """
    build, arguments = GENERATORS[config.generator.name].build, config.generator.arguments
    average = build(**arguments)
    with _dtype_policy(config.runtime.precision):
        trained = build(**arguments)
        if generator is not None:
            _copy_weights(generator, trained, "generator")
        average.set_weights(trained.get_weights())
        forward = checkpoint_gradients(trained) if config.runtime.gradient_checkpointing == "blocks" else trained
        if name == "psnr":
            psnr_step = PsnrStep(trained, config.psnr, forward)
            return Phase(name, config.psnr, psnr_step, trained, average, config.generator.scale)
        features = None
        if config.gan.perceptual_weight > 0:
            features = vgg19_features(config.gan.perceptual_layers, config.gan.vgg_weights)
        options = config.discriminator.for_images(config.data.hr_patch)
        new_discriminator = DISCRIMINATORS[options.name].build(**options.arguments)
        if discriminator is not None:
            _copy_weights(discriminator, new_discriminator, "discriminator")
        gan_step = GanStep(trained, new_discriminator, features, config.gan, forward)
        return Phase(name, config.gan, gan_step, trained, average, config.generator.scale)


@contextlib.contextmanager
def _dtype_policy(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _copy_weights(given, target, role):
    path, source = given
    difference = first_difference(source, target)
    if difference:
        raise UserError(f"{path} differs from the configuration's {role}: {difference}")
    target.set_weights(source.get_weights())
