"""Reports of an evaluation: a table to print, JSON, CSV, and a comparison grid of the worst and the best images."""

import csv
import json
import math
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image
from tabulate import tabulate

from esrgan_tf.errors import UserError
from esrgan_tf.evaluation.measures import MEASURES
from esrgan_tf.evaluation.results import Evaluation, worst_to_best
from esrgan_tf.files import check_folder
from esrgan_tf.imaging.drawing import side_by_side, text_line

_HEADER = 125  # characters per line above a comparison grid


def check_report(path: Path) -> None:
    """Refuses a path that `write_report` could not write to.

    Raises:
        UserError: the extension is not that of a report, or the folder cannot be used.
    """
    _check(path, tuple(_WRITERS))


def check_comparison_grid(path: Path) -> None:
    """Refuses a path that `write_comparison_grid` could not write to.

    Raises:
        UserError: the extension is not .png, or the folder cannot be used.
    """
    _check(path, (".png",))


def _check(path, extensions):
    if path.suffix.lower() not in extensions:
        raise UserError(f"{path}: must end in {' or '.join(extensions)}")
    check_folder(path)


def table(evaluation: Evaluation) -> str:
    """A table for a terminal: the measures of each image, their means, and the means of bicubic."""
    measures = [measure for measure in MEASURES if measure.key in evaluation.mean.model]
    rows = [[image.name, *image.model.values()] for image in evaluation.images]
    rows += [[f"mean of {len(evaluation.images)}", *evaluation.mean.model.values()]]
    rows += [["bicubic, mean", *evaluation.mean.bicubic.values()]]
    titles = ["image", *(measure.title for measure in measures)]
    text = tabulate(rows, titles, floatfmt=("", *(measure.format for measure in measures)))
    return f"{text}\n{evaluation.note}" if evaluation.note else text


def write_report(evaluation: Evaluation, path: str | Path) -> None:
    """Writes the measures and the protocol to a `.json` or `.csv` file, and makes the folders above it.

    In JSON, an infinite value is null.

    Raises:
        UserError: the path has another extension.
    """
    path = Path(path)
    check_report(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _WRITERS[path.suffix.lower()](evaluation, path)


def _write_json(evaluation, path):
    def finite(values):
        return {key: None if math.isinf(value) else value for key, value in values.items()}

    def both(measures):
        return {"model": finite(measures.model), "bicubic": finite(measures.bicubic)}

    report = {
        "model": evaluation.model,
        "protocol": evaluation.protocol,
        "images": [{"name": image.name, **both(image)} for image in evaluation.images],
        "mean": both(evaluation.mean),
    }
    path.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _write_csv(evaluation, path):
    with open(path, "w", newline="", encoding="utf-8") as file:
        file.write(f"# {evaluation.model}: {evaluation.protocol}\n")
        keys = list(evaluation.mean.model)
        writer = csv.writer(file)
        writer.writerow(["image", *keys, *(f"bicubic_{key}" for key in keys)])
        for image in (*evaluation.images, evaluation.mean):
            writer.writerow([image.name, *image.model.values(), *image.bicubic.values()])


_WRITERS = {".json": _write_json, ".csv": _write_csv}


def write_comparison_grid(evaluation: Evaluation, path: str | Path) -> None:
    """Writes crops of the worst and the best images, by luma PSNR, side by side to a `.png` file.

    Raises:
        UserError: the path has another extension.
    """
    path = Path(path)
    check_comparison_grid(path)
    ranked = worst_to_best(evaluation.images)
    rows, captions = [], []
    for rank, image in enumerate(ranked, start=1):
        if image.name not in evaluation.crops:
            continue
        rows.append(evaluation.crops[image.name])
        rank_text = "worst" if rank == 1 else "best" if rank == len(ranked) else rank
        ours, cubic = image.model, image.bicubic
        captions.append(
            f"{rank_text} of {len(ranked)}: {image.name}, {ours['psnr_y']:.2f} dB, SSIM {ours['ssim_y']:.4f} "
            f"(bicubic {cubic['psnr_y']:.2f} dB, {cubic['ssim_y']:.4f})"
        )
    grid = side_by_side(rows, ("LR", "bicubic", "model", "HR"), captions=captions)
    header = textwrap.wrap(f"{Path(evaluation.model).name}, {evaluation.protocol}", _HEADER)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([*(text_line(grid.shape[1], {0: line}) for line in header), grid])).save(path)
