"""`esrgan-tf evaluate`: measures PSNR and SSIM of a model on a folder of images, by the usual protocol."""

import sys
from pathlib import Path

from absl import flags

from esrgan_tf.cli.common import define_models_dir, named_model, parse
from esrgan_tf.errors import UserError, printable
from esrgan_tf.evaluation.reports import (
    check_comparison_grid,
    check_report,
    table,
    write_comparison_grid,
    write_report,
)
from esrgan_tf.quiet import quiet_tensorflow

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "model", None,
    "Required. .keras file, SavedModel folder, run folder, PyTorch weights (.safetensors, .pth), or name of a model.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string("hr_dir", None, "Required. Folder of HR images.", flag_values=FLAGS)
flags.DEFINE_string(
    "lr_dir", None, "Folder of LR images with the names of the HR images. Default: bicubic downscaling.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_multi_string(
    "report", [], "File for the table, .json or .csv. Repeat the flag for several files. Default: no file.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "comparison_grid", None, "PNG file that shows the images side by side. Default: no file.", flag_values=FLAGS
)
define_models_dir(FLAGS)
GROUPS = {
    "input and output": ("hr_dir", "lr_dir", "report", "comparison_grid"),
    "model": ("model", "models_dir"),
}
flags.mark_flags_as_required(["model", "hr_dir"], flag_values=FLAGS)
_USAGE = "evaluate --model M --hr_dir D [--lr_dir D] [--report F.json] [--comparison_grid F.png]"


def main(argv: list[str]) -> None:
    """Measures a model with the given flags. See `esrgan-tf evaluate --help`."""
    extra = parse(FLAGS, GROUPS, argv, _USAGE)
    if extra:
        raise UserError(f"evaluate takes flags only; what is {extra[0]!r}?")
    reports, grid = [Path(path) for path in FLAGS.report], FLAGS.comparison_grid and Path(FLAGS.comparison_grid)
    for path in reports:
        check_report(path)
    if grid:
        check_comparison_grid(grid)
    named_model(FLAGS, "model")  # a mistake is reported before TensorFlow starts

    with quiet_tensorflow():
        from tqdm import tqdm

        from esrgan_tf.evaluation.folders import evaluate

    with tqdm(unit="image", disable=None, leave=False) as bar:

        def show_progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        evaluation = evaluate(
            FLAGS.model, FLAGS.hr_dir, FLAGS.lr_dir,
            models_dir=FLAGS.models_dir, keys=("--hr_dir", "--lr_dir"), say=tqdm.write, progress=show_progress,
        )  # fmt: skip
    print(f"\n{table(evaluation)}")
    for path in reports:
        write_report(evaluation, path)
    if grid:
        write_comparison_grid(evaluation, grid)
    for line in evaluation.left_out:
        print(f"esrgan-tf: left out: {printable(line)}", file=sys.stderr)
    if evaluation.left_out:
        raise SystemExit(1)
