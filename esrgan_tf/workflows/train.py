"""One phase of a run, from a configuration to a trained network: what `esrgan-tf train` calls."""

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from esrgan_tf.config import MACHINE_SPECIFIC, Config, as_plain, keys, value_of
from esrgan_tf.errors import UserError, listed
from esrgan_tf.quiet import quiet_tensorflow
from esrgan_tf.runs.folder import checkpoint_images, checkpoint_steps, generator_path, lock_phase
from esrgan_tf.runs.history import device_names, facts
from esrgan_tf.runs.starts import append_history, record_start
from esrgan_tf.training.stopping import StopRequest
from esrgan_tf.training.workers import Cluster, read_cluster
from esrgan_tf.weights.model_names import find_model
from esrgan_tf.workflows.plan import Start, decide


def train(
    config: Config,
    run_dir: str | Path,
    phase: str,
    *,
    overrides: Iterable[str] = (),
    init_from: str | None = None,
    discriminator_from: str | None = None,
    allow_changes: bool = False,
    models_dir: str | None = None,
    stop: StopRequest | None = None,
    command: str = "esrgan_tf.train",
    say: Callable[[str], None] = print,
) -> Path:
    """Trains a phase of a run to its last step, from the newest checkpoint where there is one.

    On the devices that TensorFlow sees, and on several machines where `TF_CONFIG` names them.

    Args:
        config: what to train with, as `esrgan_tf.config.load_config` reads it.
        run_dir: the run's folder; both phases share one.
        phase: `psnr`, then `gan`, which starts from the first one's network.
        overrides: which `section.key=value` of the configuration the user set by hand: networks that are given must not
            contradict them.
        init_from: a generator's file, or the name of a model, to start from. Its architecture becomes the run's; a
            `generator.scale` that is set is kept, and what enlarges then begins anew.
        discriminator_from: the same for the discriminator of phase `gan`.
        allow_changes: go on from a checkpoint that was made with other settings or images.
        models_dir: where downloaded models lie; else `$ESRGAN_TF_MODELS`, else the user's cache.
        stop: asked after each step; None never stops.
        command: for the run's `history.yaml`.
        say: is given lines that tell how it goes.

    Returns:
        The trained generator, a `.keras` file.

    Raises:
        UserError: what is wrong with the configuration, the files or the machine, and what would be right.
        esrgan_tf.training.stopping.Stopped: `stop` had a reason; a checkpoint is saved.
        esrgan_tf.training.stopping.Failed: losses that are not finite again and again, or a machine that is gone.
    """
    cluster = read_cluster(os.environ)
    start = decide(phase, Path(run_dir), config, overrides, init_from, discriminator_from, allow_changes, models_dir)
    for note in start.notes():
        say(f"note: {note}")
    for given in (init_from, discriminator_from):
        if given is not None and not start.begun:
            find_model(given, models_dir)  # checked, and downloaded if need be
    return _trained(start, cluster, StopRequest() if stop is None else stop, command, say)


def _trained(start: Start, cluster: Cluster | None, stop: StopRequest, command, say):
    """Does what was decided."""
    with quiet_tensorflow():
        from esrgan_tf.data.datasets import open_data
        from esrgan_tf.training.building import build_phase
        from esrgan_tf.training.distribution import until_training
        from esrgan_tf.training.loop import run_phase
        from esrgan_tf.training.validation import check_sizes

    machines = 1 if cluster is None else len(cluster.machines)
    strategy = _strategy(start, cluster, stop, say)
    devices = device_names(strategy)
    say(f"devices: {', '.join(devices)}")
    start, generator, discriminator = _given_networks(start, say)
    config = start.config
    with until_training(machines), strategy.scope():
        phase = build_phase(start.phase, config, generator, discriminator)

    with contextlib.ExitStack() as stack:
        stack.enter_context(until_training(machines))
        chief = cluster is None or cluster.chief
        if chief:
            stack.enter_context(lock_phase(start.folder))
        data = open_data(config)
        _check_images(start, data.patches)
        if data.validation is None:
            say("no validation images: set data.val_hr_dir to see PSNR and SSIM while training")
        else:
            check_sizes(data.validation, phase.scale)
        _tell_of(data, config, say)
        if chief:
            entry = {"phase": start.phase, **facts(command, devices), "config": as_plain(config)}
            _record(start, phase.config.steps, entry)
        run_phase(phase, data.patches, data.validation, data.samples, start.run_dir, config, strategy, stop)
    return generator_path(start.run_dir, start.phase)


def _strategy(start: Start, cluster, stop, say):
    """The devices. Several machines must find one another before TensorFlow computes anything."""
    import keras
    import tensorflow as tf

    from esrgan_tf.training.distribution import (
        check_agreement,
        check_batch,
        one_machine,
        several_machines,
        until_training,
    )

    config = start.config
    keras.utils.set_random_seed(config.runtime.seed)
    # GPUs since Ampere round the products of float32 to TensorFloat-32, unless they are told not to.
    tf.config.experimental.enable_tensor_float_32_execution(config.runtime.precision != "float32")
    if config.runtime.deterministic:
        tf.config.experimental.enable_op_determinism()
    if cluster is None:
        strategy = one_machine()
    else:
        say(f"machine {cluster.index + 1} of {len(cluster.machines)}: waiting for the others …")
        strategy = several_machines()
        stop.finish_step = True  # from here on they stop together, after a step
        settings = {key: value_of(config, key) for key in keys(config) if key not in MACHINE_SPECIFIC}
        settings["gan.vgg_weights"] = Path(config.gan.vgg_weights).name  # each machine may keep it elsewhere
        start_of = (start.phase, settings, start.begun, start.init_from is None, start.discriminator_from is None)
        with until_training(len(cluster.machines)):
            check_agreement(
                strategy,
                start_of,
                "do not have the same configuration; give all of them the same command, on a --run_dir that they share",
            )
    check_batch(config.data.batch_size, strategy.num_replicas_in_sync)
    return strategy


def _given_networks(start: Start, say):
    """The start with the networks' architectures, where files give them, and those networks."""
    from esrgan_tf.runs.loading import load_model
    from esrgan_tf.weights.architecture import Architecture, recognise_model
    from esrgan_tf.weights.loading import load_discriminator
    from esrgan_tf.weights.scaling import at_scale

    generator = None if start.generator is None else (start.generator, load_model(start.generator))
    discriminator = None
    if start.discriminator is not None:
        discriminator = start.discriminator, load_discriminator(start.discriminator)
    if start.given:
        recognised: list[Architecture | None] = [None, None]
        for i, (given, named) in enumerate(((generator, start.init_from), (discriminator, start.discriminator_from))):
            if named is not None and given is not None:
                recognised[i] = recognise_model(given[1])
                say(f"{given[0]}: {recognised[i]}")
        start = start.with_networks(*recognised)
        if generator is not None and recognised[0] is not None:
            model, fresh = at_scale(generator[1], recognised[0], start.config.generator.scale)
            generator = generator[0], model
            if fresh:
                say(f"for scale {start.config.generator.scale} these begin anew: {listed(fresh)}")
    return start, generator, discriminator


def _check_images(start, patches):
    before = checkpoint_images(start.folder / "checkpoints")
    if not start.allow_changes and before not in (None, patches.digest):
        raise UserError(
            f"{start.folder} was trained on other images: some were added, removed, renamed or resized; bring them "
            "back, choose another --run_dir, or give --allow_changes too"
        )


def _tell_of(data, config, say):
    if data.patches.left_out:
        margin = config.degradation.margin if config.degradation.kind not in ("none", "noise") else 0
        least = f"data.hr_patch {config.data.hr_patch}{f' with degradation.margin {margin}' if margin else ''}"
        say(f"left out, smaller than {least}: {listed(data.patches.left_out)}")
    say(f"data: {len(data.patches)} images to train on, {len(data.validation or ())} to validate on")


def _record(start, steps, entry):
    """What the phase starts from, and that it does."""
    if not start.begun:
        record_start(start.folder, "init_from", start.init_from)
        record_start(start.folder, "discriminator_from", start.discriminator_from)
    if max(checkpoint_steps(start.folder / "checkpoints"), default=0) < steps:
        append_history(start.run_dir, entry)
