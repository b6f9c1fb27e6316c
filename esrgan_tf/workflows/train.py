"""One phase of a run, from a configuration to a trained network, in one call."""

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
    plan = plan_training(
        phase, Path(run_dir), config, overrides, init_from, discriminator_from, allow_changes, models_dir, os.environ
    )
    from esrgan_tf.workflows.training_run import run_training

    return run_training(plan, stop=stop, command=command, say=say)
