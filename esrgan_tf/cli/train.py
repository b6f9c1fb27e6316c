"""`esrgan-tf train`: trains one phase, resuming by itself."""

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
flags.DEFINE_enum("phase", None, ["psnr", "gan"], "What to train: psnr first, then gan.", flag_values=FLAGS)
flags.DEFINE_string(
    "config", None, "YAML file; else the run's own, else ./config.yaml, else the defaults.", flag_values=FLAGS
)
flags.DEFINE_string("run_dir", "runs/esrgan", "Folder of the run; both phases share one.", flag_values=FLAGS)
flags.DEFINE_multi_string("set", [], "section.key=value, over the configuration. Repeat it.", flag_values=FLAGS)
flags.DEFINE_string(
    "init_from", None,
    "Generator to start from: .keras, PyTorch weights, SavedModel, or a name of `models`. Its architecture becomes the "
    "run's; with --set generator.scale=N, for another scale. Left out, psnr starts from random weights and gan from "
    "RUN_DIR/psnr/generator.keras.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "discriminator_from", None,
    "Discriminator to start phase gan from: .keras, PyTorch weights. Its architecture becomes the run's. Left out, it "
    "starts from random weights.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_float("max_hours", None, "Stop and save after so many hours.", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_boolean(
    "allow_changes", False, "Go on from a checkpoint that was made with other settings.", flag_values=FLAGS
)
define_models_dir(FLAGS)
flags.mark_flag_as_required("phase", flag_values=FLAGS)


def main(argv: list[str]) -> None:
    """Trains as the flags say. See `esrgan-tf train --help`."""
    extra = parse(FLAGS, argv, "train --phase psnr|gan [--config F] [--run_dir D] [--set key=value]… [--init_from F]")
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
        again = ["--phase", FLAGS.phase, "--run_dir", FLAGS.run_dir]  # the run knows the rest
        if not checkpoint_steps(Path(FLAGS.run_dir) / FLAGS.phase / "checkpoints"):
            again = argv[1:]
        print(f"{stopped}; to go on: {as_typed('train', *again)}", file=sys.stderr)
    except Failed as failed:
        print(f"esrgan-tf: {failed}", file=sys.stderr)
        raise SystemExit(1) from failed


def _names_saved_model() -> bool:
    """Whether a flag names a SavedModel, whose description TensorFlow reads."""
    return any(name and Path(name, "saved_model.pb").is_file() for name in (FLAGS.init_from, FLAGS.discriminator_from))


def _say(line):
    print(line, flush=True)
