"""Distillation targets: the weighted mean of a teacher's results (0.7) and the ground truth (0.3).

    python -m benchmarks.teacher photos distilled --model faithful
    python train.py --phase psnr … --set data.hr_dir=distilled/hr --set data.lr_dir=distilled/lr

The teacher upscales the downscaled images with self-ensemble (×8). Existing files are skipped, so that an interrupted
run resumes.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image
from tqdm import tqdm

from esrgan_tf.imaging.reading import read_rgb
from esrgan_tf.imaging.resampling import bicubic, crop_to_multiple
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.runs.loading import load_model

TEACHER_WEIGHT = 0.7


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", required=True, help="the teacher: a file, or a name of `esrgan-tf models`")
    arguments = parser.parse_args()
    teacher = Upscaler(load_model(arguments.model), ensemble=True, precision="auto")
    paths = sorted(path for path in arguments.photos.rglob("*") if path.suffix.lower() in Image.registered_extensions())
    for path in tqdm(paths):
        name = path.relative_to(arguments.photos).with_suffix(".png")
        hr_path, lr_path = arguments.output / "hr" / name, arguments.output / "lr" / name
        if hr_path.exists():
            continue
        hr_path.parent.mkdir(parents=True, exist_ok=True)
        lr_path.parent.mkdir(parents=True, exist_ok=True)
        hr = crop_to_multiple(read_rgb(path), teacher.scale)
        lr = bicubic(hr, hr.shape[0] // teacher.scale, hr.shape[1] // teacher.scale)
        target = TEACHER_WEIGHT * teacher(lr) + (1 - TEACHER_WEIGHT) * hr
        Image.fromarray(lr).save(lr_path, compress_level=1)
        Image.fromarray(np.uint8(target.round())).save(hr_path, compress_level=1)


if __name__ == "__main__":
    main()
