"""The training loop of both phases: iterate, log, validate, save, resume."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from esrgan_tf.config import Config, save_config
from esrgan_tf.data import Images, Patches
from esrgan_tf.errors import UserError, first_line, listed
from esrgan_tf.files import flush
from esrgan_tf.runs.folder import CONFIG, DISCRIMINATOR, GENERATOR
from esrgan_tf.training.checkpoints import Checkpoints, save_model
from esrgan_tf.training.distribution import LOST_WORKER_ERRORS, check_agreement, describe_lost_worker
from esrgan_tf.training.monitor import Monitor
from esrgan_tf.training.stopping import Diverged, Stopped, StopRequest, WorkerLost
from esrgan_tf.training.train_step import MAX_SKIPPED_IN_A_ROW, Phase, TrainStep
from esrgan_tf.training.validation import build_upscaler, draw_comparison, validate


def run_phase(
    phase: Phase,
    patches: Patches,
    validation: Images | None,
    samples: Images,
    run_dir: Path,
    config: Config,
    strategy: tf.distribute.Strategy,
    stop: StopRequest,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Trains until `phase.config.steps`, from the newest checkpoint in `run_dir / phase.name` if it exists.

    Several machines make the same call. All read the checkpoint, only the chief writes.

    Args:
        validation: whole validation images; None skips validation.
        samples: images for the sample pictures.
        config: the run's configuration, written to `run_dir` after all checks.
        stop: checked after each step.
        say: receives lines on the step that training resumes from.

    Raises:
        Diverged: losses, gradients or weights are repeatedly not finite; no such state is saved.
        WorkerLost: another machine does not answer.
        Stopped: `stop` had a reason; a checkpoint of the last step is saved.
        UserError: the checkpoint does not fit, or XLA on several devices; both leave the run unchanged. Also for
            missing memory, different checkpoints on the machines, or a run folder that cannot be written.
    """
    loop = _Loop(phase, patches, run_dir, config, strategy, stop)
    start, steps = loop.restore(say), phase.config.steps
    if start >= steps:
        say(f"phase {phase.name} is complete at step {start}; raise {phase.name}.steps to continue")
        return
    if start:
        say(f"resuming phase {phase.name} at step {start}")
    upscale = build_upscaler(phase.average)
    monitor = loop.create_run(start)  # after all checks

    def measure():
        return _measure(upscale, validation, samples, phase.scale, stop, monitor)

    stop.finish_step, runtime = True, config.runtime
    with contextlib.closing(patches.batches(start, steps, loop.local_slice)) as batches, _closing(monitor):
        for step, (lr, hr) in enumerate(batches, start=start + 1):
            stopping = loop.train(lr, hr)
            if monitor is not None:
                monitor.advance(step)
            log, save, validating = (
                stopping or step == steps or step % every == 0
                for every in (runtime.log_every, runtime.checkpoint_every, runtime.validate_every)
            )
            if log or save or validating:
                loop.record(step, monitor, save, measure if validating and not stopping else None)
            if stopping and step < steps:
                raise Stopped(f"{stop.reason() or 'another machine'}: stopped and saved at step {step} of {steps}")


class _Loop:
    """The state of a phase, its shares of a batch, and the values not yet written."""

    def __init__(self, phase, patches, run_dir, config, strategy, stop):
        self._phase, self._patches, self._config, self._strategy, self._stop = phase, patches, config, strategy, stop
        self._run_dir, self._folder = run_dir, run_dir / phase.name
        replicas = strategy.num_replicas_in_sync
        self._machines = replicas // len(strategy.extended.worker_devices)
        self._step = TrainStep(phase, strategy, config.runtime)
        self._checkpoints = Checkpoints(
            self._folder / "checkpoints", self._step.state(), config, patches.digest, config.runtime.keep_checkpoints
        )
        # The global batch depends only on the seed and the step, for any number of replicas.
        self._share = patches.batch_size // replicas
        replica_ids = _local_replica_ids(strategy)
        self.local_slice = slice(
            replica_ids[0] * self._share, (replica_ids[-1] + 1) * self._share
        )  # this machine's part of a batch
        # Values stay on the device until they are recorded, so that the host does not wait for a step.
        self._window: list[tf.Tensor] = []
        self._last: tf.Tensor | None = None
        self._since = 0.0  # monotonic time at the start of the window

    def restore(self, say: Callable[[str], None]) -> int:
        """Restores the newest checkpoint, which must be the same on all machines, and returns its step."""
        start = self._checkpoints.restore(say)
        if self._machines > 1:
            with self._device_errors():
                check_agreement(self._strategy, start, f"have different checkpoints; share the disk of {self._folder}")
                check_agreement(
                    self._strategy, self._patches.digest, "have different images; share the disk of the images"
                )
        return start

    def create_run(self, start: int) -> Monitor | None:
        """Creates the run's folder and its records on the chief; returns None on other machines."""
        monitor = None
        if self._strategy.extended.should_checkpoint:
            with self._writing():
                (self._folder / "checkpoints").mkdir(parents=True, exist_ok=True)
                flush(self._folder)
                save_config(self._config, self._run_dir / CONFIG)
                without_gpu = all("CPU" in device for device in self._strategy.extended.worker_devices)
                monitor = Monitor(self._folder, self._step.columns, start, self._phase.config.steps, without_gpu)
        self._since = time.monotonic()
        return monitor

    def train(self, lr: np.ndarray, hr: np.ndarray) -> bool:
        """Takes a step on this machine's part of a batch. True stops training after the step."""
        with self._device_errors():
            self._window.append(self._step(self._distribute(lr), self._distribute(hr), self._stop_votes()))
            # Machines must stop at the same step, so they sum up the stop requests of the previous step.
            if self._machines == 1:
                stopping = self._stop.reason() is not None
            else:
                stopping = self._last is not None and float(self._last[-1]) > 0
        self._last = self._window[-1]
        return stopping

    def record(
        self,
        step: int,
        monitor: Monitor | None,
        save: bool,
        measure: Callable[[], tuple[dict, np.ndarray | None]] | None,
    ) -> None:
        """Records the steps since the last record, with the results of `measure`, and saves a checkpoint if `save`."""
        with self._device_errors():
            rows = np.stack([values.numpy() for values in self._window])
        seconds = time.monotonic() - self._since
        values, skipped = _means(rows, self._step.columns, step)
        in_a_row = int(self._step.in_a_row.numpy())
        if in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise Diverged(
                _advice(step - in_a_row + MAX_SKIPPED_IN_A_ROW, self._phase, self._config, self._checkpoints)
            )
        if save:
            self._checkpoints.check_finite()
        if monitor is not None:
            values["skipped"] = int(self._step.skipped.numpy())
            values["learning_rate"] = self._step.learning_rate()
            values["images_per_second"] = len(rows) * self._patches.batch_size / seconds
            if skipped:
                monitor.say(f"not finite and skipped: {'steps' if skipped[1:] else 'step'} {listed(skipped)}")
            scores, picture = ({}, None) if measure is None else measure()
            with self._writing():
                if picture is not None:
                    monitor.sample(step, picture)
                # The checkpoint comes last: an interruption before it repeats all of this.
                monitor.record(step, values | scores)
                if save:
                    monitor.flush()
                    self._save()
        self._window, self._since = [], time.monotonic()

    def _save(self):
        save_model(self._phase.average, self._folder / GENERATOR)
        if "discriminator" in self._phase.step.trained:
            save_model(self._phase.step.trained["discriminator"][0], self._folder / DISCRIMINATOR)
        self._checkpoints.save()

    def _distribute(self, array):
        def take_share(context):
            first = context.replica_id_in_sync_group * self._share - self.local_slice.start
            return tf.constant(array[first : first + self._share])

        return self._strategy.experimental_distribute_values_from_function(take_share)

    def _stop_votes(self):
        asked = tf.constant(float(self._stop.reason() is not None))
        return self._strategy.experimental_distribute_values_from_function(lambda _: asked)

    @contextlib.contextmanager
    def _device_errors(self) -> Iterator[None]:
        """Turns what a step dies of into what to do about it."""
        try:
            yield
        except tf.errors.ResourceExhaustedError as error:
            batch_size, hr_patch = self._patches.batch_size, self._patches.hr_patch
            raise UserError(
                f"out of memory: lower data.batch_size (now {batch_size}) or data.hr_patch (now {hr_patch}), "
                "or use runtime.gradient_checkpointing=blocks or runtime.precision=mixed_bfloat16, with "
                "--allow_changes in a phase that has started"
            ) from error
        except LOST_WORKER_ERRORS as error:
            if self._machines == 1:
                raise
            raise WorkerLost(
                f"{describe_lost_worker(error)}; repeat the command on all machines "
                f"({self._checkpoints.describe_newest()})"
            ) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Reports a full, read-only or missing disk with the newest checkpoint."""
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            if not self._folder.is_dir():
                raise UserError(
                    f"{self._folder} is missing, with its checkpoints; the same command starts again"
                ) from error
            raise UserError(
                f"cannot write to {self._folder} ({_reason(error)}); correct this and repeat the command "
                f"({self._checkpoints.describe_newest()})"
            ) from error


def _local_replica_ids(strategy):
    """The ids of this machine's replicas."""
    numbers = strategy.experimental_distribute_values_from_function(lambda c: tf.constant(c.replica_id_in_sync_group))
    return [int(number) for number in strategy.experimental_local_results(numbers)]


def _measure(upscale, validation, samples, scale, stop, monitor):
    """PSNR, SSIM and a sample picture; neither if an image cannot be read or the run stops."""
    try:
        scores = {} if validation is None else validate(upscale, validation, scale, stop.reason)
        return scores, draw_comparison(upscale, samples, scale) if stop.reason() is None else None
    except OSError as error:
        monitor.say(f"{error.strerror} ({error.filename}); this validation is skipped")
    except tf.errors.ResourceExhaustedError:
        monitor.say("out of memory; this validation is skipped, as an image is too large for the device")
    return {}, None


def _means(rows, columns, step):
    """The mean of each column over the steps that were not skipped, and the numbers of the skipped steps."""
    skipped = rows[:, len(columns)] > 0
    steps = [step - len(rows) + 1 + int(i) for i in np.flatnonzero(skipped)]
    if skipped.all():
        return {}, steps
    return dict(zip(columns, rows[~skipped].mean(axis=0).tolist(), strict=False)), steps


def _advice(step, phase, config, checkpoints):
    remedies = [f"lower {phase.name}.learning_rate (now {phase.config.learning_rate:g})"]
    if phase.config.clip_norm is None:
        remedies.append(f"limit the gradients with {phase.name}.clip_norm=1")
    if config.runtime.precision == "mixed_float16":
        remedies.append("use runtime.precision=mixed_bfloat16")
    return (
        f"{MAX_SKIPPED_IN_A_ROW} steps in a row up to step {step} had a loss or a gradient that is not finite; "
        f"{', or '.join(remedies)}, and repeat the command with this setting and --allow_changes; "
        f"{checkpoints.describe_newest()}"
    )


def _reason(error):
    return (error.strerror if isinstance(error, OSError) else None) or first_line(error)


@contextlib.contextmanager
def _closing(monitor: Monitor | None) -> Iterator[None]:
    try:
        yield
    finally:
        if monitor is not None:
            monitor.close()
