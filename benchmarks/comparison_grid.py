"""A comparison grid: crops of photos, upscaled by bicubic and several networks, at full size.

    python -m benchmarks.comparison_grid portrait.png street.jpg@120,80 --model faithful --alpha 0.5 --output grid.png

The grid shows a crop per photo, from the photo's centre or from the pixel `@left,top`. Bicubic is the first column.
With `--columns 3` a photo's results take several rows, each result under its name.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image

from esrgan_tf.imaging.drawing import side_by_side
from esrgan_tf.imaging.reading import read_rgb
from esrgan_tf.imaging.resampling import bicubic
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.runs.loading import load_model
from esrgan_tf.weights.loading import load_blend

WIDTH, HEIGHT, CONTEXT = 140, 105, 24  # of the crop in the photo's pixels, and pixels around it that networks see


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--model", action="append", default=[], help="a file, or a name of `esrgan-tf models`")
    parser.add_argument("--alpha", action="append", default=[], type=float, help="blend of faithful (0) and sharp (1)")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--hide", action="store_true", help="omit the names above the columns")
    parser.add_argument("--columns", type=int, help="results per row; by default all")
    arguments = parser.parse_args()
    networks = {Path(name).stem: Upscaler(load_model(name)) for name in arguments.model}
    networks |= {f"alpha {alpha:g}": Upscaler(load_blend(alpha)) for alpha in arguments.alpha}
    rows = [upscaled_crop(photo, networks) for photo in arguments.photos]
    names = ["" if arguments.hide else name for name in ("bicubic", *networks)]
    picture = side_by_side(rows, names, zoom=1)
    if columns := arguments.columns:
        if len(names) % columns:
            raise SystemExit(f"--columns {columns}: must divide the number of results, {len(names)}")
        parts = [(row[i : i + columns], names[i : i + columns]) for row in rows for i in range(0, len(row), columns)]
        picture = np.concatenate([side_by_side([results], titles, zoom=1) for results, titles in parts])
    Image.fromarray(picture).save(arguments.output, quality=90)


def upscaled_crop(text: str, networks: dict[str, Upscaler]) -> list[np.ndarray]:
    """The crop by bicubic and by each network, uint8 `[scale * HEIGHT, scale * WIDTH, 3]`; gray beyond the photo."""
    path, _, corner = text.partition("@")
    photo = read_rgb(Path(path))
    middle = [(size - shown) // 2 for size, shown in zip(photo.shape[1::-1], (WIDTH, HEIGHT), strict=True)]
    left, top = (max(0, value) for value in (map(int, corner.split(",")) if corner else middle))
    first_row, first_column = max(0, top - CONTEXT), max(0, left - CONTEXT)
    part = photo[first_row : top + HEIGHT + CONTEXT, first_column : left + WIDTH + CONTEXT]
    results = {"bicubic": bicubic(part, 4 * part.shape[0], 4 * part.shape[1])}
    results |= {name: upscale(part) for name, upscale in networks.items()}
    shown = []
    for result in results.values():
        scale = result.shape[0] // part.shape[0]
        y, x = scale * (top - first_row), scale * (left - first_column)
        crop = result[y : y + scale * HEIGHT, x : x + scale * WIDTH]
        shown.append(np.full((scale * HEIGHT, scale * WIDTH, 3), 128, np.uint8))
        shown[-1][: crop.shape[0], : crop.shape[1]] = crop
    return shown


if __name__ == "__main__":
    main()
