"""Image files, degraded as Real-ESRGAN's training does it (arXiv 2107.10833), with their recipes beside them.

Importing this module imports no TensorFlow, so that a mistake is reported at once.
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
    """What was written.

    Attributes:
        written: the images, in the order of their originals; each recipe is beside its image, with the extension .yaml.
        left_out: a line for each image that was not written.
    """

    written: tuple[Path, ...]
    left_out: tuple[str, ...]


def check_degrade(source: str | Path, target: str | Path, config: Config) -> None:
    """Refuses what `degrade` would refuse before it reads an image.

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
    """Makes LR images as training with `degradation.kind=second_order` would, with the recipe of each beside it.

    Args:
        source: an image, or a folder with the folders below it.
        target: where to write; nothing may be there. A `.png` for an image; for a folder a folder, whose images are
            PNG under the names of their originals.
        config: its sections `degradation`, `degradation_1` and `degradation_2`, and `generator.scale`, by which images
            become smaller; None is the defaults.
        seed: not negative. Another seed draws other recipes.
        say: receives a line for each image that is left out, as soon as it is.
        progress: receives the number of images done and of all.

    Raises:
        UserError: no image there, something at the target, two images with one result, or a configuration of another
            kind of degradation.
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
        raise UserError(f"{listed(twice)}: they differ in their extensions only, and all results are .png; rename them")

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
        except Exception as error:  # whatever one file does ends that file; the others are degraded
            leave_out(f"{path}: cannot be degraded, or not written to {output} ({first_line(error)})")
            continue
        written.append(output)
    progress(len(files), len(files))
    return DegradedFiles(tuple(written), tuple(left_out))
