"""The training losses, under the name that programs import them by."""

from esrgan_tf.training.losses import (
    perceptual_loss,
    pixel_loss,
    plain_discriminator_loss,
    plain_generator_loss,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
)

__all__ = [
    "perceptual_loss",
    "pixel_loss",
    "plain_discriminator_loss",
    "plain_generator_loss",
    "relativistic_discriminator_loss",
    "relativistic_generator_loss",
]
