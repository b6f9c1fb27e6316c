"""A training step over all replicas: gradients are reduced, checked, and applied to all replicas or to none."""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from esrgan_tf.config import PhaseConfig, RuntimeConfig
from esrgan_tf.errors import UserError
from esrgan_tf.models.noise_level import with_noise_level
from esrgan_tf.training.gan_step import GanStep
from esrgan_tf.training.psnr_step import PsnrStep

MAX_SKIPPED_IN_A_ROW = 10
_FIRST_LOSS_SCALE = 2.0**15
_GROWTH_STEPS = 2000


@dataclass
class Phase:
    """The networks and the step of a phase, created in the strategy's scope."""

    name: str  # psnr or gan
    config: PhaseConfig
    step: PsnrStep | GanStep
    generator: keras.Model  # the network that the step updates
    average: keras.Model  # its EMA in float32, with equal initial weights; validated and saved
    scale: int


class TrainStep:
    """The compiled step of a phase and its state.

    A step with a loss or gradient that is not finite is skipped: it changes only `step` and the counters. After
    `MAX_SKIPPED_IN_A_ROW` skipped steps all further steps are skipped, so `in_a_row` need not be read at every step.

    float16 has a loss scale (Micikevicius et al., arXiv 1710.03740, section 3.2). A skipped step halves the scale, and
    2,000 finite steps double it.
    """

    def __init__(self, phase: Phase, strategy: tf.distribute.Strategy, runtime: RuntimeConfig):
        """Raises UserError: XLA on several devices."""
        self.columns = (*phase.step.losses, *(f"{name}_gradient_norm" for name in phase.step.trained))
        self._phase, self._strategy = phase, strategy
        self._half = runtime.precision == "mixed_float16"
        with strategy.scope():
            self.step = _counter("step", 0, "int64")
            self.skipped = _counter("skipped", 0, "int64")
            self.in_a_row = _counter("in_a_row", 0, "int64")
            self._finite_steps = _counter("finite_steps", 0, "int64")
            self._loss_scale = _counter("loss_scale", _FIRST_LOSS_SCALE, "float32")
        # No Python branch depends on a tensor, so AutoGraph would only add a third to the tracing time.
        self._compiled = tf.function(self._step, autograph=False, jit_compile=_jit(strategy, runtime))

    def state(self) -> dict[str, list[keras.Variable]]:
        """The variables of a checkpoint, by owner."""
        counters = [self.step, self.skipped, self.in_a_row, self._finite_steps, self._loss_scale]
        state = {"counters": counters, "average": self._phase.average.weights}
        for name, (network, optimizer) in self._phase.step.trained.items():
            state |= {name: network.weights, f"{name}_optimizer": optimizer.variables}
        return state

    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        (_, optimizer), *_ = self._phase.step.trained.values()
        return float(optimizer.learning_rate)

    def __call__(self, lr: tf.Tensor, hr: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        """Runs one step.

        Args:
            lr, hr: distributed values, each replica's share of the batch, uint8. LR images are `[b, h, w, 3]`; a noise
                level is a fourth channel. HR images are `[b, scale * h, scale * w, 3]`.
            stop: distributed values, 1.0 on a machine with a stop request, otherwise 0.0.

        Returns:
            float32 `[len(columns) + 2]`: the columns, whether the step was skipped, and the mean of `stop`. The
            tensor stays on the device, so the caller does not wait.
        """
        return self._compiled(lr, hr, stop)

    def _step(self, lr, hr, stop):
        # The forward pass updates batch statistics; a skipped step restores them.
        statistics = [v for network, _ in self._phase.step.trained.values() for v in network.non_trainable_variables]
        before = [tf.identity(v.value) for v in statistics]
        values, gradients = self._strategy.run(self._replica_step, args=(lr, hr, stop))
        values = self._strategy.experimental_local_results(values)[0]  # equal on all replicas
        usable = tf.reduce_all(tf.math.is_finite(values)) & (self.in_a_row < MAX_SKIPPED_IN_A_ROW)
        tf.cond(usable, lambda: self._apply(gradients), lambda: self._skip(statistics, before))
        self.step.assign_add(1)
        skipped = 1.0 - tf.cast(usable, tf.float32)
        return tf.concat([values[:-1], [skipped], values[-1:]], axis=0)

    def _replica_step(self, lr, hr, stop):
        """Values and gradients over all replicas, computed in a replica. Gradients are float32, clipped by network."""
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        loss_scale = tf.convert_to_tensor(self._loss_scale) if self._half else tf.ones(())
        lr, hr = (tf.cast(images, tf.float32) / 255.0 for images in (lr, hr))
        lr = with_noise_level(lr, self._phase.generator)  # for data without a noise level
        losses, gradients = self._phase.step(lr, hr, loss_scale)
        values = tf.stack([*losses.values(), stop])
        if self._half:
            gradients = {name: [g / loss_scale for g in network] for name, network in gradients.items()}
        if replicas > 1:
            flat = [1.0 / replicas * x for x in (values, *(g for network in gradients.values() for g in network))]
            values, *means = context.all_reduce(tf.distribute.ReduceOp.SUM, flat)
            reduced = iter(means)
            gradients = {name: [next(reduced) for _ in network] for name, network in gradients.items()}
        norms = []
        for name in gradients:
            norms.append(tf.linalg.global_norm(gradients[name]))
            if self._phase.config.clip_norm is not None:
                gradients[name], _ = tf.clip_by_global_norm(gradients[name], self._phase.config.clip_norm, norms[-1])
        return tf.concat([values[:-1], norms, values[-1:]], axis=0), gradients

    def _apply(self, gradients):
        update = self._strategy.extended.update
        for name, (network, optimizer) in self._phase.step.trained.items():
            size = optimizer.step_size()
            for variable, gradient in zip(network.trainable_variables, gradients[name], strict=True):
                update(variable.value, optimizer.update, args=(gradient, size))
            optimizer.iterations.assign_add(1)
        # The EMA warms up; otherwise the first steps would dominate a short run.
        t = tf.cast(self.step, tf.float32)
        share = 1.0 - tf.minimum(self._phase.config.ema_decay, (1.0 + t) / (10.0 + t))
        for average, variable in zip(self._phase.average.weights, self._phase.generator.weights, strict=True):
            update(average.value, _move_towards, args=(variable.value, share))
        self.in_a_row.assign(0)
        if self._half:
            grow = self._finite_steps + 1 >= _GROWTH_STEPS
            self._loss_scale.assign(tf.where(grow, 2.0 * self._loss_scale, self._loss_scale))
            self._finite_steps.assign(tf.where(grow, tf.zeros((), tf.int64), self._finite_steps + 1))

    def _skip(self, statistics, before):
        for variable, value in zip(statistics, before, strict=True):
            variable.value.assign(value)
        self.skipped.assign_add(1)
        self.in_a_row.assign_add(1)
        if self._half:
            self._loss_scale.assign(tf.maximum(0.5 * self._loss_scale, 1.0))
            self._finite_steps.assign(0)


def _move_towards(average, value, share):
    """`average += share * (value - average)`, in place."""
    tf.raw_ops.ResourceApplyGradientDescent(var=average.handle, alpha=share, delta=average - value)


def _counter(name, value, dtype):
    return keras.Variable(
        np.array(value, dtype), dtype=dtype, trainable=False, aggregation="only_first_replica", name=name
    )


def _jit(strategy, runtime):
    """Whether XLA compiles the step. `auto` excludes CPUs, where XLA is 1.6 times slower, and several devices."""
    gpus = [device for device in strategy.extended.worker_devices if "GPU" in device.upper()]
    one_replica = strategy.num_replicas_in_sync == 1
    if runtime.jit_compile == "on" and not one_replica:
        raise UserError("runtime.jit_compile=on works on one device only; use auto")
    return runtime.jit_compile == "on" or (runtime.jit_compile == "auto" and one_replica and len(gpus) == 1)
