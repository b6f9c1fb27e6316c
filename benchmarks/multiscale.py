"""A folder of photos and of their reductions, for training: the same edges and textures at other sizes.

    python -m benchmarks.multiscale photos photos_scaled

Photos are copied, and reduced by Pillow's bicubic to 0.8 and 0.6 of their sides where these keep 192 pixels.
"""

import argparse
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from tqdm import tqdm

FACTORS = (0.8, 0.6)
LEAST = 192  # pixels, of the patches that are cut


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True)
    paths = sorted(path for path in arguments.photos.rglob("*") if path.suffix.lower() in Image.registered_extensions())
    with ThreadPoolExecutor() as threads:
        made = threads.map(lambda path: put(path, arguments.photos, arguments.output), paths)
        print(f"{sum(tqdm(made, total=len(paths)))} images in {arguments.output}")


def put(path: Path, photos: Path, output: Path) -> int:
    """Copies a photo and writes its reductions, in the same folders; how many images that are."""
    place = output / path.relative_to(photos)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, place)
    with Image.open(path) as file:
        photo = file.convert("RGB")
    sizes = {factor: tuple(round(factor * side) for side in photo.size) for factor in FACTORS}
    kept = {factor: size for factor, size in sizes.items() if min(size) >= LEAST}
    for factor, size in kept.items():
        name = f"{path.stem}_{100 * factor:.0f}.png"
        photo.resize(size, Image.Resampling.BICUBIC).save(place.with_name(name), compress_level=1)
    return 1 + len(kept)


if __name__ == "__main__":
    main()
