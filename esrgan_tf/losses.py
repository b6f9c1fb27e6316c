"""The training losses under their public import path."""

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
