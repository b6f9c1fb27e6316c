"""The gradients of phase `gan`: generator and discriminator, for images that look real (ESRGAN, section 3; SRGAN,
section 2; Real-ESRGAN, section 3.4)."""

from collections.abc import Callable

import keras
import tensorflow as tf

from esrgan_tf.config import GanConfig
from esrgan_tf.imaging.filters import unsharp_mask
from esrgan_tf.training.losses import (
    checkerboard_loss,
    perceptual_loss,
    pixel_loss,
    plain_discriminator_loss,
    plain_generator_loss,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
)
from esrgan_tf.training.optimizers import optimizer


class GanStep:
    """Call it in a replica context with the replica's share of a batch."""

    losses: tuple[str, ...] = ("pixel", "perceptual", "adversarial", "discriminator", "logit_real", "logit_fake")

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        features: keras.Model | None,
        config: GanConfig,
        forward: Callable[..., tf.Tensor] | None = None,
    ):
        """`features` is `vgg19_features` of the configured layers; None leaves the perceptual term out.

        `forward` computes what the generator does, perhaps in less memory.
        """
        self.generator, self.discriminator, self.features = generator, discriminator, features
        self.config, self._forward = config, forward or generator
        if config.checkerboard_weight:
            self.losses = ("pixel", "grid", *self.losses[1:])
        self.trained = {
            "generator": (generator, optimizer(config, generator, config.optimizer)),
            "discriminator": (discriminator, optimizer(config, discriminator)),
        }

    def __call__(
        self, lr: tf.Tensor, hr: tf.Tensor, loss_scale: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], dict[str, list[tf.Tensor]]]:
        """lr `[b, h, w, 3]`, hr `[b, scale * h, scale * w, 3]`, in [0, 1].

        Returns the replica's losses, and the gradients of `loss_scale` times them, by network. Both are of the weights
        before the step: the discriminator learns from the generator as it was.
        """
        c = self.config
        relativistic = c.adversarial_loss == "relativistic"
        target = unsharp_mask(hr) if c.sharpen_targets else hr  # the discriminator sees real images as they are
        # Both losses from one pass of the discriminator, whose weights do not change between them.
        with tf.GradientTape(persistent=True) as tape:
            sr = self._forward(lr, training=True)
            pixel = pixel_loss(target, sr, c.pixel_loss)
            grid = checkerboard_loss(target, sr, hr.shape[1] // lr.shape[1]) if c.checkerboard_weight else tf.zeros(())
            if c.random_shift:
                hr, target, sr = self._shifted(hr, target, sr)
            perceptual = tf.zeros(())
            if self.features is not None:
                features = self.features(target), self.features(sr)
                perceptual = perceptual_loss(*features, c.perceptual_layers, c.perceptual_loss)
            fake, real = self.discriminator(sr, training=True), self.discriminator(hr, training=True)
            if relativistic:
                adversarial = relativistic_generator_loss(real, fake)
                discriminator = relativistic_discriminator_loss(real, fake)
            else:
                adversarial = plain_generator_loss(fake)
                discriminator = plain_discriminator_loss(real, fake)
            total = c.pixel_weight * pixel + c.perceptual_weight * perceptual + c.adversarial_weight * adversarial
            total += c.checkerboard_weight * grid
            scaled = {"generator": loss_scale * total, "discriminator": loss_scale * discriminator}
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        gradients = {
            name: tape.gradient(scaled[name], network.trainable_variables) for name, network in networks.items()
        }

        logits = (tf.reduce_mean(real), tf.reduce_mean(fake))
        grids = (grid,) if c.checkerboard_weight else ()
        values = (pixel, *grids, perceptual, adversarial, discriminator, *logits)
        losses = dict(zip(self.losses, values, strict=True))
        return losses, gradients

    def _shifted(self, *images):
        """The images, rolled by the same random offset: another one at each step, the same again in a resumed run."""
        step = tf.cast(self.trained["generator"][1].iterations.value, tf.int32)
        offset = tf.random.stateless_uniform([2], tf.stack([0, step]), 0, self.config.random_shift + 1, tf.int32)
        return [tf.roll(image, offset, axis=[1, 2]) for image in images]
