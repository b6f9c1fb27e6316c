"""The gradients of phase `psnr`, which trains only the generator (ESRGAN, section 4.1; Real-ESRNet)."""

from collections.abc import Callable

import keras
import tensorflow as tf

from esrgan_tf.config import PhaseConfig
from esrgan_tf.imaging.filters import unsharp_mask
from esrgan_tf.training.loss_terms import StepTensors, generator_loss, terms_of
from esrgan_tf.training.optimizers import optimizer


class PsnrStep:
    """The generator's losses and gradients, called in a replica context with the replica's share of a batch."""

    def __init__(self, generator: keras.Model, config: PhaseConfig, forward: Callable[..., tf.Tensor] | None = None):
        """`forward` replaces the call of the generator, for gradient checkpointing."""
        self.generator, self.config, self._forward = generator, config, forward or generator
        self.losses = tuple(term.name for term in terms_of(config))
        self.trained = {"generator": (generator, optimizer(config, generator, config.optimizer))}

    def __call__(
        self, lr: tf.Tensor, hr: tf.Tensor, loss_scale: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], dict[str, list[tf.Tensor]]]:
        """lr `[b, h, w, 3]`, hr `[b, scale * h, scale * w, 3]`, in [0, 1].

        Returns the replica's losses, and by network the gradients of the losses times `loss_scale`.
        """
        c = self.config
        target = unsharp_mask(hr) if c.sharpen_targets else hr
        with tf.GradientTape() as tape:
            sr = self._forward(lr, training=True)
            total, terms = generator_loss(StepTensors(c, hr.shape[1] // lr.shape[1], target, sr))
            scaled = loss_scale * total
        return terms, {"generator": tape.gradient(scaled, self.generator.trainable_variables)}
