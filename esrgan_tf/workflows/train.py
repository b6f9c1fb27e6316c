"""Trains one phase of a run with one call, from a configuration to a trained network."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from esrgan_tf.config import Config
from esrgan_tf.training.stopping import StopRequest
from esrgan_tf.workflows.plan import plan_training


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
    """Trains a phase of a run to its last step, from the newest checkpoint if it exists.

    Uses all devices of this machine, or of the machines in `TF_CONFIG`.

    Args:
        config: the configuration, from `esrgan_tf.config.load_config`.
        run_dir: the run's folder, shared by both phases.
        phase: `psnr`, then `gan`, which starts from the network of `psnr`.
        overrides: the configuration's `section.key=value` that the user set. Pretrained networks must not contradict
            these values.
        init_from: file or name of a pretrained generator. The run takes its architecture. If `overrides` sets another
            `generator.scale`, the upscaling layers start from random weights.
        discriminator_from: file of a pretrained discriminator for phase `gan`.
        allow_changes: resume from a checkpoint with other settings or images.
        models_dir: folder of downloaded models. The default is `$ESRGAN_TF_MODELS`, or the user's cache.
        stop: checked after each step; None never stops.
        command: command line for the run's `history.yaml`.
        say: receives lines on the progress.

    Returns:
        The trained generator, a `.keras` file.

    Raises:
        UserError: a mistake in the configuration, the files or the machine, with its correction.
        esrgan_tf.training.stopping.Stopped: `stop` had a reason; a checkpoint is saved.
        esrgan_tf.training.stopping.Failed: losses are repeatedly not finite, or another machine has ended.
    """
    plan = plan_training(
        phase, Path(run_dir), config, overrides, init_from, discriminator_from, allow_changes, models_dir, os.environ
    )
    from esrgan_tf.workflows.training_run import run_training

    return run_training(plan, stop=stop, command=command, say=say)
