"""The training loop of both phases: iterate, log, validate, save, resume."""

import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from esrgan_tf.config import Config, PhaseConfig, save_config
from esrgan_tf.data import ImageStore, Patches
from esrgan_tf.errors import UserError
from esrgan_tf.training.checkpoints import Checkpoints, Diverged, save_model
from esrgan_tf.training.gan_step import GanStep
from esrgan_tf.training.monitor import Monitor
from esrgan_tf.training.psnr_step import PsnrStep
from esrgan_tf.training.validation import comparison, enlarger, validate


@dataclass
class Phase:
    """What is trained. All of it is created in the strategy's scope."""

    name: str  # psnr or gan
    config: PhaseConfig
    step: PsnrStep | GanStep
    generator: keras.Model  # the network that the step updates
    average: (
        keras.Model
    )  # its moving average, float32 and of the same weights at the start: what is validated and saved
    scale: int


class Stopped(Exception):
    """A signal asked to stop; everything is saved."""

    def __init__(self, signum: int, message: str):
        super().__init__(message)
        self.signum = signum


def run_phase(
    phase: Phase,
    patches: Patches,
    validation: ImageStore | None,
    samples: ImageStore,
    run_dir: Path,
    config: Config,
    strategy: tf.distribute.Strategy,
) -> None:
    """Trains until `phase.config.steps`, from the newest checkpoint below `run_dir / phase.name` if there is one.

    Args:
        validation: whole images to measure on; None leaves the measuring out.
        samples: where the sample pictures are cut from.
        config: the run's, written to `run_dir` once everything fits.

    Raises:
        Diverged: a loss or a weight became infinite or NaN; nothing is saved from then on.
        Stopped: SIGINT (Ctrl-C) or SIGTERM came; a checkpoint of the last step is saved.
        UserError: the checkpoint does not fit, or XLA on several devices (nothing was written); out of memory.
    """
    folder, runtime = run_dir / phase.name, config.runtime
    with strategy.scope():
        step_variable = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
    state = {**phase.step.state(), "average": phase.average.weights}
    checkpoints = Checkpoints(folder / "checkpoints", step_variable, state, runtime.keep_checkpoints)
    # 1. Always resume where there is something to resume from.
    start, steps = checkpoints.restore(), phase.config.steps
    if start >= steps:
        print(f"phase {phase.name} is complete: {start} steps; raise {phase.name}.steps to go on")
        return
    if start:
        print(f"resuming phase {phase.name} at step {start}")

    # 2. The global batch of a step depends on the seed and the step alone, however many replicas share it.
    replicas = strategy.num_replicas_in_sync
    share = patches.batch_size // replicas

    def per_replica(batch):
        def of(context):
            first = context.replica_id_in_sync_group * share
            return tf.constant(batch[first : first + share])

        return strategy.experimental_distribute_values_from_function(of)

    train_step = _compile(phase, step_variable, strategy, runtime)
    enlarge = enlarger(tf.function(phase.average, input_signature=[tf.TensorSpec((1, None, None, 3), tf.float32)]))

    # 3. Nothing can be refused any more: from here on the run exists.
    folder.mkdir(parents=True, exist_ok=True)
    save_config(config, run_dir / "config.yaml")

    # 4. Train. Losses stay on the device until they are written, so that the host never waits for a step.
    monitor = Monitor(folder, phase.step.losses, start, steps)
    window: list[dict[str, tf.Tensor]] = []
    began = time.monotonic()
    training_seconds = 0.0
    try:
        with _signals() as received, contextlib.closing(patches.batches(start, steps)) as batches:
            for step, (lr, hr) in enumerate(batches, start=start + 1):
                with _memory(f"lower data.batch_size (now {patches.batch_size}) or data.hr_patch"):
                    window.append(train_step(per_replica(lr), per_replica(hr)))
                monitor.advance()
                stop = bool(received)  # read once: a signal that comes later stops the next step
                log, save, measure = (
                    stop or step == steps or step % every == 0
                    for every in (runtime.log_every, runtime.checkpoint_every, runtime.validate_every)
                )
                if not (log or save or measure):
                    continue
                with _memory(f"lower data.batch_size (now {patches.batch_size}) or data.hr_patch"):
                    values = _means(window, step, checkpoints)
                seconds = time.monotonic() - began
                training_seconds += seconds
                values["learning_rate"] = float(phase.step.optimizer.learning_rate)
                values["images_per_second"] = len(window) * patches.batch_size / seconds
                if save:
                    # In this order: were it cut in between, the phase would go on from the checkpoint before.
                    checkpoints.check_finite()
                    save_model(phase.average, folder / "generator.keras")
                    checkpoints.save()
                if measure and not stop:
                    with _memory("a validation image is too large for this device; leave the largest out"):
                        if validation is not None:
                            values |= validate(enlarge, validation, phase.scale)
                        monitor.sample(step, comparison(enlarge, samples, phase.scale))
                monitor.record(step, values, training_seconds / (step - start) * (steps - step))
                if stop:
                    raise Stopped(received[0], f"stopped and saved at step {step} of {steps}")
                window, began = [], time.monotonic()
    finally:
        monitor.close()


@contextlib.contextmanager
def _memory(remedy: str) -> Iterator[None]:
    """Turns the device's running out of memory into what to do about it."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(f"out of memory: {remedy}") from error


def _compile(phase, step_variable, strategy, runtime):
    """One step over all replicas: the networks, then the moving average."""
    gpus = [device for device in strategy.extended.worker_devices if "GPU" in device.upper()]
    one_replica = strategy.num_replicas_in_sync == 1
    if runtime.jit_compile == "on" and not one_replica:
        raise UserError("runtime.jit_compile=on works on one device only; use auto")
    # XLA slows the CPU down (1.6 times, measured) and cannot compile the reductions between devices.
    jit = runtime.jit_compile == "on" or (runtime.jit_compile == "auto" and one_replica and len(gpus) == 1)

    def replica_step(lr, hr):
        return phase.step(tf.cast(lr, tf.float32) / 255.0, tf.cast(hr, tf.float32) / 255.0)

    @tf.function(jit_compile=jit)
    def train_step(lr, hr):
        losses = strategy.run(replica_step, args=(lr, hr))
        # The average warms up, or a short run would be judged by its first steps.
        t = tf.cast(step_variable, tf.float32)
        decay = tf.minimum(phase.config.ema_decay, (1.0 + t) / (10.0 + t))
        for average, variable in zip(phase.average.weights, phase.generator.weights, strict=True):
            strategy.extended.update(
                average.value, lambda a, v, d: a.assign(d * a + (1.0 - d) * v), args=(variable.value, decay)
            )
        step_variable.assign_add(1)
        return {name: strategy.reduce(tf.distribute.ReduceOp.MEAN, loss, axis=None) for name, loss in losses.items()}

    return train_step


def _means(window, step, checkpoints):
    """The mean of each loss over the steps since the last record."""
    means = {name: float(np.mean([losses[name].numpy() for losses in window])) for name in window[0]}
    wrong = [name for name, value in means.items() if not np.isfinite(value)]
    if wrong:
        steps = f"between steps {step - len(window) + 1} and {step}"
        raise Diverged(f"the loss {wrong[0]} is not finite {steps}; {checkpoints.advice()}")
    return means


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM, so that a step is never cut in half; a second one acts at once."""
    received: list[int] = []
    previous = {}

    def note(signum, _):
        received.append(signum)
        for number, handler in previous.items():
            signal.signal(number, handler)

    for signum in (signal.SIGINT, signal.SIGTERM):
        previous[signum] = signal.signal(signum, note)
    try:
        yield received
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
