"""Runs a planned training with its data, devices, networks and records."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from esrgan_tf.config import MACHINE_SPECIFIC, as_plain, keys, value_of
from esrgan_tf.data.datasets import open_data
from esrgan_tf.errors import UserError, listed
from esrgan_tf.runs.folder import checkpoint_images, checkpoint_steps, generator_path, lock_phase
from esrgan_tf.runs.history import device_names, facts
from esrgan_tf.runs.loading import load_model
from esrgan_tf.runs.starts import append_history, record_start
from esrgan_tf.training.building import build_phase
from esrgan_tf.training.distribution import (
    check_agreement,
    check_batch,
    one_machine,
    several_machines,
    until_training,
)
from esrgan_tf.training.loop import run_phase
from esrgan_tf.training.stopping import StopRequest
from esrgan_tf.training.validation import check_sizes
from esrgan_tf.weights.loading import load_discriminator
from esrgan_tf.weights.scaling import at_scale
from esrgan_tf.workflows.plan import TrainingPlan


def run_training(
    plan: TrainingPlan,
    *,
    stop: StopRequest | None = None,
    command: str = "esrgan_tf.train",
    say: Callable[[str], None] = print,
) -> Path:
    """Runs a plan and returns the trained generator.

    See `esrgan_tf.train` for arguments and errors.
    """
    for line in (*(f"note: {note}" for note in plan.notes), *plan.given_networks()):
        say(line)
    stop = StopRequest() if stop is None else stop
    machines = 1 if plan.cluster is None else len(plan.cluster.machines)
    strategy = _build_strategy(plan, stop, say)
    devices = device_names(strategy)
    say(f"devices: {', '.join(devices)}")
    generator, discriminator = _load_given_networks(plan, say)
    config = plan.config
    with until_training(machines), strategy.scope():
        phase = build_phase(plan.phase, config, generator, discriminator)

    with contextlib.ExitStack() as stack:
        stack.enter_context(until_training(machines))
        chief = plan.cluster is None or plan.cluster.chief
        if chief:
            stack.enter_context(lock_phase(plan.folder, say))
        data = open_data(config)
        _check_images(plan, data.patches)
        if data.validation is None:
            say("no validation images: set data.val_hr_dir to see PSNR and SSIM while training")
        else:
            check_sizes(data.validation, phase.scale)
        _report_data(data, config, say)
        if chief:
            entry = {"phase": plan.phase, **facts(command, devices), "config": as_plain(config)}
            _record(plan, phase.config.steps, entry)
        run_phase(phase, data.patches, data.validation, data.samples, plan.run_dir, config, strategy, stop, say)
    return generator_path(plan.run_dir, plan.phase)


def _build_strategy(plan: TrainingPlan, stop, say):
    """The strategy of the devices. Several machines must connect before TensorFlow's first operation."""
    config, cluster = plan.config, plan.cluster
    keras.utils.set_random_seed(config.runtime.seed)
    # GPUs since Ampere use TensorFloat-32 for float32 by default.
    tf.config.experimental.enable_tensor_float_32_execution(config.runtime.precision != "float32")
    if config.runtime.deterministic:
        tf.config.experimental.enable_op_determinism()
    if cluster is None:
        strategy = one_machine()
    else:
        say(f"machine {cluster.index + 1} of {len(cluster.machines)}: waiting for the others …")
        strategy = several_machines()
        stop.finish_step = True  # from here, machines stop together after a step
        settings = {key: value_of(config, key) for key in keys(config) if key not in MACHINE_SPECIFIC}
        settings["gan.vgg_weights"] = Path(config.gan.vgg_weights).name  # its folder may differ between machines
        start = (plan.phase, settings, plan.resumes, plan.init_from is None, plan.discriminator_from is None)
        with until_training(len(cluster.machines)):
            check_agreement(
                strategy,
                start,
                "have different configurations; use the same command and a shared --run_dir on all machines",
            )
    check_batch(config.data.batch_size, strategy.num_replicas_in_sync)
    return strategy


def _load_given_networks(plan: TrainingPlan, say):
    """The networks with the initial weights, each with its file; None for random weights."""
    generator = discriminator = None
    if plan.generator is not None:
        model, scale = load_model(plan.generator), plan.config.generator.scale
        if plan.given_generator is not None:
            model, new_layers = at_scale(model, plan.given_generator, scale)
            if new_layers:
                say(f"new layers for scale {scale}: {listed(new_layers)}")
        generator = plan.generator, model
    if plan.discriminator is not None:
        discriminator = plan.discriminator, load_discriminator(plan.discriminator)
    return generator, discriminator


def _check_images(plan, patches):
    before = checkpoint_images(plan.folder / "checkpoints")
    if not plan.allow_changes and before not in (None, patches.digest):
        raise UserError(
            f"{plan.folder} was trained on other images (added, removed, renamed or resized); restore the images, "
            "choose another --run_dir, or add --allow_changes"
        )


def _report_data(data, config, say):
    if data.patches.left_out:
        margin = config.degradation.margin if config.degradation.kind not in ("none", "noise") else 0
        least = f"data.hr_patch {config.data.hr_patch}{f' with degradation.margin {margin}' if margin else ''}"
        say(f"left out, smaller than {least}: {listed(data.patches.left_out)}")
    say(f"data: {len(data.patches)} images to train on, {len(data.validation or ())} to validate on")


def _record(plan, steps, entry):
    """Records the start and the initial networks."""
    if not plan.resumes:
        record_start(plan.folder, "init_from", plan.init_from)
        record_start(plan.folder, "discriminator_from", plan.discriminator_from)
    if max(checkpoint_steps(plan.folder / "checkpoints"), default=0) < steps:
        append_history(plan.run_dir, entry)
