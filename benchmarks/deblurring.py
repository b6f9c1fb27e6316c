"""PSNR of DPSR's loop, of the network alone and of bicubic on blurred photos, by blur kernel; and a picture.

    python -m benchmarks.deblurring --model MODEL --hr_dir Set14/hr [--hr_dir kodak] [--images N] [--output F.png]
    python -m benchmarks.deblurring --model MODEL --hr_dir Set14/hr --images 2 --overlaps 0 8 16 24 32

Photos are downscaled by bicubic and convolved with a blur kernel (`scipy.ndimage.convolve`, mirrored edges). Gaussian
noise of 1 % is added. PSNR is the mean luma PSNR over the images, without 4 border pixels. The picture shows photos of
scikit-image. `--overlaps` compares the loop in tiles, of which 48 pixels are kept, with the loop on the whole image.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import scipy.ndimage
import skimage.data
from PIL import Image
from tqdm import tqdm

from esrgan_tf import load_model
from esrgan_tf.evaluation.metrics import psnr
from esrgan_tf.imaging.drawing import side_by_side
from esrgan_tf.imaging.listing import list_images
from esrgan_tf.imaging.reading import read_rgb
from esrgan_tf.imaging.resampling import bicubic, crop_to_multiple
from esrgan_tf.inference.blur_kernels import checked_kernel
from esrgan_tf.inference.deblurring import DeblurringUpscaler
from esrgan_tf.inference.tiles import Upscaler

NOISE = 2.55  # standard deviation in grey levels of 255
SIDE = 200


def gaussian(size=13, sigma=1.6):
    distance = np.arange(size) - size // 2
    line = np.exp(-(distance**2) / (2 * sigma**2))
    return np.outer(line, line)


def disk(radius=2.5, samples=11):
    """The part of each pixel inside the disk, from `samples` by `samples` points per pixel."""
    size = 2 * int(np.ceil(radius)) + 1
    points = (np.arange(size * samples) + 0.5) / samples - size / 2
    inside = np.hypot(*np.meshgrid(points, points)) <= radius
    return inside.reshape(size, samples, size, samples).mean(axis=(1, 3))


def motion(seed, size=15, length=12.0, steps=400):
    """The kernel of a camera shake along a random path; weights are the time at each pixel."""
    rng = np.random.default_rng(seed)
    direction = rng.uniform(0, 2 * np.pi) + np.cumsum(0.12 * rng.standard_normal(steps))
    path = np.cumsum(np.stack([np.sin(direction), np.cos(direction)]), axis=1) * length / steps
    path += (size - 1) / 2 - (path.min(axis=1, keepdims=True) + path.max(axis=1, keepdims=True)) / 2
    kernel = np.zeros((size + 1, size + 1))
    corner = np.floor(path).astype(int)
    fraction = path - corner
    for i in (0, 1):
        for j in (0, 1):
            weight = (fraction[0] if i else 1 - fraction[0]) * (fraction[1] if j else 1 - fraction[1])
            np.add.at(kernel, (corner[0] + i, corner[1] + j), weight)
    return kernel[:size, :size]


KERNELS = {"Gaussian": gaussian(), "disk": disk(), "motion 1": motion(1), "motion 2": motion(4)}


def blurred(hr, kernel, scale, seed=0):
    lr = bicubic(hr, hr.shape[0] // scale, hr.shape[1] // scale).astype(np.float64)
    lr = scipy.ndimage.convolve(lr, checked_kernel(kernel)[..., None], mode="mirror")
    lr += NOISE * np.random.default_rng(seed).standard_normal(lr.shape)
    return np.rint(np.clip(lr, 0, 255)).astype(np.uint8)


def results(hr, kernel, model, scale):
    lr = blurred(hr, kernel, scale)
    return {
        "bicubic": bicubic(lr, *hr.shape[:2]),
        "network alone": Upscaler(model, noise=NOISE)(lr),
        "loop": DeblurringUpscaler(model, kernel, NOISE)(lr),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--hr_dir", type=Path, action="append", default=[])
    parser.add_argument("--images", type=int, help="number of images per folder; by default all")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--overlaps", nargs="+", type=int)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    scale = Upscaler(model).scale
    if arguments.overlaps:
        paths = [path for folder in arguments.hr_dir for path in list_images(folder).files[: arguments.images]]
        print_tiles([crop_to_multiple(read_rgb(path), scale) for path in paths], model, scale, arguments.overlaps)
        return
    for folder in arguments.hr_dir:
        print(f"\n{folder.parent.name if folder.name == 'hr' else folder.name}\n")
        print("| kernel | bicubic | network alone | loop | gain of the loop |\n| --- | --- | --- | --- | --- |")
        photos = [crop_to_multiple(read_rgb(path), scale) for path in list_images(folder).files[: arguments.images]]
        for name, kernel in KERNELS.items():
            scores = {}
            for hr in tqdm(photos, desc=name, leave=False):
                for method, image in results(hr, kernel, model, scale).items():
                    scores.setdefault(method, []).append(psnr(hr, image, border=scale))
            means = {method: statistics.mean(values) for method, values in scores.items()}
            gain = means["loop"] - means["network alone"]
            print(f"| {name} | {' | '.join(f'{mean:.2f}' for mean in means.values())} | {gain:+.2f} |", flush=True)
    if arguments.output:
        write_picture(arguments.output, model, scale)


def print_tiles(photos, model, scale, overlaps):
    print("PSNR in dB of the loop in tiles to the loop on the whole image and to the ground truth:\n")
    print(
        "| kernel | overlap | tiles to whole | tiles to ground truth | whole to ground truth |\n" + "| --- " * 5 + "|"
    )
    for name, kernel in KERNELS.items():
        lrs = [blurred(hr, kernel, scale) for hr in photos]
        untiled = [DeblurringUpscaler(model, kernel, NOISE, max(lr.shape) + 4, overlap=0)(lr) for lr in lrs]
        best = statistics.mean(psnr(*pair, border=scale) for pair in zip(photos, untiled, strict=True))
        for overlap in overlaps:
            upscaler = DeblurringUpscaler(model, kernel, NOISE, 48 + 2 * overlap, overlap)
            tiled = [upscaler(lr) for lr in lrs]
            to_untiled = statistics.mean(psnr(*pair, border=scale) for pair in zip(untiled, tiled, strict=True))
            to_truth = statistics.mean(psnr(*pair, border=scale) for pair in zip(photos, tiled, strict=True))
            print(f"| {name} | {overlap} | {to_untiled:.1f} | {to_truth:.2f} | {best:.2f} |", flush=True)


def write_picture(path, model, scale):
    rows = []
    for photo, name, (top, left) in (("astronaut", "motion 2", (20, 130)), ("chelsea", "Gaussian", (50, 110))):
        hr = crop_to_multiple(getattr(skimage.data, photo)(), scale)
        began = time.perf_counter()
        images = {"blurred": blurred(hr, KERNELS[name], scale).repeat(scale, axis=0).repeat(scale, axis=1)}
        images |= {key: image for key, image in results(hr, KERNELS[name], model, scale).items() if key != "bicubic"}
        print(f"{photo}, {name}: {time.perf_counter() - began:.1f} s")
        kernel = KERNELS[name] / KERNELS[name].max() * 255
        for key in images:
            images[key] = images[key].copy()[top : top + SIDE, left : left + SIDE]
        magnified = kernel.astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)[:60, :60, None]
        images["blurred"][: magnified.shape[0], : magnified.shape[1]] = magnified
        rows.append([*images.values(), hr[top : top + SIDE, left : left + SIDE]])
    titles = ("blurred, with the kernel", "network alone", "DPSR's loop", "ground truth")
    Image.fromarray(side_by_side(rows, titles)).save(path)
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
