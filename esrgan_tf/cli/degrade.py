"""`esrgan-tf degrade`: what Real-ESRGAN's training does to images, and by which parameters.

Always two rounds, whatever degradation.kind is left at; the other keys of its sections count.
"""

import sys
from pathlib import Path

import yaml
from absl import flags
from PIL import Image
from tqdm import tqdm

from esrgan_tf.cli.common import find_config, parse
from esrgan_tf.config import check_degradation
from esrgan_tf.errors import UserError, first_line, listed, printable
from esrgan_tf.files import check_new
from esrgan_tf.imaging.listing import ABSENT, Listing, list_images, why_no_file
from esrgan_tf.quiet import quiet_tensorflow

FLAGS = flags.FlagValues()
flags.DEFINE_integer("seed", 0, "Another seed draws other parameters.", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_string("config", None, "YAML file; else ./config.yaml, else the defaults.", flag_values=FLAGS)
flags.DEFINE_multi_string("set", [], "section.key=value, over the configuration. Repeat it.", flag_values=FLAGS)
_UNITS = """\
# What was drawn, from config.yaml's sections degradation_1 (first), degradation_2 (second) and degradation (the rest:
# the last filter and resize). Sigma in pixels, rotation in radians, cutoff in radians a pixel; strength is sigma of 255
# of Gaussian noise, times the noise of light of Poisson's; scale is of the image in the first round, of the result in
# the second. The seed is the noise's.
"""
_USAGE = "degrade IN OUT [--seed S] [--config F] [--set key=value]…"


def main(argv: list[str]) -> None:
    """Degrades as the flags say. See `esrgan-tf degrade --help`."""
    names = parse(FLAGS, argv, _USAGE)
    if len(names) != 2:
        raise UserError(f"degrade takes an image or a folder, and where to write: esrgan-tf {_USAGE}")
    source, target = map(Path, names)
    if not source.is_dir() and (words := why_no_file(source)):
        raise UserError(f"{words} {source}" if words == ABSENT else f"{source}: {words}")
    check_new(target)
    if source.is_file() and target.suffix.lower() != ".png":
        raise UserError(f"{target}: end it in .png, so that nothing is lost that the parameters beside it do not tell")
    if source.is_file():
        check_new(target.with_suffix(".yaml"))
    config = find_config(FLAGS.config, None, FLAGS.set, together=False)  # of the degradation, nothing else
    check_degradation(config)
    kind = config.degradation.kind
    if kind in ("jpeg", "noise"):
        raise UserError(
            f"degrade shows what degradation.kind=second_order does, and the configuration has {kind}; "
            "add --set degradation.kind=second_order"
        )

    with quiet_tensorflow():
        import numpy as np

        from esrgan_tf.data.degradation_recipes import draw_recipe
        from esrgan_tf.data.degradations import degrade
        from esrgan_tf.imaging.reading import read_rgb
        from esrgan_tf.imaging.resampling import crop_to_multiple

    single = source.is_file()
    listing = Listing([source], {}, {}) if single else list_images(source)
    files, problems = listing.files, listing.problems
    if not files:
        lines = [f"{path}: {words}" for path, words in problems.items()]
        raise UserError(listed(lines) if lines else f"no image in {source}")
    targets = [target if single else (target / f.relative_to(source)).with_suffix(".png") for f in files]
    twice = [f for f, its_target in zip(files, targets, strict=True) if targets.count(its_target) > 1]
    if twice:
        raise UserError(f"{listed(twice)}: they differ in their endings only, and all results end in .png; rename them")
    for path, words in problems.items():
        _say(f"{path}: {words}")
    scale, broken = config.generator.scale, len(problems)
    for i, (path, output) in enumerate(
        tqdm([*zip(files, targets, strict=True)], desc="degrading", unit="image", disable=None if files[1:] else True)
    ):
        try:
            hr = crop_to_multiple(read_rgb(path), scale)
        except (UserError, OSError) as error:
            broken += 1
            _say(f"{path}: cannot be read ({first_line(error)})")
            continue
        if not hr.size:
            broken += 1
            _say(f"{path}: smaller than {scale}x{scale} pixels")
            continue
        try:
            recipe = draw_recipe(config, np.random.default_rng((FLAGS.seed, 0, 1 + i)))
            output.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(degrade(hr[None], [recipe], scale)[0]).save(output)
            drawn = yaml.safe_dump(recipe.as_plain(), sort_keys=False)
            output.with_suffix(".yaml").write_text(_UNITS + drawn, encoding="utf-8")
        except Exception as error:  # whatever one file does ends that file; the others are degraded
            broken += 1
            _say(f"{path}: cannot be degraded, or not written to {output} ({first_line(error)})")
    if broken:
        total = len(files) + len(problems)
        print(f"{total - broken} of {total} images written to {printable(target)}", file=sys.stderr)
        raise SystemExit(1)
    print(printable(f"written: {target}, with the parameters beside it as .yaml"))


def _say(line):
    tqdm.write(printable(line), sys.stderr)
