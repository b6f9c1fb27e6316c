"""One step of phase `psnr`: the generator alone, for faithful pixels (ESRGAN, section 4.1)."""

import keras
import tensorflow as tf

from esrgan_tf.config import PhaseConfig
from esrgan_tf.losses import pixel_loss
from esrgan_tf.training.schedule import adam


class PsnrStep:
    """Call it in a replica context with the replica's share of a batch; it updates the generator."""

    losses = ("pixel",)

    def __init__(self, generator: keras.Model, config: PhaseConfig):
        self.generator = generator
        self.config = config
        self.optimizer = adam(config)
        self.optimizer.build(generator.trainable_variables)

    def __call__(self, lr: tf.Tensor, hr: tf.Tensor) -> dict[str, tf.Tensor]:
        """lr `[b, h, w, 3]`, hr `[b, scale * h, scale * w, 3]`, in [0, 1]. Returns the replica's losses."""
        # Gradients are summed over replicas, so each contributes its share of the global mean.
        share = 1.0 / tf.distribute.get_replica_context().num_replicas_in_sync
        weights = self.generator.trainable_variables
        with tf.GradientTape() as tape:
            pixel = pixel_loss(hr, self.generator(lr, training=True))
            scaled = self.optimizer.scale_loss(share * self.config.pixel_weight * pixel)
        self.optimizer.apply(tape.gradient(scaled, weights), weights)
        return {"pixel": pixel}

    def state(self) -> dict[str, list[keras.Variable]]:
        """What a checkpoint holds, by owner."""
        return {"generator": self.generator.weights, "generator_optimizer": self.optimizer.variables}
