"""`esrgan-tf degrade`: what Real-ESRGAN's training does to images, and by which parameters.

Always two rounds, whatever degradation.kind is left at; the other keys of its sections count.
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
flags.DEFINE_integer("seed", 0, "Another seed draws other parameters.", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_string("config", None, "YAML file; else ./config.yaml, else the defaults.", flag_values=FLAGS)
flags.DEFINE_multi_string("set", [], "section.key=value, over the configuration. Repeat it.", flag_values=FLAGS)
_USAGE = "degrade IN OUT [--seed S] [--config F] [--set key=value]…"


def main(argv: list[str]) -> None:
    """Degrades as the flags say. See `esrgan-tf degrade --help`."""
    names = parse(FLAGS, argv, _USAGE)
    if len(names) != 2:
        raise UserError(f"degrade takes an image or a folder, and where to write: esrgan-tf {_USAGE}")
    source, target = map(Path, names)
    config = find_config(FLAGS.config, None, FLAGS.set, together=False)  # of the degradation, nothing else
    check_degrade(source, target, config)
    with quiet_tensorflow():
        pass  # imported without its start-up lines, before `degrade` imports it

    with tqdm(desc="degrading", unit="image", disable=None if source.is_dir() else True) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        result = degrade(
            source, target, config, FLAGS.seed,
            say=lambda line: tqdm.write(printable(line), sys.stderr), progress=show,
        )  # fmt: skip
    if result.left_out:
        total = len(result.written) + len(result.left_out)
        print(f"{len(result.written)} of {total} images written to {printable(target)}", file=sys.stderr)
        raise SystemExit(1)
    print(printable(f"written: {target}, with the parameters beside it as .yaml"))
