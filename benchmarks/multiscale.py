"""A training folder with photos and downscaled copies, for edges and textures at several scales.

    python -m benchmarks.multiscale photos photos_scaled

The program copies photos, and downscales them by Pillow's bicubic with the factors `FACTORS`. Both sides of a
downscaled copy have at least 192 pixels.
"""

import argparse
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from tqdm import tqdm

FACTORS = (0.8, 0.6)
LEAST = 192  # pixels per side, the size of training patches


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True)
    paths = sorted(path for path in arguments.photos.rglob("*") if path.suffix.lower() in Image.registered_extensions())
    with ThreadPoolExecutor() as threads:
        counts = threads.map(lambda path: write_copies(path, arguments.photos, arguments.output), paths)
        print(f"{sum(tqdm(counts, total=len(paths)))} images in {arguments.output}")


def write_copies(path: Path, photos: Path, output: Path) -> int:
    """Copies a photo and writes its downscaled copies beside it; returns the number of written images."""
    target = output / path.relative_to(photos)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    with Image.open(path) as file:
        photo = file.convert("RGB")
    sizes = {factor: tuple(round(factor * side) for side in photo.size) for factor in FACTORS}
    kept = {factor: size for factor, size in sizes.items() if min(size) >= LEAST}
    for factor, size in kept.items():
        name = f"{path.stem}_{100 * factor:.0f}.png"
        photo.resize(size, Image.Resampling.BICUBIC).save(target.with_name(name), compress_level=1)
    return 1 + len(kept)


if __name__ == "__main__":
    main()
