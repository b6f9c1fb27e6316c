"""Size, encoding time and fidelity of upscaled images, per file format and setting.

    python -m benchmarks.image_formats [--photo photo.png] [--model faithful]

Upscales two photos of scikit-image (a cat, a printed page) and the photo of `--photo`. Encodes each result five times
with libvips in every listed format. Seconds are medians of the processor's time. PSNR and SSIM compare the luma of the
encoded image to that of the result. `upscale` uses the settings of rows with *.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import skimage.data
from PIL import Image

from esrgan_tf import load_model
from esrgan_tf.evaluation.metrics import psnr, ssim
from esrgan_tf.imaging.image_formats import WRITING
from esrgan_tf.imaging.reading import read_rgb
from esrgan_tf.imaging.writing import from_array
from esrgan_tf.inference.tiles import Upscaler

ROUNDS = 5
PNG = [{"compression": 4, "filter": "none"}]  # what was written before its filters were compared
PNG += [{"compression": c, "filter": f} for c in (1, 2, 3, 4, 6) for f in ("sub", "up", "paeth", "all")]
JPEG = [{"Q": q, "subsample_mode": "off", "optimize_coding": o} for q in (90, 92, 95, 97) for o in (False, True)]
WEBP = [{"Q": q, "effort": e} for q in (90, 95) for e in (0, 2, 4)]
WEBP += [{"Q": 95, "effort": e, "smart_subsample": True} for e in (0, 2, 4)]
WEBP += [{"lossless": True, "effort": 0}]
TIFF = [{"compression": c, "predictor": "horizontal"} for c in ("deflate", "lzw")]
KINDS = {".png": PNG, ".jpg": JPEG, ".webp": WEBP, ".tif": TIFF}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photo", type=Path, action="append", default=[])
    parser.add_argument("--model", default="faithful")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    arguments = parser.parse_args()
    upscaler = Upscaler(load_model(arguments.model))
    images = {"cat": skimage.data.cat(), "page": np.repeat(skimage.data.page()[..., None], 3, axis=2)}
    images |= {path.name: read_rgb(path) for path in arguments.photo}
    for name, image in images.items():
        result = upscaler(image)
        print(f"\n{name}, {result.shape[1]}x{result.shape[0]}\n")
        print("| format | settings | MB | seconds | PSNR | SSIM |\n| --- | --- | --- | --- | --- | --- |")
        for kind in arguments.kinds:
            print_kind(result, kind)


def print_kind(result, kind):
    written = WRITING[kind].options
    ways = [written, *(way for way in KINDS[kind] if way != written)]
    seconds: list[list[float]] = [[] for _ in ways]
    picture = from_array(result)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"result{kind}"
        for _ in range(ROUNDS):
            for way, taken in zip(ways, seconds, strict=True):
                began = time.process_time()
                picture.write_to_file(str(path), **way)
                taken.append(time.process_time() - began)
        for way, taken in zip(ways, seconds, strict=True):
            picture.write_to_file(str(path), **way)
            size, back = path.stat().st_size, np.asarray(Image.open(path).convert("RGB"))
            faithful = "" if kind in (".png", ".tif") or way.get("lossless") else f"{psnr(result, back, 0):.2f}"
            like = f"{ssim(result, back, 0):.4f}" if faithful else ""
            words = ", ".join(f"{key} {value}" for key, value in way.items())
            mark, took = "*" if way is written else "", statistics.median(taken)
            print(f"| {kind[1:]}{mark} | {words} | {size / 1e6:.2f} | {took:.2f} | {faithful} | {like} |", flush=True)


if __name__ == "__main__":
    main()
