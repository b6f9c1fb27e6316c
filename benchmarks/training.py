"""Seconds per training step of each phase, and patches per second of the cropping of batches.

    python -m benchmarks.training [--steps N] [--vgg19 WEIGHTS.h5]

The program prints a table of medians, in one process, on all devices that TensorFlow detects. With VGG19's weights the
table has only phase `gan` of the full networks with the perceptual loss. Run nothing else on the machine meanwhile.
"""

import argparse
import os
import time
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from esrgan_tf.config import Config
from esrgan_tf.data import Patches
from esrgan_tf.models.rrdb.options import RRDB
from esrgan_tf.training.building import build_phase
from esrgan_tf.training.train_step import TrainStep

SMALL = {"filters": 32, "blocks": 3, "growth": 32}  # configs/small.yaml
NARROW = {"filters": 32, "blocks": 5, "growth": 16}
CASES = [  # name, phase (gan without VGG19), generator, batch, patch, precision
    ("small", "psnr", SMALL, 8, 96, "float32"),
    ("small", "gan", SMALL, 8, 96, "float32"),
    ("narrow", "psnr", NARROW, 16, 128, "float32"),
    ("narrow", "psnr", NARROW, 16, 128, "mixed_bfloat16"),
    ("full", "psnr", {}, 4, 128, "float32"),
]
WITH_VGG19 = ("full", "gan", {}, 4, 128, "float32")


class MemoryStore:
    """Pairs of images in memory, with the interface of `esrgan_tf.data.ImageStore`."""

    def __init__(self, lr: list[np.ndarray], hr: list[np.ndarray]):
        self._lr, self._hr = lr, hr
        self.names = [str(i) for i in range(len(hr))]

    def __len__(self):
        return len(self.names)

    def lr(self, i, rows=slice(None)):
        return self._lr[i][rows]

    def hr(self, i, rows=slice(None)):
        return self._hr[i][rows]

    def lr_size(self, i):
        return self._lr[i].shape[:2]

    def hr_size(self, i):
        return self._hr[i].shape[:2]


def noise():
    """Images of noise in DIV2K's size."""
    rng = np.random.default_rng(0)
    sizes = ((340, 510, 3), (1360, 2040, 3))
    return MemoryStore(*([rng.integers(0, 256, size, dtype=np.uint8) for _ in range(8)] for size in sizes))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=15, help="timed steps per row")
    parser.add_argument("--vgg19", help="weights of Keras' VGG19 without its top layers (notop)")
    arguments = parser.parse_args()
    steps, vgg19 = arguments.steps, arguments.vgg19
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, {os.cpu_count()} cores, devices: {devices()}\n")
    print("| generator | phase | batch | precision | seconds per step | patches per second |")
    print("| --- | --- | --- | --- | --- | --- |")
    store = noise()
    for name, phase, sizes, batch_size, hr_patch, precision in [WITH_VGG19] if vgg19 else CASES:
        seconds = step_seconds(phase, sizes, Patches(store, 4, hr_patch, batch_size, 0), precision, steps, vgg19)
        batch = f"{batch_size} of {hr_patch}x{hr_patch}"
        print(f"| {name} | {phase} | {batch} | {precision} | {seconds:.3f} | {batch_size / seconds:.1f} |", flush=True)
    began = time.monotonic()
    for _ in Patches(store, 4, 128, 16, 0).batches(0, 500):
        pass
    print(f"\ncropping alone, batches of 16 of 128x128: {500 * 16 / (time.monotonic() - began):.0f} patches per second")


def devices():
    return ", ".join(device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices())


def step_seconds(phase, sizes, patches, precision, steps, vgg19=None):
    config = Config(generator=RRDB(**sizes))
    config = replace(
        config,
        data=replace(config.data, hr_patch=patches.hr_patch),
        gan=replace(config.gan, **({"vgg_weights": vgg19} if vgg19 else {"perceptual_weight": 0.0})),
        runtime=replace(config.runtime, precision=precision),
    )
    strategy = tf.distribute.MirroredStrategy()
    with strategy.scope():
        train_step = TrainStep(build_phase(phase, config), strategy, config.runtime)

    seconds = []
    for i, (lr, hr) in enumerate(patches.batches(0, steps + 3)):
        began = time.monotonic()
        train_step(tf.constant(lr), tf.constant(hr), tf.constant(0.0)).numpy()  # waits for the device
        if i >= 3:  # the first steps include tracing and the choice of kernels
            seconds.append(time.monotonic() - began)
    return float(np.median(seconds))


if __name__ == "__main__":
    main()
