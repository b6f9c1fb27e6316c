"""The gradients of phase `gan`, which trains generator and discriminator.

ESRGAN, section 3, SRGAN, section 2, and Real-ESRGAN, section 3.4.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from esrgan_tf.config import GanConfig
from esrgan_tf.imaging.filters import unsharp_mask
from esrgan_tf.training.loss_terms import DISCRIMINATOR_CURVES, StepTensors, generator_loss, terms_of
from esrgan_tf.training.losses import plain_discriminator_loss, relativistic_discriminator_loss
from esrgan_tf.training.optimizers import optimizer


class GanStep:
    """The losses and gradients of both networks, called in a replica context with the replica's share of a batch."""

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        features: keras.Model | None,
        config: GanConfig,
        forward: Callable[..., tf.Tensor] | None = None,
    ):
        """`features` is `vgg19_features` of the configured layers; None omits the perceptual term.

        `forward` replaces the call of the generator, for gradient checkpointing.
        """
        self.generator, self.discriminator, self.features = generator, discriminator, features
        self.config, self._forward = config, forward or generator
        self.losses = (*(t.name for t in terms_of(config)), *(curve.column for curve in DISCRIMINATOR_CURVES))
        self.trained = {
            "generator": (generator, optimizer(config, generator, config.optimizer)),
            "discriminator": (discriminator, optimizer(config, discriminator)),
        }

    def __call__(
        self, lr: tf.Tensor, hr: tf.Tensor, loss_scale: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], dict[str, list[tf.Tensor]]]:
        """lr `[b, h, w, 3]`, hr `[b, scale * h, scale * w, 3]`, in [0, 1].

        Returns the replica's losses, and by network the gradients of the losses times `loss_scale`. Both networks have
        their weights from before the step.
        """
        c = self.config
        target = unsharp_mask(hr) if c.sharpen_targets else hr  # the discriminator's real images are not sharpened
        # One pass of the discriminator serves both losses, as its weights do not change in between.
        with tf.GradientTape(persistent=True) as tape:
            sr = self._forward(lr, training=True)
            images = hr, target, sr  # inputs of VGG19 and the discriminator
            if c.random_shift:
                images = self._shift(*images)
            features = None if self.features is None else (self.features(images[1]), self.features(images[2]))
            fake, real = self.discriminator(images[2], training=True), self.discriminator(images[0], training=True)
            total, terms = generator_loss(
                StepTensors(c, hr.shape[1] // lr.shape[1], target, sr, features, (real, fake))
            )
            if c.adversarial_loss == "relativistic":
                discriminator = relativistic_discriminator_loss(real, fake)
            else:
                discriminator = plain_discriminator_loss(real, fake)
            scaled = {"generator": loss_scale * total, "discriminator": loss_scale * discriminator}
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        gradients = {
            name: tape.gradient(scaled[name], network.trainable_variables) for name, network in networks.items()
        }
        values = (*terms.values(), discriminator, tf.reduce_mean(real), tf.reduce_mean(fake))
        return dict(zip(self.losses, values, strict=True)), gradients

    def _shift(self, *images):
        """Rolls the images by one random offset, which depends only on the step."""
        step = tf.cast(self.trained["generator"][1].iterations.value, tf.int32)
        offset = tf.random.stateless_uniform([2], tf.stack([0, step]), 0, self.config.random_shift + 1, tf.int32)
        return [tf.roll(image, offset, axis=[1, 2]) for image in images]
