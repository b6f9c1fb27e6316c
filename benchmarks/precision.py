"""Effects of bfloat16 on upscaled images: luma PSNR to the ground truth in both precisions, difference, and seconds.

    python -m benchmarks.precision --hr Set5/hr --lr Set5/lr_x4 --model faithful --model RealESRGAN_x4plus.safetensors

Seconds are per megapixel of the input, medians of three rounds without start-up, for a free photo of 512x512 pixels.
Processors without bfloat16 instructions compute equal results, but slowly.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import skimage.data
from tabulate import tabulate
from tqdm import tqdm

from esrgan_tf import load_model
from esrgan_tf.data import folder_source
from esrgan_tf.evaluation.metrics import psnr
from esrgan_tf.inference.tiles import Upscaler

PRECISIONS = ("float32", "bfloat16")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hr", required=True, help="folder of images")
    parser.add_argument("--lr", help="folder of their LR images; by default downscaled by bicubic")
    parser.add_argument("--model", action="append", required=True, help="a file, or a name of `esrgan-tf models`")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.model:
        model = load_model(name)
        upscalers = [Upscaler(model, precision=precision) for precision in PRECISIONS]
        scale = upscalers[0].scale
        source = folder_source(arguments.hr, arguments.lr, scale)
        scores = []
        for _, lr, hr in tqdm(source.pairs(), name, source.count, leave=False, file=sys.stderr):
            exact, rounded = (upscaler(lr) for upscaler in upscalers)
            error = np.abs(exact.astype(int) - rounded)
            both = [psnr(hr, sr, border=scale) for sr in (exact, rounded)]
            scores.append((*both, np.sqrt(np.mean(error**2)), error.max()))
        (before, after, rms), most = np.mean(scores, axis=0)[:3], max(score[3] for score in scores)
        quality = [f"{before:.3f} dB", f"{after:.3f} dB", f"{after - before:+.3f}", f"{rms:.2f}", most]
        rows.append([Path(name).stem, *quality, *(f"{value:.1f} s" for value in seconds(upscalers))])
    titles = ["model", *PRECISIONS, "change", "RMS difference, grey levels", "maximum"]
    titles += [f"seconds per megapixel, {precision}" for precision in PRECISIONS]
    print(tabulate(rows, titles, tablefmt="github", disable_numparse=True))


def seconds(upscalers: list[Upscaler]) -> np.ndarray:
    """Each upscaler's seconds per megapixel of the input."""
    photo, rounds = skimage.data.astronaut(), []
    for _ in range(4):  # the first round includes compilation
        rounds.append([])
        for upscaler in upscalers:
            began = time.perf_counter()
            upscaler(photo)
            rounds[-1].append(time.perf_counter() - began)
    return np.median(rounds[1:], axis=0) / (photo.shape[0] * photo.shape[1] / 1e6)


if __name__ == "__main__":
    main()
