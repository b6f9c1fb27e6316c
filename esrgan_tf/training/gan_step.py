"""One step of phase `gan`: generator and discriminator in turn, for images that look real (ESRGAN, section 3)."""

import keras
import tensorflow as tf

from esrgan_tf.config import GanConfig
from esrgan_tf.losses import (
    perceptual_loss,
    pixel_loss,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
)
from esrgan_tf.training.schedule import adam


class GanStep:
    """Call it in a replica context with the replica's share of a batch; it updates both networks."""

    losses = ("pixel", "perceptual", "adversarial", "discriminator", "logit_real", "logit_fake")

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        features: keras.Model | None,
        config: GanConfig,
    ):
        """`features` is `vgg19_features` of the configured layers; None leaves the perceptual term out."""
        self.generator, self.discriminator, self.features = generator, discriminator, features
        self.config = config
        self.optimizer = adam(config)
        self.optimizer.build(generator.trainable_variables)
        self.discriminator_optimizer = adam(config)
        self.discriminator_optimizer.build(discriminator.trainable_variables)

    def __call__(self, lr: tf.Tensor, hr: tf.Tensor) -> dict[str, tf.Tensor]:
        """lr `[b, h, w, 3]`, hr `[b, scale * h, scale * w, 3]`, in [0, 1]. Returns the replica's losses."""
        c = self.config
        # Gradients are summed over replicas, so each contributes its share of the global mean.
        share = 1.0 / tf.distribute.get_replica_context().num_replicas_in_sync

        weights = self.generator.trainable_variables
        with tf.GradientTape() as tape:
            sr = self.generator(lr, training=True)
            pixel = pixel_loss(hr, sr)
            perceptual = tf.zeros(())
            if self.features is not None:
                perceptual = perceptual_loss(self.features(hr), self.features(sr), c.perceptual_layers)
            adversarial = relativistic_generator_loss(
                self.discriminator(hr, training=True), self.discriminator(sr, training=True)
            )
            total = c.pixel_weight * pixel + c.perceptual_weight * perceptual + c.adversarial_weight * adversarial
            scaled = self.optimizer.scale_loss(share * total)
        self.optimizer.apply(tape.gradient(scaled, weights), weights)

        sr = tf.stop_gradient(sr)  # made before the update above
        weights = self.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            real, fake = self.discriminator(hr, training=True), self.discriminator(sr, training=True)
            discriminator = relativistic_discriminator_loss(real, fake)
            scaled = self.discriminator_optimizer.scale_loss(share * discriminator)
        self.discriminator_optimizer.apply(tape.gradient(scaled, weights), weights)

        logits = (tf.reduce_mean(real), tf.reduce_mean(fake))
        return dict(zip(self.losses, (pixel, perceptual, adversarial, discriminator, *logits), strict=True))

    def state(self) -> dict[str, list[keras.Variable]]:
        """What a checkpoint holds, by owner."""
        return {
            "generator": self.generator.weights,
            "generator_optimizer": self.optimizer.variables,
            "discriminator": self.discriminator.weights,
            "discriminator_optimizer": self.discriminator_optimizer.variables,
        }
