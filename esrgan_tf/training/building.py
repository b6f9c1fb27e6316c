"""The networks of a phase, made ready to train."""

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

Given = tuple[Path, keras.Model]  # where a network was read from, and the network


def build_phase(name: str, config: Config, generator: Given | None = None, discriminator: Given | None = None) -> Phase:
    """Builds what phase `name` trains, in the scope of the strategy that it is called in.

    Networks compute in `runtime.precision`; the moving average is float32 whatever that is, as others will load it.

    Args:
        generator, discriminator: whose weights they begin with; None for random ones.

    Raises:
        UserError: those are of other networks than the configuration's; VGG19's weights cannot be had; nothing of the
            generator can be recomputed.
    """
    build, arguments = GENERATORS[config.generator.name].build, config.generator.arguments
    average = build(**arguments)
    with _precision(config.runtime.precision):
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
        critic = DISCRIMINATORS[options.name].build(**options.arguments)
        if discriminator is not None:
            _copy_weights(discriminator, critic, "discriminator")
        gan_step = GanStep(trained, critic, features, config.gan, forward)
        return Phase(name, config.gan, gan_step, trained, average, config.generator.scale)


@contextlib.contextmanager
def _precision(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _copy_weights(given, target, which):
    path, source = given
    difference = first_difference(source, target)
    if difference:
        raise UserError(f"{path} is another network than the configuration's {which}: {difference}")
    target.set_weights(source.get_weights())
