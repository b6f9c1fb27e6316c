"""The learning rate of a phase."""

import math

import keras
from keras import ops

from esrgan_tf.config import PhaseConfig


class PhaseSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up over `warmup_steps`, times a decay: `decay_rate` at each of `decay_steps` (ESRGAN, section 4.1) or
    a cosine from 1 at the first step to 0 at the last (Loshchilov and Hutter, arXiv 1608.03983)."""

    def __init__(self, config: PhaseConfig):
        self.config = config

    def __call__(self, step):
        c = self.config
        step = ops.cast(step, "float32")
        warmup = ops.minimum(1.0, (step + 1.0) / (c.warmup_steps + 1.0))
        if c.schedule == "cosine":
            decay = 0.5 * (1.0 + ops.cos(math.pi * ops.minimum(1.0, step / c.steps)))
        else:
            passed = ops.sum(ops.cast(step >= ops.array((*c.decay_steps, math.inf), "float32"), "float32"))
            decay = ops.power(c.decay_rate, passed)
        return c.learning_rate * warmup * decay

    def get_config(self):
        raise TypeError("a schedule is made anew from the run's configuration")


def adam(config: PhaseConfig, network: keras.Model) -> keras.optimizers.Optimizer:
    """Adam on the phase's schedule, with its slots for the weights of `network`."""
    # Named, since checkpoints key its variables by path and Keras would number the name.
    optimizer = keras.optimizers.Adam(
        PhaseSchedule(config), beta_1=config.beta_1, beta_2=config.beta_2, epsilon=1e-8, name="adam"
    )
    optimizer.build(network.trainable_variables)
    return optimizer
