"""Images to train towards that are not the truth alone: 0.7 of what a teacher makes of it, 0.3 of itself.

    python -m benchmarks.teacher photos taught --model faithful
    python train.py --phase psnr … --set data.hr_dir=taught/hr --set data.lr_dir=taught/lr

The teacher is given the images, reduced; its results are averaged over the eight flips and quarter turns. Images that
are there already are left out, so that it goes on where it was stopped.
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

OF_TEACHER = 0.7


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
        taught = OF_TEACHER * teacher(lr) + (1 - OF_TEACHER) * hr
        Image.fromarray(lr).save(lr_path, compress_level=1)
        Image.fromarray(np.uint8(taught.round())).save(hr_path, compress_level=1)


if __name__ == "__main__":
    main()
