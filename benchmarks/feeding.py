"""How many degraded batches a second the CPU makes for a device: by threads ahead of it, or within each step.

    python -m benchmarks.feeding [--batches N]

Batches are 16 patches of 256x256 pixels from photos, degraded in two rounds (configs/real_esrgan.yaml). Both ways run
the same compiled operations on the same recipes, alternately, in one process; medians. Within a step they stand before
its other operations (here there are none), and a device waits for them; threads work while it computes. Nothing else
should be running.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import skimage.data
import tensorflow as tf

from benchmarks.training import MemoryStore
from esrgan_tf.config import load_config
from esrgan_tf.data import Degradation, Patches
from esrgan_tf.data.degradations import degrade
from esrgan_tf.data.recipes import draw_recipe
from esrgan_tf.images.training_images import bicubic, crop_to_multiple

BATCH, PATCH, SCALE = 16, 256, 4
ROUNDS = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=12, help="timed batches a round")
    count = parser.parse_args().batches
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
            degrade(hr, recipes, SCALE)
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
