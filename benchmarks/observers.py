"""Blind comparisons of upscalers: comparison grids for observers, and the count of their answers.

    python -m benchmarks.observers grids round1 --photos kodak --model photo --model realesr-general-x4v3 --seed 1
    python -m benchmarks.observers count round1/1 round1/2 round1/3

`grids` writes a folder per observer. `round1/1/grids` has a picture per crop: the input, magnified by repeated pixels,
and each model's result under a letter. The order of the letters is random per crop and observer; `round1/1/key.json`
holds it. Show an observer the `grids` folder and nothing else. The observer writes a line per picture, best first:

    01 B C A

into `round1/1/answers.txt`. `count` prints how often each model was first and last, and the preferences in pairs.

`benchmarks/observers.csv` lists the default crops: a picture, the crop's corner, and how the picture is compressed
first. Pictures are files below `--photos`, scikit-image's free photos (`skimage:`), or pictures in `docs` (`docs:`). A
grid of three models is 1,088 by 1,032 pixels; image viewers shrink grids of more models.
"""

import argparse
import csv
import io
import itertools
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image
from tabulate import tabulate

from esrgan_tf.errors import UserError
from esrgan_tf.imaging.drawing import text_line
from esrgan_tf.imaging.reading import read_rgb

WIDTH, HEIGHT = 136, 120  # of a crop, in the photo's pixels
CONTEXT = 32  # pixels around a crop in the models' input
SCALE = 4
COLUMNS = 2
LETTERS = "ABCDEFGH"
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Crop:
    """A part of a picture: its file, its corner in pixels, and the format and quality that compress the file first."""

    file: str
    left: int
    top: int
    format: str  # jpeg | webp | "" for the picture as it is
    quality: int


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    grids = commands.add_parser("grids")
    grids.add_argument("output", type=Path)
    grids.add_argument("--photos", type=Path, required=True, help="folder of Kodak's photos, or of those in --crops")
    grids.add_argument("--crops", type=Path, default=HERE / "observers.csv")
    grids.add_argument("--model", action="append", required=True, help="a file, or a name of `esrgan-tf models`")
    grids.add_argument("--seed", type=int, default=0)
    grids.add_argument("--observers", type=int, default=3)
    counting = commands.add_parser("count")
    counting.add_argument("folders", type=Path, nargs="+", help="observers' folders, with key.json and answers.txt")
    arguments = parser.parse_args()
    try:
        if arguments.command == "grids":
            write_grids(arguments)
        else:
            print_counts(arguments.folders)
    except UserError as error:
        raise SystemExit(str(error)) from error


def write_grids(arguments) -> None:
    """Writes the grids of all observers, and their keys."""
    crops = read_crops(arguments.crops)
    names = [Path(model).stem for model in arguments.model]
    if len(set(names)) < len(names) or len(names) > len(LETTERS):
        raise UserError(f"--model: at most {len(LETTERS)} models, each with another name; got {', '.join(names)}")
    pictures = [picture_of(crop, arguments.photos) for crop in crops]
    results = upscaled(pictures, dict(zip(names, arguments.model, strict=True)))
    for observer in range(1, arguments.observers + 1):
        folder = arguments.output / str(observer)
        (folder / "grids").mkdir(parents=True)
        rng = np.random.default_rng([arguments.seed, observer])
        key = {}
        for i, (part, inner) in enumerate(pictures):
            order = [names[n] for n in rng.permutation(len(names))]
            title = f"{i + 1:02d}"
            key[title] = dict(zip(LETTERS, order, strict=False))
            shown = part[inner].repeat(SCALE, axis=0).repeat(SCALE, axis=1)
            grid = comparison_grid([shown, *(results[name][i] for name in order)], ["input", *LETTERS[: len(names)]])
            Image.fromarray(grid).save(folder / "grids" / f"{title}.png")
        (folder / "key.json").write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
    print(f"{len(crops)} grids for each of {arguments.observers} observers in {arguments.output}")


def read_crops(path: Path) -> list[Crop]:
    """The rows of a CSV file with the columns file, left, top, format, quality."""
    with open(path, newline="", encoding="utf-8") as file:
        return [
            Crop(row["file"], int(row["left"]), int(row["top"]), row["format"], int(row["quality"] or 0))
            for row in csv.DictReader(file)
        ]


def picture_of(crop: Crop, photos: Path) -> tuple[np.ndarray, tuple[slice, slice]]:
    """The crop with its context, uint8 `[h, w, 3]`, and the crop's rows and columns in it."""
    photo = read_rgb(path_of(crop.file, photos))
    if crop.left + WIDTH > photo.shape[1] or crop.top + HEIGHT > photo.shape[0]:
        raise UserError(
            f"{crop.file}: a crop of {WIDTH}x{HEIGHT} pixels at {crop.left},{crop.top} exceeds the picture's "
            f"{photo.shape[1]}x{photo.shape[0]} pixels"
        )
    if crop.format:
        file = io.BytesIO()
        Image.fromarray(photo).save(file, crop.format, quality=crop.quality)
        photo = np.asarray(Image.open(file).convert("RGB"))
    top, left = max(0, crop.top - CONTEXT), max(0, crop.left - CONTEXT)
    part = photo[top : crop.top + HEIGHT + CONTEXT, left : crop.left + WIDTH + CONTEXT]
    y, x = crop.top - top, crop.left - left
    return part, (slice(y, y + HEIGHT), slice(x, x + WIDTH))


def path_of(file: str, photos: Path) -> Path:
    """The path of a crop's picture."""
    origin, _, name = file.rpartition(":")
    if origin == "skimage":
        import skimage

        return Path(skimage.__file__).parent / "data" / name
    if origin == "docs":
        return HERE.parent / "docs" / name
    return photos / name


def upscaled(pictures, models: dict[str, str]) -> dict[str, list[np.ndarray]]:
    """The models' results of all crops, uint8 `[4h, 4w, 3]`."""
    from esrgan_tf.inference.tiles import Upscaler
    from esrgan_tf.runs.loading import load_model

    results = {}
    for name, model in models.items():
        upscale = Upscaler(load_model(model), tile=256, overlap=24, precision="auto")
        if upscale.scale != SCALE:
            raise UserError(f"--model {name}: its scale is {upscale.scale}; expected {SCALE}")
        results[name] = []
        for part, (rows, columns) in pictures:
            inner = [slice(SCALE * side.start, SCALE * side.stop) for side in (rows, columns)]
            results[name].append(upscale(part)[tuple(inner)])
    return results


def comparison_grid(tiles: list[np.ndarray], titles: list[str]) -> np.ndarray:
    """Arranges uint8 `[H, W, 3]` images of equal size under their titles in COLUMNS columns."""
    width = tiles[0].shape[1]
    rows = []
    for i in range(0, len(tiles), COLUMNS):
        row = tiles[i : i + COLUMNS]
        row += [np.full_like(tiles[0], 255)] * (COLUMNS - len(row))
        rows += [text_line(COLUMNS * width, {n * width: title for n, title in enumerate(titles[i : i + COLUMNS])})]
        rows += [np.concatenate(row, axis=1)]
    return np.concatenate(rows)


def print_counts(folders: list[Path]) -> None:
    """Prints a table of first and last places, and a table of preferences in pairs."""
    rankings = [ranking for folder in folders for ranking in read_rankings(folder)]
    names = sorted({name for ranking in rankings for name in ranking})
    firsts, lasts = Counter(r[0] for r in rankings), Counter(r[-1] for r in rankings)
    pairs = Counter(pair for ranking in rankings for pair in itertools.combinations(ranking, 2))
    print(f"{len(rankings)} rankings of {len(folders)} observers\n")
    print(tabulate([[n, firsts[n], lasts[n]] for n in names], ["model", "best", "worst"], tablefmt="github"))
    print()
    rows = [[a, *("" if a == b else pairs[a, b] for b in names)] for a in names]
    print(tabulate(rows, ["preferred to", *names], tablefmt="github"))


def read_rankings(folder: Path) -> list[list[str]]:
    """The models' names, best first, per grid that the observer has ranked.

    Raises:
        UserError: a line does not rank the grid's letters, or a grid has no line.
    """
    key = json.loads((folder / "key.json").read_text(encoding="utf-8"))
    rankings = {}
    for line in (folder / "answers.txt").read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        title, *letters = line.split()
        if title not in key or sorted(letters) != sorted(key[title]) or title in rankings:
            expected = f"{title} {' '.join(key[title])} in another order, once" if title in key else "a grid's number"
            raise UserError(f"{folder / 'answers.txt'}: {line!r}; expected {expected}")
        rankings[title] = [key[title][letter] for letter in letters]
    if missing := sorted(set(key) - set(rankings)):
        raise UserError(f"{folder / 'answers.txt'} lacks {', '.join(missing)}")
    return list(rankings.values())


if __name__ == "__main__":
    main()
