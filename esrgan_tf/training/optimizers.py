"""The optimizers of a phase, and their learning rate."""

import math

import keras
import tensorflow as tf
from keras import ops

from esrgan_tf.config import PhaseConfig


class PhaseSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up over `warmup_steps`, times a decay.

    The decay is `decay_rate` at each of `decay_steps` (ESRGAN, section 4.1), or a cosine (Loshchilov and Hutter, arXiv
    1608.03983). The cosine falls from 1 at the first step to 0 at the last.
    """

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
        raise TypeError("a schedule is created from the run's configuration")


class Adam(keras.optimizers.Adam):
    """Keras' Adam with one TensorFlow operation per variable.

    Keras' own update has fourteen operations. Most of them copy the variable, and they took half of the tracing time.
    """

    def step_size(self) -> tf.Tensor:
        """The learning rate with the means' bias corrected (Kingma and Ba, arXiv 1412.6980, section 2)."""
        t = tf.cast(self.iterations.value + 1, tf.float32)
        return self.learning_rate * tf.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)

    def update(self, variable: tf.Variable, gradient: tf.Tensor, step_size: tf.Tensor) -> None:
        """Updates one variable, in the strategy's `update`."""
        index = self._get_variable_index(variable)
        zero = tf.zeros(())  # `step_size` already has the bias correction by powers of the betas
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=zero,
            beta2_power=zero,
            lr=step_size,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class Muon(keras.optimizers.Muon):
    """Muon for the kernels between the first and the last convolution, Adam for all other weights.

    Muon's updates are orthogonalised momentum (Jordan et al., "Muon", 2024), scaled to the size of Adam's updates (Liu
    et al., arXiv 2502.16982, section 2.2). A kernel `[3, 3, in, out]` is a matrix of `9 * in` rows; Keras' Muon uses
    Adam for convolutions.
    """

    def build(self, variables):
        kernels = [v.path for v in variables if len(v.shape) == 4]
        self._orthogonal = set(kernels[1:-1])
        super().build(variables)

    def step_size(self) -> tf.Tensor:
        """The learning rate; Keras corrects the bias per variable."""
        return self.learning_rate

    def update(self, variable: tf.Variable, gradient: tf.Tensor, step_size: tf.Tensor) -> None:
        """Updates one variable, in the strategy's `update`."""
        self.update_step(gradient, variable, step_size)

    def _should_use_adamw(self, variable):
        return variable.path not in self._orthogonal

    def zeropower_via_newtonschulz5(self, x, steps):
        matrix = ops.reshape(x, (-1, x.shape[-1]))
        return ops.reshape(super().zeropower_via_newtonschulz5(matrix, steps), x.shape)

    def lr_adjust(self, x):
        rows, columns = math.prod(x.shape[:-1]), x.shape[-1]
        return x * (self.rms_rate * math.sqrt(max(rows, columns)))


def optimizer(config: PhaseConfig, network: keras.Model, name: str = "adam") -> Adam | Muon:
    """Builds `adam` or `muon` with the phase's schedule, and slots for the weights of `network`."""
    schedule = PhaseSchedule(config)
    # A fixed name, as checkpoints key variables by path and Keras numbers default names.
    built: Adam | Muon
    if name == "muon":
        built = Muon(
            schedule, adam_beta_1=config.beta_1, adam_beta_2=config.beta_2, epsilon=1e-8, weight_decay=None, name="muon"
        )
    else:
        built = Adam(schedule, beta_1=config.beta_1, beta_2=config.beta_2, epsilon=1e-8, name="adam")
    built.build(network.trainable_variables)
    return built
