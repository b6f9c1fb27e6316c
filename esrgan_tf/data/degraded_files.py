"""Degradation of image files as in Real-ESRGAN's training (arXiv 2107.10833), with a recipe file per image.

The import of this module imports no TensorFlow, so that mistakes are reported at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from esrgan_tf.config import Config, check_degradation
from esrgan_tf.data.degradation_recipes import draw_recipe
from esrgan_tf.errors import UserError, first_line, listed
from esrgan_tf.files import check_new
from esrgan_tf.imaging.listing import ABSENT, Listing, list_images, why_no_file
from esrgan_tf.imaging.reading import read_rgb
from esrgan_tf.imaging.resampling import crop_to_multiple

_UNITS = """\
# The recipe of one image, drawn from config.yaml's sections degradation_1 (first), degradation_2 (second) and
# degradation (the rest: the last filter and resize). Sigma in pixels, rotation in radians, cutoff in radians per pixel.
# Strength: sigma of 255 for Gaussian noise, a factor of the shot noise for Poisson noise. Scale: of the image in the
# first round, of the result in the second. The seed is that of the noise.
"""


@dataclass(frozen=True)
class DegradedFiles:
    """The result of `degrade`.

    Attributes:
        written: the images, in the order of their originals; each recipe is beside its image, with the extension .yaml.
        left_out: a line for each image that was not written.
    """

    written: tuple[Path, ...]
    left_out: tuple[str, ...]


def check_degrade(source: str | Path, target: str | Path, config: Config) -> None:
    """Makes the checks of `degrade` that need no image.

    Raises:
        UserError: as `degrade`.
    """
    source, target = Path(source), Path(target)
    if not source.is_dir() and (words := why_no_file(source)):
        raise UserError(f"{words} {source}" if words == ABSENT else f"{source}: {words}")
    check_new(target)
    if source.is_file():
        if target.suffix.lower() != ".png":
            raise UserError(f"{target}: end it in .png, which keeps every pixel as the recipe makes it")
        check_new(target.with_suffix(".yaml"))
    check_degradation(config)
    kind = config.degradation.kind
    if kind in ("jpeg", "noise"):
        raise UserError(
            f"degrade applies degradation.kind=second_order, and the configuration has {kind}; "
            "set degradation.kind=second_order"
        )


def degrade(
    source: str | Path,
    target: str | Path,
    config: Config | None = None,
    seed: int = 0,
    *,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DegradedFiles:
    """Makes LR images as in training with `degradation.kind=second_order`, and writes the recipe beside each image.

    Args:
        source: an image, or a folder with the folders below it.
        target: the result, which may not exist yet: a `.png` file for an image, a folder for a folder. The folder
            receives PNG files with the names of the originals.
        config: the sections `degradation`, `degradation_1` and `degradation_2`, and `generator.scale`, by which images
            are downscaled, are used; None is the defaults.
        seed: not negative; another seed draws other recipes.
        say: receives a line for each image that is left out, at once.
        progress: receives the number of images done and of all.

    Raises:
        UserError: there is no image, the target exists, two images would have the same result, or the configuration
            has another kind of degradation.
    """
    source, target, config = Path(source), Path(target), config or Config()
    check_degrade(source, target, config)
    from esrgan_tf.data.degradations import apply_recipes  # imports TensorFlow

    single = source.is_file()
    listing = Listing([source], {}, {}) if single else list_images(source)
    files = listing.files
    if not files:
        lines = [f"{path}: {words}" for path, words in listing.problems.items()]
        raise UserError(listed(lines) if lines else f"no image in {source}")
    targets = [target if single else (target / path.relative_to(source)).with_suffix(".png") for path in files]
    twice = [path for path, its_target in zip(files, targets, strict=True) if targets.count(its_target) > 1]
    if twice:
        raise UserError(f"{listed(twice)}: they differ only in their extensions, and all results are .png; rename them")

    written: list[Path] = []
    left_out: list[str] = []

    def leave_out(line):
        left_out.append(line)
        say(line)

    for path, words in listing.problems.items():
        leave_out(f"{path}: {words}")
    scale = config.generator.scale
    for i, (path, output) in enumerate(zip(files, targets, strict=True)):
        progress(i, len(files))
        try:
            hr = crop_to_multiple(read_rgb(path), scale)
        except (UserError, OSError) as error:
            leave_out(f"{path}: cannot be read ({first_line(error)})")
            continue
        if not hr.size:
            leave_out(f"{path}: smaller than {scale}x{scale} pixels")
            continue
        try:
            recipe = draw_recipe(config, np.random.default_rng((seed, 0, 1 + i)))
            output.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(apply_recipes(hr[None], [recipe], scale)[0]).save(output)
            plain = yaml.safe_dump(recipe.as_plain(), sort_keys=False)
            output.with_suffix(".yaml").write_text(_UNITS + plain, encoding="utf-8")
        except Exception as error:  # a failure concerns one file; the others are degraded
            leave_out(f"{path}: cannot be degraded, or {output} cannot be written ({first_line(error)})")
            continue
        written.append(output)
    progress(len(files), len(files))
    return DegradedFiles(tuple(written), tuple(left_out))
