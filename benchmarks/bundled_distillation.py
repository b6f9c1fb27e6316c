"""Distillation targets for `photo`: a teacher's results of degraded images and of photos.

    esrgan-tf degrade photos_scaled degraded --config configs/bundled_photo.yaml --seed 11
    python -m benchmarks.bundled_distillation degraded photos_scaled photos distilled --model realesr-general-x4v3
    python train.py --phase psnr … --set data.hr_dir=distilled/hr --set data.lr_dir=distilled/lr

The target of a degraded image is the mean of the teacher's result (0.7) and the ground truth (0.3). Photos at full
size, which are softer than downscaled images, have no ×4 ground truth, so the target is the teacher's result. The
program takes two crops per photo and saves three of five crops as JPEG first. Existing files are skipped, so that an
interrupted run resumes.
"""

import argparse
import io
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image
from tqdm import tqdm

from esrgan_tf.imaging.reading import read_rgb
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.runs.loading import load_model

TEACHER_WEIGHT = 0.7
CROPS, CROP = 2, 112  # crops per photo, and their width and height in pixels
COMPRESSED = 0.6  # share of the crops that are saved as JPEG
QUALITY = 40, 95


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("degraded", type=Path, help="folder of degraded LR images, PNG files")
    parser.add_argument("truth", type=Path, help="folder of their ground truth, with equal file names")
    parser.add_argument("photos", type=Path, help="folder of photos to crop")
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", required=True, help="the teacher: a file, or a name of `esrgan-tf models`")
    arguments = parser.parse_args()
    teacher = Upscaler(load_model(arguments.model), precision="auto")
    folders = {part: arguments.output / part for part in ("hr", "lr")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)

    truth = {path.relative_to(arguments.truth).with_suffix(""): path for path in images_in(arguments.truth)}
    for path in tqdm(images_in(arguments.degraded)):
        name = path.relative_to(arguments.degraded).with_suffix("")
        lr = read_rgb(path)
        height, width = (teacher.scale * side for side in lr.shape[:2])
        hr = read_rgb(truth[name])[:height, :width]
        write(folders, f"degraded_{'_'.join(name.parts)}.png", lr, teacher, TEACHER_WEIGHT, hr)
    rng = np.random.default_rng(5)
    for path in tqdm(images_in(arguments.photos)):
        photo = read_rgb(path)
        for i in range(CROPS if min(photo.shape[:2]) >= CROP else 0):
            name = "_".join(path.relative_to(arguments.photos).with_suffix("").parts)
            write(folders, f"crop_{name}_{i}.png", random_crop(photo, rng), teacher, 1.0, 0)


def images_in(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in Image.registered_extensions())


def write(folders, name, lr, teacher, weight, truth):
    """Writes an LR image, then its target, so that an existing target means that both files exist."""
    if (folders["hr"] / name).exists():
        return
    Image.fromarray(lr).save(folders["lr"] / name, compress_level=1)
    target = weight * teacher(lr) + (1 - weight) * truth
    Image.fromarray(np.uint8(target.round())).save(folders["hr"] / name, compress_level=1)


def random_crop(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random crop of CROP by CROP pixels, with JPEG artefacts at the probability COMPRESSED."""
    top, left = (rng.integers(0, side - CROP + 1) for side in photo.shape[:2])
    crop = photo[top : top + CROP, left : left + CROP]
    if rng.random() < COMPRESSED:
        file = io.BytesIO()
        Image.fromarray(crop).save(file, "JPEG", quality=int(rng.integers(*QUALITY, endpoint=True)))
        crop = np.asarray(Image.open(file))
    return crop


if __name__ == "__main__":
    main()
