"""Differences between tiles and the whole image, and the cost of tiles, by their overlap.

    python benchmarks/overlap.py --model RealESRGAN_x4plus.safetensors photos/*.png [--tile 248] [--side 416]

The network upscales the central square of each photo (`--side` pixels per side), and the tile at its centre alone. For
each overlap the kept part of the tile is compared with the square, in grey levels of the 8-bit result. The tile touches
no edge of the photo, like most tiles of a large photo. The square determines the memory: 13 kB per pixel for RRDBNet.
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
    forward = tf.function(lambda image: model(image, training=False))  # eager execution would keep all activations
    print(f"{'photo':<8} {'overlap':>7} {'tile':>5} {'RMS':>7} {'maximum':>7} {'relative cost':>15}")
    errors = {overlap: [] for overlap in arguments.overlaps}
    for path in arguments.photos:
        square = _crop_centre(np.asarray(Image.open(path).convert("RGB")), arguments.side)
        expected = _crop_centre(_upscale(forward, square), 4 * arguments.tile)
        result = _upscale(forward, _crop_centre(square, arguments.tile))
        for overlap in arguments.overlaps:
            kept = arguments.tile - 2 * overlap
            difference = _crop_centre(result, 4 * kept) - _crop_centre(expected, 4 * kept)
            errors[overlap].append((np.mean(difference**2), np.abs(difference).max()))
            _print_row(path.stem, overlap, arguments.tile, *errors[overlap][-1])
    for overlap, pairs in errors.items():
        squares, maxima = zip(*pairs, strict=True)
        _print_row("all", overlap, arguments.tile, np.mean(squares), max(maxima))


def _print_row(name, overlap, tile, square, maximum):
    cost = (tile / (tile - 2 * overlap)) ** 2
    print(f"{name:<8} {overlap:>7} {tile:>5} {math.sqrt(square):7.3f} {maximum:7.0f} {cost:15.2f}", flush=True)


def _upscale(forward, pixels):
    return quantise(forward(pixels[np.newaxis].astype(np.float32) / 255).numpy()[0], np.uint8).astype(np.float64)


def _crop_centre(pixels, side):
    top, left = ((size - side) // 2 // 4 * 4 for size in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


if __name__ == "__main__":
    main()
