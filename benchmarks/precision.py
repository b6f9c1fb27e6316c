"""What bfloat16 changes of enlarged images: luma PSNR to the truth in both precisions, and their own difference.

    python -m benchmarks.precision --hr Set5/hr --lr Set5/lr_x4 --model faithful --model RealESRGAN_x4plus.safetensors

On processors without instructions for bfloat16 it is slow, and the results are the same.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from esrgan_tf import load_model
from esrgan_tf.data import folder_source
from esrgan_tf.images.metrics import psnr
from esrgan_tf.upscaling.tiling import Enlarger


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hr", required=True, help="folder of images")
    parser.add_argument("--lr", help="their reduced partners; else made by bicubic reduction")
    parser.add_argument("--model", action="append", required=True, help="a file, or a name of `esrgan-tf models`")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.model:
        model = load_model(name)
        enlargers = [Enlarger(model, precision=precision) for precision in ("float32", "bfloat16")]
        source = folder_source(arguments.hr, arguments.lr, enlargers[0].scale)
        scores = []
        for _, lr, hr in tqdm(source.pairs(), name, source.count, leave=False, file=sys.stderr):
            exact, rounded = (enlarge(lr) for enlarge in enlargers)
            error = np.abs(exact.astype(int) - rounded)
            both = [psnr(hr, sr, border=4) for sr in (exact, rounded)]
            scores.append((*both, np.sqrt(np.mean(error**2)), error.max()))
        (before, after, rms), most = np.mean(scores, axis=0)[:3], max(score[3] for score in scores)
        rows.append(
            [Path(name).stem, f"{before:.3f} dB", f"{after:.3f} dB", f"{after - before:+.3f}", f"{rms:.2f}", most]
        )
    titles = ["model", "float32", "bfloat16", "change", "grey levels between them, rms", "at most"]
    print(tabulate(rows, titles, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
