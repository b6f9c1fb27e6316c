"""Images for `photo` to train towards: what another network makes of degraded images, and of photos as they are.

    esrgan-tf degrade photos_scaled degraded --config configs/bundled_photo.yaml --seed 11
    python -m benchmarks.bundled_distillation degraded photos_scaled photos imitated --model realesr-general-x4v3
    python train.py --phase psnr … --set data.hr_dir=imitated/hr --set data.lr_dir=imitated/lr

Towards degraded images stands 0.7 of what the network makes of them and 0.3 of the truth. Photos as they are, which are
softer than reductions, have no truth of four times their size: two pieces of each are taken, three of five saved as
JPEG before, and what the network makes of them is all. Images that are there already are left out, so that it goes on
where it was stopped.
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

OF_NETWORK = 0.7
PIECES, PIECE = 2, 112  # of a photo as it is, and pixels of each
COMPRESSED = 0.6  # of these pieces
QUALITY = 40, 95


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("degraded", type=Path, help="low resolutions, PNG files")
    parser.add_argument("truth", type=Path, help="what they were made of, of the same names")
    parser.add_argument("photos", type=Path, help="to take pieces of")
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", required=True, help="whom to imitate: a file, or a name of `esrgan-tf models`")
    arguments = parser.parse_args()
    network = Upscaler(load_model(arguments.model), precision="auto")
    folders = {part: arguments.output / part for part in ("hr", "lr")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)

    truth = {path.relative_to(arguments.truth).with_suffix(""): path for path in images_in(arguments.truth)}
    for path in tqdm(images_in(arguments.degraded)):
        name = path.relative_to(arguments.degraded).with_suffix("")
        low = read_rgb(path)
        height, width = (network.scale * side for side in low.shape[:2])
        high = read_rgb(truth[name])[:height, :width]
        write(folders, f"degraded_{'_'.join(name.parts)}.png", low, network, OF_NETWORK, high)
    rng = np.random.default_rng(5)
    for path in tqdm(images_in(arguments.photos)):
        photo = read_rgb(path)
        for i in range(PIECES if min(photo.shape[:2]) >= PIECE else 0):
            name = "_".join(path.relative_to(arguments.photos).with_suffix("").parts)
            write(folders, f"piece_{name}_{i}.png", piece_of(photo, rng), network, 1.0, 0)


def images_in(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in Image.registered_extensions())


def write(folders, name, low, network, share, truth):
    """A low resolution, and what is to be made of it; the latter last, since it tells that both are there."""
    if (folders["hr"] / name).exists():
        return
    Image.fromarray(low).save(folders["lr"] / name, compress_level=1)
    made = share * network(low) + (1 - share) * truth
    Image.fromarray(np.uint8(made.round())).save(folders["hr"] / name, compress_level=1)


def piece_of(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """PIECE by PIECE pixels of it, perhaps as a JPEG leaves them."""
    top, left = (rng.integers(0, side - PIECE + 1) for side in photo.shape[:2])
    piece = photo[top : top + PIECE, left : left + PIECE]
    if rng.random() < COMPRESSED:
        file = io.BytesIO()
        Image.fromarray(piece).save(file, "JPEG", quality=int(rng.integers(*QUALITY, endpoint=True)))
        piece = np.asarray(Image.open(file))
    return piece


if __name__ == "__main__":
    main()
