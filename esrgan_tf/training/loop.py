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
from esrgan_tf.training.distribution import LOST, check_agreement, lost
from esrgan_tf.training.monitor import Monitor
from esrgan_tf.training.stopping import Diverged, Stopped, StopRequest, WorkerLost
from esrgan_tf.training.train_step import IN_A_ROW, Phase, TrainStep
from esrgan_tf.training.validation import comparison, upscaler, validate


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
    """Trains until `phase.config.steps`, from the newest checkpoint below `run_dir / phase.name` if there is one.

    With several machines each calls it alike; all read the checkpoint, and the chief alone writes.

    Args:
        validation: whole images to measure on; None leaves the measuring out.
        samples: where the sample pictures are cut from.
        config: the run's, written to `run_dir` once everything fits.
        stop: asked after each step.
        say: is given lines on where training resumes.

    Raises:
        Diverged: losses, gradients or weights are not finite again and again; nothing is saved from then on.
        WorkerLost: one of several does not answer.
        Stopped: `stop` had a reason; a checkpoint of the last step is saved.
        UserError: the checkpoint does not fit, or XLA on several devices (the run is as before); out of memory; the
            machines do not see the same checkpoints; the run folder cannot be written.
    """
    loop = _Loop(phase, patches, run_dir, config, strategy, stop)
    start, steps = loop.resumed(say), phase.config.steps
    if start >= steps:
        say(f"phase {phase.name} is complete: {start} steps; raise {phase.name}.steps to go on")
        return
    if start:
        say(f"resuming phase {phase.name} at step {start}")
    enlarge = upscaler(phase.average)
    monitor = loop.begun(start)  # nothing can be refused any more: from here on the run exists

    def measure():
        return _measure(enlarge, validation, samples, phase.scale, stop, monitor)

    stop.finish_step, runtime = True, config.runtime
    with contextlib.closing(patches.batches(start, steps, loop.mine)) as batches, _closing(monitor):
        for step, (lr, hr) in enumerate(batches, start=start + 1):
            asked = loop.trained(lr, hr)
            if monitor is not None:
                monitor.advance(step)
            log, save, validating = (
                asked or step == steps or step % every == 0
                for every in (runtime.log_every, runtime.checkpoint_every, runtime.validate_every)
            )
            if log or save or validating:
                loop.written(step, monitor, save, measure if validating and not asked else None)
            if asked and step < steps:
                raise Stopped(f"{stop.reason() or 'another machine'}: stopped and saved at step {step} of {steps}")


class _Loop:
    """What the steps of a phase share: the state, the shares of a batch, and what is not written yet."""

    def __init__(self, phase, patches, run_dir, config, strategy, stop):
        self._phase, self._patches, self._config, self._strategy, self._stop = phase, patches, config, strategy, stop
        self._run_dir, self._folder = run_dir, run_dir / phase.name
        replicas = strategy.num_replicas_in_sync
        self._machines = replicas // len(strategy.extended.worker_devices)
        self._step = TrainStep(phase, strategy, config.runtime)
        self._checkpoints = Checkpoints(
            self._folder / "checkpoints", self._step.state(), config, patches.digest, config.runtime.keep_checkpoints
        )
        # The global batch of a step depends on the seed and the step alone, however many replicas share it.
        self._share = patches.batch_size // replicas
        here = _replicas_here(strategy)
        self.mine = slice(here[0] * self._share, (here[-1] + 1) * self._share)  # of a batch, on this machine
        # Values stay on the device until they are written, so that the host never waits for a step.
        self._window: list[tf.Tensor] = []
        self._last: tf.Tensor | None = None
        self._since = 0.0  # seconds of the monotonic clock, when the window began

    def resumed(self, say: Callable[[str], None]) -> int:
        """Restores the newest checkpoint, if there is one, and returns its step; all machines see the same one."""
        start = self._checkpoints.restore(say)
        if self._machines > 1:
            with self._device_errors():
                check_agreement(
                    self._strategy, start, f"do not see the same checkpoints; share the disk of {self._folder}"
                )
                check_agreement(
                    self._strategy, self._patches.digest, "do not see the same images; share the disk they are on"
                )
        return start

    def begun(self, start: int) -> Monitor | None:
        """Makes the run's folder, on the chief, and returns what keeps its records."""
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

    def trained(self, lr: np.ndarray, hr: np.ndarray) -> bool:
        """Takes a step on this machine's part of a batch. True where training is to stop behind it."""
        with self._device_errors():
            self._window.append(self._step(self._distributed(lr), self._distributed(hr), self._vote()))
            # Machines stop at the same step, so they count votes: of the step before, which is done by now.
            if self._machines == 1:
                asked = self._stop.reason() is not None
            else:
                asked = self._last is not None and float(self._last[-1]) > 0
        self._last = self._window[-1]
        return asked

    def written(
        self,
        step: int,
        monitor: Monitor | None,
        save: bool,
        measure: Callable[[], tuple[dict, np.ndarray | None]] | None,
    ) -> None:
        """Records the steps since the last time, with measurements where `measure` is given, and a checkpoint."""
        with self._device_errors():
            rows = np.stack([values.numpy() for values in self._window])
        seconds = time.monotonic() - self._since
        values, skipped = _means(rows, self._step.columns, step)
        in_a_row = int(self._step.in_a_row.numpy())
        if in_a_row >= IN_A_ROW:
            raise Diverged(_advice(step - in_a_row + IN_A_ROW, self._phase, self._config, self._checkpoints))
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
                # The checkpoint comes last: were this cut in between, all of it would be done again.
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

    def _distributed(self, array):
        def of(context):
            first = context.replica_id_in_sync_group * self._share - self.mine.start
            return tf.constant(array[first : first + self._share])

        return self._strategy.experimental_distribute_values_from_function(of)

    def _vote(self):
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
                "or use runtime.gradient_checkpointing=blocks or runtime.precision=mixed_bfloat16; add --allow_changes "
                "where the phase has begun"
            ) from error
        except LOST as error:
            if self._machines == 1:
                raise
            raise WorkerLost(
                f"{lost(error)}; {self._checkpoints.newest()}: give the same command on all of them again"
            ) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns a disk that is full, read-only or gone into a line that says what is safe."""
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            if not self._folder.is_dir():
                raise UserError(
                    f"{self._folder} is gone, and its checkpoints with it; the same command starts anew"
                ) from error
            raise UserError(
                f"cannot write to {self._folder}: {_reason(error)}; {self._checkpoints.newest()}: "
                "mend it and give the same command again"
            ) from error


def _replicas_here(strategy):
    """The numbers of this machine's replicas among all."""
    numbers = strategy.experimental_distribute_values_from_function(lambda c: tf.constant(c.replica_id_in_sync_group))
    return [int(number) for number in strategy.experimental_local_results(numbers)]


def _measure(enlarge, validation, samples, scale, stop, monitor):
    """PSNR and SSIM, and a sample picture; nothing of both where an image cannot be read or the run is to stop."""
    try:
        scores = {} if validation is None else validate(enlarge, validation, scale, stop.reason)
        return scores, comparison(enlarge, samples, scale) if stop.reason() is None else None
    except OSError as error:
        monitor.say(f"{error.strerror} ({error.filename}); nothing is measured this time")
    except tf.errors.ResourceExhaustedError:
        monitor.say("out of memory: a validation image is too large for this device; nothing is measured this time")
    return {}, None


def _means(rows, columns, step):
    """The mean of each column over the steps that were not skipped, and the numbers of those that were."""
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
        f"{IN_A_ROW} steps in a row up to step {step} had a loss or a gradient that is not finite; "
        f"{', or '.join(remedies)}, and give the same command with that and --allow_changes; {checkpoints.newest()}"
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
