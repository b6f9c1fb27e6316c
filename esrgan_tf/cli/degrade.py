"""`esrgan-tf degrade`: degrades images as Real-ESRGAN's training does, and writes the parameters.

The degradation always has two rounds: `degradation.kind` has no effect, the other keys of its sections have.
"""

import sys
from pathlib import Path

from absl import flags
from tqdm import tqdm

from esrgan_tf.cli.common import find_config, parse
from esrgan_tf.data.degraded_files import check_degrade, degrade
from esrgan_tf.errors import UserError, printable
from esrgan_tf.quiet import quiet_tensorflow

FLAGS = flags.FlagValues()
flags.DEFINE_integer(
    "seed", 0, "Seed of the random parameters; another seed gives other parameters.", lower_bound=0, flag_values=FLAGS
)
flags.DEFINE_string(
    "config", None, "YAML file. Default: ./config.yaml if it exists, otherwise the default configuration.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_multi_string(
    "set", [], "section.key=value overrides the configuration. Repeat the flag for several keys. Default: no override.",
    flag_values=FLAGS,
)  # fmt: skip
GROUPS = {"degradation": ("seed",), "configuration": ("config", "set")}
_USAGE = "degrade IN OUT [--seed S] [--config F] [--set key=value]…"


def main(argv: list[str]) -> None:
    """Degrades images with the given flags. See `esrgan-tf degrade --help`."""
    names = parse(FLAGS, GROUPS, argv, _USAGE)
    if len(names) != 2:
        raise UserError(f"degrade takes an input (image or folder) and an output: esrgan-tf {_USAGE}")
    source, target = map(Path, names)
    config = find_config(FLAGS.config, None, FLAGS.set, together=False)  # only the degradation is used
    check_degrade(source, target, config)
    with quiet_tensorflow():
        pass  # imports TensorFlow without its start-up lines, before `degrade` does

    with tqdm(desc="degrading", unit="image", disable=None if source.is_dir() else True) as bar:

        def show_progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        result = degrade(
            source, target, config, FLAGS.seed,
            say=lambda line: tqdm.write(printable(line), sys.stderr), progress=show_progress,
        )  # fmt: skip
    if result.left_out:
        total = len(result.written) + len(result.left_out)
        print(f"{len(result.written)} of {total} images written to {printable(target)}", file=sys.stderr)
        raise SystemExit(1)
    print(printable(f"written: {target}, with the parameters beside it as .yaml"))
