"""`esrgan-tf train`: trains one phase, or resumes it."""

import contextlib
import os
import shlex
import sys
from pathlib import Path

from absl import flags

from esrgan_tf.cli.common import define_models_dir, find_config, parse
from esrgan_tf.errors import UserError, as_typed
from esrgan_tf.quiet import quiet_native, quiet_tensorflow
from esrgan_tf.runs.folder import checkpoint_steps
from esrgan_tf.training.stopping import Failed, Stopped, stop_requests
from esrgan_tf.workflows.plan import plan_training

FLAGS = flags.FlagValues()
flags.DEFINE_enum("phase", None, ["psnr", "gan"], "Required. Phase to train: psnr first, then gan.", flag_values=FLAGS)
flags.DEFINE_string(
    "config", None,
    "YAML file. Default: the run's config.yaml, then ./config.yaml, then the default configuration.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string("run_dir", "runs/esrgan", "Folder of the run, shared by both phases.", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "set", [], "section.key=value overrides the configuration. Repeat the flag for several keys. Default: no override.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "init_from", None,
    "Pretrained generator: .keras file, PyTorch weights, SavedModel, or name of a model. The run takes its "
    "architecture; --set generator.scale=N changes the scale. Default: random weights in phase psnr, "
    "RUN_DIR/psnr/generator.keras in phase gan.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "discriminator_from", None,
    "Pretrained discriminator for phase gan: .keras file or PyTorch weights. The run takes its architecture. Default: "
    "random weights.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_float(
    "max_hours", None, "Hours after which training saves and stops. Default: no limit.", lower_bound=0,
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_boolean(
    "allow_changes", False, "Resume from a checkpoint with other settings or images.", flag_values=FLAGS
)
define_models_dir(FLAGS)
GROUPS = {
    "run": ("phase", "run_dir", "max_hours", "allow_changes"),
    "configuration": ("config", "set"),
    "model": ("init_from", "discriminator_from", "models_dir"),
}
flags.mark_flag_as_required("phase", flag_values=FLAGS)


def main(argv: list[str]) -> None:
    """Trains a phase with the given flags. See `esrgan-tf train --help`."""
    extra = parse(
        FLAGS, GROUPS, argv, "train --phase psnr|gan [--config F] [--run_dir D] [--set key=value]… [--init_from F]"
    )
    if extra:
        raise UserError(f"train takes flags only; what is {extra[0]!r}?")
    try:
        with stop_requests(FLAGS.max_hours) as stop:
            config = find_config(FLAGS.config, Path(FLAGS.run_dir), FLAGS.set, together=False)
            with quiet_native() if _names_saved_model() else contextlib.nullcontext():
                plan = plan_training(
                    FLAGS.phase, Path(FLAGS.run_dir), config, FLAGS.set, FLAGS.init_from, FLAGS.discriminator_from,
                    FLAGS.allow_changes, FLAGS.models_dir, os.environ,
                )  # fmt: skip
            with quiet_tensorflow():
                from esrgan_tf.workflows.training_run import run_training
            generator = run_training(plan, stop=stop, command=f"esrgan-tf {shlex.join(argv)}", say=_say)
        print(f"done: {generator}")
    except Stopped as stopped:
        arguments = ["--phase", FLAGS.phase, "--run_dir", FLAGS.run_dir]  # the run folder has the other settings
        if not checkpoint_steps(Path(FLAGS.run_dir) / FLAGS.phase / "checkpoints"):
            arguments = argv[1:]
        print(f"{stopped}; to resume: {as_typed('train', *arguments)}", file=sys.stderr)
    except Failed as failed:
        print(f"esrgan-tf: {failed}", file=sys.stderr)
        raise SystemExit(1) from failed


def _names_saved_model() -> bool:
    """Whether a flag names a SavedModel; TensorFlow reads its description."""
    return any(name and Path(name, "saved_model.pb").is_file() for name in (FLAGS.init_from, FLAGS.discriminator_from))


def _say(line):
    print(line, flush=True)
