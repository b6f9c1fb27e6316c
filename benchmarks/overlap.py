"""How far tiles are from the whole image, and what they cost, by their overlap.

    python benchmarks/overlap.py --model RealESRGAN_x4plus.safetensors photos/*.png [--tile 248] [--side 416]

The network enlarges the middle of each photo, `--side` pixels square, at once, and the tile in the middle of that by
itself. What each overlap keeps of the tile is compared, in grey levels of the 8-bit result. The tile touches no edge of
the photo, like most tiles of a large one. Memory is the whole square's: 13 kB a pixel of RRDBNet's.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from esrgan_tf import load_model
from esrgan_tf.inference.tiles import quantise


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tile", type=int, default=248)
    parser.add_argument("--side", type=int, default=416)
    parser.add_argument("--overlaps", nargs="+", type=int, default=[16, 24, 32, 40, 48, 56, 64, 80])
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    forward = tf.function(lambda image: model(image, training=False))  # run eagerly, it would keep every activation
    print(f"{'photo':<8} {'overlap':>7} {'tile':>5} {'RMS':>7} {'at most':>7} {'times the work':>15}")
    found_of = {overlap: [] for overlap in arguments.overlaps}
    for path in arguments.photos:
        square = _middle(np.asarray(Image.open(path).convert("RGB")), arguments.side)
        expected = _middle(_upscaled(forward, square), 4 * arguments.tile)
        found = _upscaled(forward, _middle(square, arguments.tile))
        for overlap in arguments.overlaps:
            kept = arguments.tile - 2 * overlap
            difference = _middle(found, 4 * kept) - _middle(expected, 4 * kept)
            found_of[overlap].append((np.mean(difference**2), np.abs(difference).max()))
            _row(path.stem, overlap, arguments.tile, *found_of[overlap][-1])
    for overlap, pairs in found_of.items():
        squares, most = zip(*pairs, strict=True)
        _row("all", overlap, arguments.tile, np.mean(squares), max(most))


def _row(name, overlap, tile, square, most):
    work = (tile / (tile - 2 * overlap)) ** 2
    print(f"{name:<8} {overlap:>7} {tile:>5} {math.sqrt(square):7.3f} {most:7.0f} {work:15.2f}", flush=True)


def _upscaled(forward, pixels):
    return quantise(forward(pixels[np.newaxis].astype(np.float32) / 255).numpy()[0], np.uint8).astype(np.float64)


def _middle(pixels, side):
    top, left = ((size - side) // 2 // 4 * 4 for size in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


if __name__ == "__main__":
    main()
