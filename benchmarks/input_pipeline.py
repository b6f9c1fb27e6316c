"""Degraded batches per second on the CPU: in threads ahead of the device, or within each step.

    python -m benchmarks.input_pipeline [--batches N] [--cache N]

Batches are 16 patches of 256x256 pixels from photos, degraded in two rounds (configs/real_esrgan.yaml). Both ways run
the same compiled operations on the same recipes, alternately, in one process; the results are medians. Within a step,
the device waits for the operations. In threads, they run while the device computes; this benchmark has no such work. A
second table lists the time per operation for a single image. With `--cache`, the benchmark instead measures the time to
convert N PNG files of 2040x1356 pixels to training's cache. Run the benchmark on an idle machine.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import skimage.data
import tensorflow as tf
from PIL import Image

from benchmarks.training import MemoryStore
from esrgan_tf.config import load_config
from esrgan_tf.data import Patches
from esrgan_tf.data.cache import open_store
from esrgan_tf.data.degradation_recipes import draw_recipe
from esrgan_tf.data.degradations import Degradation, apply_recipes, compressed
from esrgan_tf.data.folder import folder_source
from esrgan_tf.imaging.filters import blur, unsharp_mask
from esrgan_tf.imaging.resampling import bicubic, crop_to_multiple

BATCH, PATCH, SCALE = 16, 256, 4
ROUNDS = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=12, help="timed batches a round")
    parser.add_argument("--cache", type=int, help="images")
    arguments = parser.parse_args()
    if arguments.cache:
        time_cache(arguments.cache)
    else:
        time_batches(arguments.batches)
        time_parts()


def time_cache(count):
    """The files are of 20 views of photos, so that they are read as fast as other photos are."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "hr").mkdir()
        photos = [
            Image.fromarray(getattr(skimage.data, name)()) for name in ("astronaut", "coffee", "rocket", "chelsea")
        ]
        for i, photo in enumerate(photos * 5):
            view = photo.crop((8 * (i // 4), 0, photo.width, photo.height)).resize(
                (2040, 1356), Image.Resampling.BICUBIC
            )
            view.save(folder / "hr" / f"{i:04}.png")
        for i in range(20, count):
            (folder / "hr" / f"{i:04}.png").hardlink_to(folder / "hr" / f"{i % 20:04}.png")
        began = time.perf_counter(), time.process_time()
        open_store(folder_source(str(folder / "hr"), None, SCALE), folder / "cache")
        wall, cores = time.perf_counter() - began[0], time.process_time() - began[1]
    print(f"{count} images: {wall:.1f} seconds, {cores / wall:.2f} cores busy, {os.cpu_count()} there")


def time_parts():
    """Measures each compiled operation alone on all cores, for an image of the size of a patch with its margin."""
    side = PATCH + load_config(None, ["degradation.kind=second_order"]).degradation.margin
    x = tf.constant(skimage.data.astronaut()[:side, :side] / 255, tf.float32)
    kernel = tf.constant(np.outer(np.hanning(23)[1:-1], np.hanning(23)[1:-1]) / 100, tf.float32)
    low = tf.image.resize(x, (side // 2, side // 2))
    parts = {
        "sharpening": lambda: unsharp_mask(x[None]),
        "a filter of 21x21": lambda: blur(x[None], kernel),
        "a resize to half, bicubic": lambda: tf.image.resize(x, (side // 2, side // 2), "bicubic"),
        "Gaussian noise, at half the size": lambda: low + tf.random.stateless_normal(low.shape, (0, 1)),
        "noise of light, at half the size": lambda: tf.random.stateless_poisson(
            low.shape, (0, 1), 256 * low, tf.float32
        ),
        "JPEG, at half the size": lambda: compressed(low, tf.constant(60)),
    }
    print(f"\n| of one image of {side}x{side} | ms |\n| --- | --- |")
    for name, part in parts.items():
        function, taken = tf.function(part, autograph=False), []
        for _ in range(40):
            began = time.perf_counter()
            function()
            taken.append(time.perf_counter() - began)
        print(f"| {name} | {1000 * np.median(taken[10:]):.1f} |")


def time_batches(count):
    config = load_config(None, ["degradation.kind=second_order"])
    photos = [crop_to_multiple(getattr(skimage.data, name)(), SCALE) for name in ("astronaut", "coffee", "rocket")]
    store = MemoryStore([bicubic(hr, hr.shape[0] // SCALE, hr.shape[1] // SCALE) for hr in photos], photos)
    margin = config.degradation.margin
    plain = Patches(store, SCALE, PATCH + margin, BATCH, 0)
    made = Patches(store, SCALE, PATCH, BATCH, 0, Degradation(config), margin)

    seconds = {"threads, ahead of the step": [], "within each step": [], "cut only, not degraded": []}
    for round_number in range(ROUNDS + 1):
        steps = range(round_number * count, (round_number + 1) * count)
        began = time.perf_counter()
        for _ in made.batches(steps.start, steps.stop):
            pass
        took = [time.perf_counter() - began]
        began = time.perf_counter()
        for step, (_, hr) in zip(steps, plain.batches(steps.start, steps.stop), strict=True):
            recipes = [draw_recipe(config, np.random.default_rng((0, step, 1 + b))) for b in range(BATCH)]
            apply_recipes(hr, recipes, SCALE)
        took.append(time.perf_counter() - began)
        began = time.perf_counter()
        for _ in plain.batches(steps.start, steps.stop):
            pass
        took.append(time.perf_counter() - began)
        if round_number:  # the first traces
            for rows, value in zip(seconds.values(), took, strict=True):
                rows.append(value / count)
    print(f"TensorFlow {tf.__version__}, {os.cpu_count()} cores\n")
    print("| batches of 16 of 256x256 | a second | patches a second |")
    print("| --- | --- | --- |")
    for way, values in seconds.items():
        rate = 1 / np.median(values)
        print(f"| {way} | {rate:.2f} | {BATCH * rate:.0f} |")


if __name__ == "__main__":
    main()
