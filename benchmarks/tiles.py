"""What tiles change where a network weighs its channels by all that it sees (RCAN's attention), by tile and overlap.

    python -m benchmarks.tiles --model runs/small_rcan photos/*.png [--tiles 96 192] [--overlaps 8 16] [--reduced]

Each photo is enlarged whole and in tiles, and the two results are compared by the PSNR of their luma. With `--reduced`
it is reduced by bicubic first, and both are compared with the photo too: which of them is nearer the truth? Memory is
the whole photo's.
"""

import argparse
import statistics
from pathlib import Path

from tqdm import tqdm

from esrgan_tf import load_model
from esrgan_tf.evaluation.metrics import psnr
from esrgan_tf.imaging.reading import read_rgb
from esrgan_tf.imaging.resampling import bicubic, crop_to_multiple
from esrgan_tf.inference.tiles import Upscaler


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tiles", nargs="+", type=int, default=[96, 128, 192, 256, 352])
    parser.add_argument("--overlaps", nargs="+", type=int, default=[0, 8, 16, 32, 48])
    parser.add_argument("--reduced", action="store_true")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    scale = Upscaler(model).scale
    photos = [read_rgb(path) for path in arguments.photos]
    truths = [crop_to_multiple(photo, scale) for photo in photos]
    if arguments.reduced:
        photos = [bicubic(photo, photo.shape[0] // scale, photo.shape[1] // scale) for photo in truths]
    whole = [Upscaler(model, tile=max(photo.shape) + 4, overlap=0)(photo) for photo in photos]
    against = [("the whole", whole), *([("the truth", truths)] if arguments.reduced else [])]
    if arguments.reduced:
        scores = [psnr(*pair, border=scale) for pair in zip(truths, whole, strict=True)]
        print(f"whole, against the truth: {_summary(scores)}")
    print("| tile | overlap |" + "".join(f" against {name} |" for name, _ in against))
    print("| --- | --- |" + " --- |" * len(against))
    for tile in arguments.tiles:
        for overlap in arguments.overlaps:
            if tile < 2 * overlap + 16:
                continue
            upscaler = Upscaler(model, tile, overlap)
            tiled = [upscaler(photo) for photo in tqdm(photos, desc=f"{tile}, {overlap}", leave=False)]
            cells = []
            for _, others in against:
                cells.append(_summary([psnr(*pair, border=scale) for pair in zip(others, tiled, strict=True)]))
            print(f"| {tile} | {overlap} | {' | '.join(cells)} |", flush=True)


def _summary(scores):
    return f"{statistics.mean(scores):.2f} ({', '.join(f'{score:.2f}' for score in scores)})"


if __name__ == "__main__":
    main()
