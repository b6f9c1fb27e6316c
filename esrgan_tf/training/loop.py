"""The training loop of both phases: iterate, log, validate, save, resume."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from esrgan_tf.config import Config, save_config
from esrgan_tf.data import Images, Patches
from esrgan_tf.errors import UserError, first_line, listed
from esrgan_tf.files import flush
from esrgan_tf.runs.stopping import Diverged, MachineLost, Stopped, StopRequest
from esrgan_tf.training.checkpoints import Checkpoints, save_model
from esrgan_tf.training.distribution import LOST, check_agreement, lost
from esrgan_tf.training.monitor import Monitor
from esrgan_tf.training.train_step import IN_A_ROW, Phase, TrainStep
from esrgan_tf.training.validation import comparison, enlarger, validate


def run_phase(
    phase: Phase,
    patches: Patches,
    validation: Images | None,
    samples: Images,
    run_dir: Path,
    config: Config,
    strategy: tf.distribute.Strategy,
    stop: StopRequest,
) -> None:
    """Trains until `phase.config.steps`, from the newest checkpoint below `run_dir / phase.name` if there is one.

    With several machines each calls it alike; all read the checkpoint, and the chief alone writes.

    Args:
        validation: whole images to measure on; None leaves the measuring out.
        samples: where the sample pictures are cut from.
        config: the run's, written to `run_dir` once everything fits.
        stop: asked after each step.

    Raises:
        Diverged: losses, gradients or weights are not finite again and again; nothing is saved from then on.
        MachineLost: one of several does not answer.
        Stopped: `stop` had a reason; a checkpoint of the last step is saved.
        UserError: the checkpoint does not fit, or XLA on several devices (the run is as before); out of memory; the
            machines do not see the same checkpoints; the run folder cannot be written.
    """
    folder, runtime = run_dir / phase.name, config.runtime
    replicas = strategy.num_replicas_in_sync
    machines = replicas // len(strategy.extended.worker_devices)
    chief = strategy.extended.should_checkpoint
    train_step = TrainStep(phase, strategy, runtime)
    checkpoints = Checkpoints(
        folder / "checkpoints", train_step.state(), config, patches.digest, runtime.keep_checkpoints
    )

    # 1. Always resume where there is something to resume from.
    start, steps = checkpoints.restore(), phase.config.steps
    if machines > 1:
        with _device_errors(patches, machines, checkpoints):
            check_agreement(strategy, start, f"do not see the same checkpoints; share the disk of {folder}")
            check_agreement(strategy, patches.digest, "do not see the same images; share the disk they are on")
    if start >= steps:
        print(f"phase {phase.name} is complete: {start} steps; raise {phase.name}.steps to go on")
        return
    if start:
        print(f"resuming phase {phase.name} at step {start}")

    # 2. The global batch of a step depends on the seed and the step alone, however many replicas share it.
    share = patches.batch_size // replicas
    here = _replicas_here(strategy)
    mine = slice(here[0] * share, (here[-1] + 1) * share)

    def distributed(array):
        def of(context):
            first = context.replica_id_in_sync_group * share - mine.start
            return tf.constant(array[first : first + share])

        return strategy.experimental_distribute_values_from_function(of)

    def vote():
        asked = tf.constant(float(stop.reason() is not None))
        return strategy.experimental_distribute_values_from_function(lambda _: asked)

    enlarge = enlarger(tf.function(phase.average, input_signature=[tf.TensorSpec((1, None, None, 3), tf.float32)]))

    # 3. Nothing can be refused any more: from here on the run exists.
    monitor = None
    if chief:
        with _writing(folder, checkpoints):
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
            flush(folder)
            save_config(config, run_dir / "config.yaml")
            without_gpu = all("CPU" in device for device in strategy.extended.worker_devices)
            monitor = Monitor(folder, train_step.columns, start, steps, without_gpu)

    # 4. Train. Values stay on the device until they are written, so that the host never waits for a step.
    window: list[tf.Tensor] = []
    last = None
    began, stop.finish_step = time.monotonic(), True
    with contextlib.closing(patches.batches(start, steps, mine)) as batches, _closing(monitor):
        for step, (lr, hr) in enumerate(batches, start=start + 1):
            with _device_errors(patches, machines, checkpoints):
                window.append(train_step(distributed(lr), distributed(hr), vote()))
                # Machines stop at the same step, so they count votes: of the step before, which is done by now.
                asked = stop.reason() is not None if machines == 1 else last is not None and float(last[-1]) > 0
            last = window[-1]
            if monitor is not None:
                monitor.advance(step)
            log, save, measure = (
                asked or step == steps or step % every == 0
                for every in (runtime.log_every, runtime.checkpoint_every, runtime.validate_every)
            )
            if not (log or save or measure):
                continue
            with _device_errors(patches, machines, checkpoints):
                rows = np.stack([values.numpy() for values in window])
            seconds = time.monotonic() - began
            values, skipped = _means(rows, train_step.columns, step)
            if train_step.in_a_row.numpy() >= IN_A_ROW:
                raise Diverged(_advice(step - int(train_step.in_a_row.numpy()) + IN_A_ROW, phase, config, checkpoints))
            if save:
                checkpoints.check_finite()
            if monitor is not None:
                values["skipped"] = int(train_step.skipped.numpy())
                values["learning_rate"] = train_step.learning_rate()
                values["images_per_second"] = len(window) * patches.batch_size / seconds
                if skipped:
                    monitor.say(f"not finite and skipped: {'steps' if skipped[1:] else 'step'} {listed(skipped)}")
                picture = None
                if measure and not asked:
                    scores, picture = _measure(enlarge, validation, samples, phase.scale, stop, monitor)
                    values |= scores
                with _writing(folder, checkpoints):
                    if picture is not None:
                        monitor.sample(step, picture)
                    # The checkpoint comes last: were this cut in between, all of it would be done again.
                    monitor.record(step, values)
                    if save:
                        monitor.flush()
                        save_model(phase.average, folder / "generator.keras")
                        if "discriminator" in phase.step.trained:
                            save_model(phase.step.trained["discriminator"][0], folder / "discriminator.keras")
                        checkpoints.save()
            if asked and step < steps:
                raise Stopped(f"{stop.reason() or 'another machine'}: stopped and saved at step {step} of {steps}")
            window, began = [], time.monotonic()


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


@contextlib.contextmanager
def _device_errors(patches: Patches, machines: int, checkpoints: Checkpoints) -> Iterator[None]:
    """Turns what a step dies of into what to do about it."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"out of memory: lower data.batch_size (now {patches.batch_size}) or data.hr_patch (now {patches.hr_patch})"
            ", or use runtime.precision=mixed_bfloat16; add --allow_changes where the phase has begun"
        ) from error
    except LOST as error:
        if machines == 1:
            raise
        raise MachineLost(
            f"{lost(error)}; {checkpoints.newest()}: give the same command on all of them again"
        ) from error


@contextlib.contextmanager
def _writing(folder: Path, checkpoints: Checkpoints) -> Iterator[None]:
    """Turns a disk that is full, read-only or gone into a line that says what is safe."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if not folder.is_dir():
            raise UserError(f"{folder} is gone, and its checkpoints with it; the same command starts anew") from error
        raise UserError(
            f"cannot write to {folder}: {_reason(error)}; {checkpoints.newest()}: "
            "mend it and give the same command again"
        ) from error


def _reason(error):
    return (error.strerror if isinstance(error, OSError) else None) or first_line(error)


@contextlib.contextmanager
def _closing(monitor: Monitor | None) -> Iterator[None]:
    try:
        yield
    finally:
        if monitor is not None:
            monitor.close()
