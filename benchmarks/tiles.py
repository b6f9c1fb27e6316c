"""Effects of tiles on a network with global pooling (RCAN's channel attention), by tile size and overlap.

    python -m benchmarks.tiles --model runs/small_rcan photos/*.png [--tiles 96 192] [--overlaps 8 16] [--downscaled]

The program upscales each photo at once and in tiles, and compares the two results by luma PSNR. With `--downscaled` it
downscales the photo by bicubic first, and also compares both results with the photo. Memory is that of a whole photo.
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
    parser.add_argument("--downscaled", action="store_true", help="downscale the photos first")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    scale = Upscaler(model).scale
    photos = [read_rgb(path) for path in arguments.photos]
    truths = [crop_to_multiple(photo, scale) for photo in photos]
    if arguments.downscaled:
        photos = [bicubic(photo, photo.shape[0] // scale, photo.shape[1] // scale) for photo in truths]
    untiled = [Upscaler(model, tile=max(photo.shape) + 4, overlap=0)(photo) for photo in photos]
    references = [("the untiled result", untiled), *([("ground truth", truths)] if arguments.downscaled else [])]
    if arguments.downscaled:
        scores = [psnr(*pair, border=scale) for pair in zip(truths, untiled, strict=True)]
        print(f"PSNR of the untiled results to ground truth: {_summary(scores)}")
    print("| tile | overlap |" + "".join(f" PSNR to {name} |" for name, _ in references))
    print("| --- | --- |" + " --- |" * len(references))
    for tile in arguments.tiles:
        for overlap in arguments.overlaps:
            if tile < 2 * overlap + 16:
                continue
            upscaler = Upscaler(model, tile, overlap)
            tiled = [upscaler(photo) for photo in tqdm(photos, desc=f"{tile}, {overlap}", leave=False)]
            cells = []
            for _, images in references:
                cells.append(_summary([psnr(*pair, border=scale) for pair in zip(images, tiled, strict=True)]))
            print(f"| {tile} | {overlap} | {' | '.join(cells)} |", flush=True)


def _summary(scores):
    return f"{statistics.mean(scores):.2f} ({', '.join(f'{score:.2f}' for score in scores)})"


if __name__ == "__main__":
    main()
