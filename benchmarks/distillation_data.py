"""Training pairs for a distilled upscaler: degraded LR crops, and a teacher's result per crop.

    python -m benchmarks.distillation_data inputs photos pairs --variants 0 1
    python -m benchmarks.distillation_data teach pairs --model RealESRGAN_x4plus
    python -m benchmarks.distillation_data targets pairs
    python train.py --phase psnr … --set data.hr_dir=pairs/hr --set data.lr_dir=pairs/lr

Each command skips existing files, so that an interrupted run resumes and later variants are added.

`inputs` crops photos at random scales and writes the crops to `pairs/clean`, and degraded copies to `pairs/degraded`.
The random seed is the variant and the photo's path, so that all machines write equal files.

`teach` writes the teacher's ×4 result of each degraded crop to `pairs/teacher`.

`truth` adds pairs with photos as targets, so that the discriminator's real images include photos.

`show` draws the parts of targets for ten of scikit-image's photos, and measures them against the ground truth:

    python -m benchmarks.distillation_data show docs/development/targets.jpg --model RealESRGAN_x4plus

`targets` writes the pairs to `pairs/lr` and `pairs/hr`, without the teacher's margin. A target is the teacher's result,
corrected towards the clean crop by back-projection (Irani and Peleg, 1991).
"""

import argparse
import io
import os
import zlib
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter
from tabulate import tabulate
from tqdm import tqdm

from esrgan_tf.evaluation.metrics import psnr
from esrgan_tf.imaging.drawing import side_by_side
from esrgan_tf.imaging.listing import list_images
from esrgan_tf.imaging.reading import read_rgb
from esrgan_tf.imaging.resampling import bicubic, crop_to_multiple

SCALE = 4
CROP = 128  # LR pixels per side of the teacher's input
MARGIN = 8  # LR pixels per side that targets omit, since the teacher lacks context at edges
PIXELS_PER_CROP = 160_000  # photo pixels per crop
MOST_CROPS = 8  # per photo and variant
TRUTH, LEAST_TRUTH = "truth_", 256  # prefix of the files of `truth`; least pixels per side of its photos
LEAST_SCALE = 0.25  # of a photo before it is cropped
FLAT, FLAT_SKIPPED = 6.0, 0.75  # threshold of detail in grey levels; share of crops below it that is skipped

FILTERS = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX, Image.Resampling.BILINEAR)
# Probabilities of the degradations, applied in this order. Sizes are LR pixels, noise is in grey levels of 255.
CLEAN = 0.15  # no degradation
BLUR, BLUR_SIGMA = 0.5, (0.3, 1.1)
NOISE, NOISE_SIGMA = 0.45, (1.0, 10.0)
SHARPEN, SHARPEN_RADIUS, SHARPEN_PERCENT = 0.2, (0.6, 2.0), (40, 160)
COMPRESSION = {"none": 0.2, "jpeg": 0.45, "webp": 0.15, "jpeg twice": 0.2}
QUALITY = (30, 95)
COARSE_SIGMA = 2.0  # LR pixels; coarser differences between teacher and clean crop are removed completely
GRAIN = 6.0  # grey levels by which finer differences are shrunk, as the photo's noise
FINE = 0.3  # share of the shrunk finer differences that is removed

# Left and top of the crops of 160x160 pixels that `show` draws. Every second input is degraded.
SHOWN = {
    "astronaut.png": (150, 20), "chelsea.png": (80, 60), "coffee.png": (330, 180), "rocket.jpg": (90, 260),
    "motorcycle_left.png": (320, 180), "page.png": (60, 20), "hubble_deep_field.jpg": (300, 500), "ihc.png": (60, 40),
    "grass.png": (100, 100), "brick.png": (180, 180),
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    inputs = commands.add_parser("inputs")
    inputs.add_argument("photos", type=Path)
    inputs.add_argument("pairs", type=Path)
    inputs.add_argument("--variants", type=int, nargs="+", default=[0])
    teach = commands.add_parser("teach")
    teach.add_argument("pairs", type=Path)
    teach.add_argument("--model", required=True, help="a file, or a name of `esrgan-tf models`")
    teach.add_argument("--crops", type=int, help="number of results, existing results included; by default all")
    teach.add_argument("--precision", choices=("auto", "bfloat16", "float32"), default="auto")
    commands.add_parser("targets").add_argument("pairs", type=Path)
    truth = commands.add_parser("truth")
    truth.add_argument("photos", type=Path)
    truth.add_argument("pairs", type=Path)
    show = commands.add_parser("show")
    show.add_argument("picture", type=Path)
    show.add_argument("--model", required=True, help="the teacher")
    arguments = parser.parse_args()
    if arguments.command == "inputs":
        write_inputs(arguments.photos, arguments.pairs, arguments.variants)
    elif arguments.command == "teach":
        write_teacher_results(arguments.pairs, arguments.model, arguments.crops, arguments.precision)
    elif arguments.command == "targets":
        write_targets(arguments.pairs)
    elif arguments.command == "truth":
        write_truth(arguments.photos, arguments.pairs)
    else:
        show_targets(arguments.picture, arguments.model)


def write_inputs(photos: Path, pairs: Path, variants: list[int]) -> None:
    """Writes `clean/NAME` and `degraded/NAME` for each variant of each photo of at least CROP pixels per side."""
    for folder in ("clean", "degraded"):
        (pairs / folder).mkdir(parents=True, exist_ok=True)
    work = [(path, photos, pairs, variant) for variant in variants for path in list_images(photos).files]
    with ProcessPoolExecutor() as pool:
        counts = pool.map(_write_photo, work, chunksize=8)
        print(f"{sum(tqdm(counts, 'inputs', len(work), unit='photo'))} new crops")


def _write_photo(work) -> int:
    path, photos, pairs, variant = work
    name = "_".join(path.relative_to(photos).with_suffix("").parts)
    photo = Image.fromarray(read_rgb(path))
    count = 0
    for i in range(min(MOST_CROPS, max(1, photo.width * photo.height // PIXELS_PER_CROP))):
        file = f"{name}_v{variant}_{i}.png"
        if min(photo.size) < CROP or (pairs / "degraded" / file).exists():
            continue
        seed = variant, i, zlib.crc32(name.encode())
        clean, degraded = degraded_crop(photo, np.random.default_rng(seed))
        if detail(clean) < FLAT and np.random.default_rng([*seed, 1]).random() < FLAT_SKIPPED:
            continue
        Image.fromarray(clean).save(pairs / "clean" / file, compress_level=1)
        _save(Image.fromarray(degraded), pairs / "degraded" / file)
        count += 1
    return count


def detail(image: np.ndarray) -> float:
    """The mean absolute differences of vertical and of horizontal neighbours, summed, in grey levels of 255."""
    gray = image.astype(np.float32).mean(axis=-1)
    return float(sum(np.abs(np.diff(gray, axis=axis)).mean() for axis in (0, 1)))


def degraded_crop(photo: Image.Image, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A clean crop at a random scale, and its degraded copy; both uint8 `[CROP, CROP, 3]`."""
    # Degradations are applied to up to 16 more pixels, so that JPEG's blocks have random offsets in the crop.
    wanted = min(CROP + 16, min(photo.size))
    least = max(LEAST_SCALE, wanted / min(photo.size))
    scale = np.exp(rng.uniform(np.log(least), 0.0))
    size = tuple(max(wanted, round(scale * side)) for side in photo.size)
    if size != photo.size:
        photo = photo.resize(size, FILTERS[rng.integers(len(FILTERS))])
    left, top = (int(rng.integers(0, side - wanted + 1)) for side in photo.size)
    clean = np.asarray(photo.crop((left, top, left + wanted, top + wanted)))
    degraded = clean if rng.random() < CLEAN else degrade(clean, rng)
    y, x = rng.integers(0, wanted - CROP + 1, 2)
    return clean[y : y + CROP, x : x + CROP], degraded[y : y + CROP, x : x + CROP]


def degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Degrades a uint8 image as cameras, editors and web pages do, by blur, noise, sharpening and compression."""
    values = image.astype(np.float32)
    if rng.random() < BLUR:
        sigma = rng.uniform(*BLUR_SIGMA) * np.array([1.0, rng.uniform(0.7, 1.0), 0.0])
        values = gaussian_filter(values, sigma)
    if rng.random() < NOISE:
        values = _add_camera_noise(values, rng)
    result = Image.fromarray(np.uint8(np.clip(values, 0, 255).round()))
    if rng.random() < SHARPEN:
        radius, percent = rng.uniform(*SHARPEN_RADIUS), int(rng.integers(*SHARPEN_PERCENT))
        result = result.filter(ImageFilter.UnsharpMask(radius, percent, int(rng.integers(0, 4))))
    kind = rng.choice(list(COMPRESSION), p=list(COMPRESSION.values()))
    if kind == "webp":
        result = _compress(result, rng, "WEBP")
    elif kind != "none":
        result = _compress(result, rng, "JPEG")
    if kind == "jpeg twice":  # the second compression has shifted blocks, as after an edit
        dy, dx = rng.integers(0, 8, 2)
        shifted = np.roll(np.asarray(result), (dy, dx), (0, 1))
        shifted = np.asarray(_compress(Image.fromarray(shifted), rng, "JPEG"))
        result = Image.fromarray(np.roll(shifted, (-dy, -dx), (0, 1)))
    return np.asarray(result)


def _add_camera_noise(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Adds shot noise and read noise, partly correlated between colours, as after demosaicing."""
    sigma = rng.uniform(*NOISE_SIGMA)
    shot = rng.random()  # share of the variance
    level = sigma * np.sqrt(shot * values / 128 + 1 - shot)
    noise = rng.standard_normal(values.shape, np.float32)
    gray = rng.random()
    noise = np.sqrt(1 - gray) * noise + np.sqrt(gray) * rng.standard_normal((*values.shape[:2], 1), np.float32)
    if rng.random() < 0.5:
        width = rng.uniform(0.3, 0.8)
        noise = gaussian_filter(noise, (width, width, 0))
        noise /= noise.std() + 1e-6
    return values + level * noise


def _compress(image: Image.Image, rng: np.random.Generator, kind: str) -> Image.Image:
    file = io.BytesIO()
    options = {"quality": int(rng.integers(*QUALITY, endpoint=True))}
    if kind == "JPEG":
        options["subsampling"] = int(rng.choice([0, 2], p=[0.3, 0.7]))
    image.save(file, kind, **options)
    return Image.open(file).convert("RGB")


def write_teacher_results(pairs: Path, model: str, crops: int | None, precision: str) -> None:
    """Writes `teacher/NAME` for each `degraded/NAME`, or for the first `crops` files."""
    from esrgan_tf.inference.tiles import Upscaler
    from esrgan_tf.runs.loading import load_model

    (pairs / "teacher").mkdir(exist_ok=True)
    missing = _missing(pairs / "degraded", pairs / "teacher", crops)
    if not missing:
        return
    teacher = Upscaler(load_model(model), tile=CROP + 64, precision=precision)
    for name in tqdm(missing, "teacher", unit="crop"):
        _save(Image.fromarray(teacher(read_rgb(pairs / "degraded" / name))), pairs / "teacher" / name)


def write_targets(pairs: Path) -> None:
    """Writes `lr/NAME` and `hr/NAME` for each `teacher/NAME`."""
    for folder in ("lr", "hr"):
        (pairs / folder).mkdir(exist_ok=True)
    missing = _missing(pairs / "teacher", pairs / "hr")
    with ProcessPoolExecutor() as pool:
        for _ in tqdm(pool.map(partial(_write_target, pairs), missing, chunksize=16), "targets", len(missing)):
            pass


def _write_target(pairs: Path, name: str) -> None:
    clean, degraded, teacher = (read_rgb(pairs / folder / name) for folder in ("clean", "degraded", "teacher"))
    result = target(teacher, clean)
    Image.fromarray(degraded[MARGIN:-MARGIN, MARGIN:-MARGIN]).save(pairs / "lr" / name, compress_level=1)
    hr_margin = MARGIN * SCALE
    _save(Image.fromarray(result[hr_margin:-hr_margin, hr_margin:-hr_margin]), pairs / "hr" / name)


def write_truth(photos: Path, pairs: Path) -> None:
    """Writes `lr/truth_NAME` and `hr/truth_NAME` for each photo of at least `LEAST_TRUTH` pixels per side."""
    with ProcessPoolExecutor() as pool:
        work = partial(_write_true_pair, photos, pairs)
        for _ in tqdm(
            pool.map(work, paths := list_images(photos).files, chunksize=8), "truth", len(paths), unit="photo"
        ):
            pass


def _write_true_pair(photos: Path, pairs: Path, path: Path) -> None:
    name = "_".join(path.relative_to(photos).with_suffix("").parts)
    photo, file = Image.fromarray(read_rgb(path)), f"{TRUTH}{name}.png"
    if min(photo.size) < LEAST_TRUTH or (pairs / "hr" / file).exists():
        return
    hr, lr = true_pair(photo, np.random.default_rng([1, zlib.crc32(name.encode())]))
    Image.fromarray(lr).save(pairs / "lr" / file, compress_level=1)
    _save(Image.fromarray(hr), pairs / "hr" / file)


def true_pair(photo: Image.Image, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A crop of a photo, uint8 `[4h, 4w, 3]`, and its downscaled and degraded copy, uint8 `[h, w, 3]`."""
    side = min((CROP - 2 * MARGIN) * SCALE, min(photo.size) // SCALE * SCALE)
    left, top = (int(rng.integers(0, length - side + 1)) for length in photo.size)
    crop = photo.crop((left, top, left + side, top + side))
    clean = np.asarray(crop.resize((side // SCALE, side // SCALE), FILTERS[rng.integers(len(FILTERS))]))
    return np.asarray(crop), clean if rng.random() < CLEAN else degrade(clean, rng)


def target(teacher: np.ndarray, clean: np.ndarray, fine: float = FINE, grain: float = GRAIN) -> np.ndarray:
    """The teacher's result, uint8 `[4h, 4w, 3]`, moved towards the clean LR image, uint8 `[h, w, 3]`.

    The difference between the clean image and the result's downscaled copy is upscaled and added. The coarse part of
    the difference, a drift of brightness and colour, is added completely. The fine part is shrunk by `grain` levels,
    which excludes noise, and multiplied by `fine`. It restores detail that the teacher smoothed or exaggerated.
    """
    values = teacher.astype(np.float32)
    difference = clean - _resized(values, clean.shape[:2])
    coarse = gaussian_filter(difference, (COARSE_SIGMA, COARSE_SIGMA, 0))
    rest = difference - coarse
    rest = np.sign(rest) * np.maximum(np.abs(rest) - grain, 0)
    values += _resized(coarse + fine * rest, values.shape[:2])
    return np.uint8(np.clip(values, 0, 255).round())


def show_targets(picture: Path, model: str) -> None:
    """Draws input, bicubic, teacher, target and ground truth for crops of ten photos, and prints PSNR."""
    import skimage

    from esrgan_tf.inference.tiles import Upscaler
    from esrgan_tf.runs.loading import load_model

    teacher = Upscaler(load_model(model), tile=CROP + 64, precision="auto")
    rows, table = [], []
    for i, (name, (left, top)) in enumerate(SHOWN.items()):
        hr = crop_to_multiple(read_rgb(Path(skimage.__file__).parent / "data" / name), SCALE)
        clean = bicubic(hr, hr.shape[0] // SCALE, hr.shape[1] // SCALE)
        degraded = degrade(clean, np.random.default_rng(i)) if i % 2 else clean
        taught = teacher(degraded)
        images = {
            "input": degraded.repeat(SCALE, axis=0).repeat(SCALE, axis=1),
            "bicubic": bicubic(degraded, *hr.shape[:2]),
            "teacher": taught,
            "target": target(taught, clean),
            "ground truth": hr,
        }
        rows.append([image[top : top + 160, left : left + 160] for image in images.values()])
        scores = [psnr(hr, images[column], border=SCALE) for column in ("bicubic", "teacher", "target")]
        drifts = [
            np.abs((images[column] - hr.astype(float)).mean(axis=(0, 1))).max() for column in ("teacher", "target")
        ]
        table.append([name, "degraded" if i % 2 else "clean", *scores, *drifts])
    halves = [side_by_side(half, list(images), zoom=1) for half in (rows[:5], rows[5:])]
    Image.fromarray(np.concatenate(halves, axis=1)).save(picture, quality=88)
    headers = ["photo", "input", "bicubic, dB", "teacher, dB", "target, dB", "teacher's drift", "target's drift"]
    print(tabulate(table, headers, floatfmt=".2f", tablefmt="github"))


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    channels = [
        Image.fromarray(np.ascontiguousarray(values[..., c])).resize(size[::-1], Image.Resampling.BICUBIC)
        for c in range(values.shape[2])
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def _missing(source: Path, result: Path, first: int | None = None) -> list[str]:
    """The names in `source`, or the first ones if `first` is a number, that are missing in `result`."""
    present = {path.name for path in result.glob("*.png")}
    names = sorted((path.name for path in source.glob("*.png")), key=_order)
    return [name for name in names[:first] if name not in present]


def _order(name: str) -> tuple[int, int]:
    """A sort key: by variant, then by a hash, so that any number of first names covers all photos evenly."""
    variant = name.rsplit("_", 2)[1].removeprefix("v")
    return int(variant), zlib.crc32(name.encode())


def _save(image: Image.Image, path: Path) -> None:
    """Writes the file under a temporary name first, so that an existing file is complete."""
    partial_path = path.with_name(f".{path.name}.partial")
    image.save(partial_path, "PNG", compress_level=1)
    partial_path.rename(path)


if __name__ == "__main__":
    main()
