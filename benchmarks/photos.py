"""PSNR, SSIM and sharpness of runs' networks on photos, and a comparison grid.

    python benchmarks/photos.py RUN_DIR [RUN_DIR…] [--output F.png] [--before MODEL] [--degraded SEED]

The photos are free photos of scikit-image, downscaled by bicubic, or degraded as in Real-ESRGAN's training. Sharpness
is the mean absolute difference of neighbouring pixels, divided by the ground truth's. Values below 1 are softer than
the ground truth.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import skimage.data
from PIL import Image

from esrgan_tf import interpolate, load_model
from esrgan_tf.config import load_config
from esrgan_tf.data.degradations import Degradation
from esrgan_tf.evaluation.metrics import psnr, ssim
from esrgan_tf.imaging.drawing import side_by_side
from esrgan_tf.imaging.resampling import bicubic, crop_to_multiple
from esrgan_tf.training.validation import build_upscaler

CROPS = {"chelsea": (60, 110), "astronaut": (20, 130), "coffee": (150, 250)}  # photo: top and left of the shown crop
SIDE = 160


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dirs", nargs="+", type=Path, metavar="RUN_DIR")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--before", type=Path, help="the network that the run started from")
    parser.add_argument("--degraded", type=int, help="degrade LR images with this random seed")
    arguments = parser.parse_args()
    degradation = Degradation(load_config(arguments.run_dirs[0] / "config.yaml"))
    networks = {} if arguments.before is None else {"before": load_model(arguments.before)}
    for run_dir in arguments.run_dirs:
        found = networks_of(run_dir)
        prefix = "" if len(arguments.run_dirs) == 1 else f"{run_dir.name}, "
        names = [run_dir.name] if prefix and len(found) == 1 else [prefix + name for name in found]
        networks |= zip(names, found.values(), strict=True)
    print("| photo | image | PSNR (dB) | SSIM | sharpness |")
    print("| --- | --- | --- | --- | --- |")
    rows = []
    for i, (photo, (top, left)) in enumerate(CROPS.items()):
        hr = crop_to_multiple(getattr(skimage.data, photo)(), 4)
        lr = bicubic(hr, hr.shape[0] // 4, hr.shape[1] // 4)
        if arguments.degraded is not None:
            lr = degradation(lr[None], hr[None], [(arguments.degraded, 0, 1 + i)])[0]
        images = {"bicubic": bicubic(lr, *hr.shape[:2])}
        images |= {name: build_upscaler(network)(lr) for name, network in networks.items()}
        for name, image in images.items():
            scores = (
                f"{psnr(hr, image, border=4):.2f} | {ssim(hr, image, border=4):.4f} | {edges(image) / edges(hr):.2f}"
            )
            print(f"| {photo} | {name} | {scores} |")
        rows.append([image[top : top + SIDE, left : left + SIDE] for image in (*images.values(), hr)])
    if arguments.output:
        Image.fromarray(side_by_side(rows, (*images, "ground truth"))).save(arguments.output)
        print(f"\npicture: {arguments.output}")


def networks_of(run_dir):
    """The networks of a run's finished phases, and their interpolation at the configuration's `export.alpha`."""
    done = {"PSNR": run_dir / "psnr" / "generator.keras", "GAN": run_dir / "gan" / "generator.keras"}
    found = {name: load_model(path) for name, path in done.items() if path.exists()}
    alpha = load_config(run_dir / "config.yaml").export.alpha
    if len(found) == 2 and alpha < 1:
        found = {"PSNR": found["PSNR"], f"alpha {alpha:g}": interpolate(*found.values(), alpha), "GAN": found["GAN"]}
    return found


def edges(image):
    return np.abs(np.diff(image.astype(float), axis=1)).mean()


if __name__ == "__main__":
    main()
