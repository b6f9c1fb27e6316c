"""Costs of safety in training: checked steps, deterministic operations, records and checkpoints.

    python benchmarks/safety.py [--steps N] [--full]

The program prints a table of medians, on all devices that TensorFlow detects. A plain step applies Keras' optimizer to
the tape's gradients. Plain steps and this package's steps run in turns in one process. Deterministic operations are
measured in further processes, also in turns. `--full` selects the generator of config.yaml instead of
configs/small.yaml. Run nothing else on the machine meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from esrgan_tf.config import Config
from esrgan_tf.models.rrdb.options import RRDB
from esrgan_tf.training.building import build_phase
from esrgan_tf.training.checkpoints import Checkpoints, save_model
from esrgan_tf.training.monitor import Monitor
from esrgan_tf.training.train_step import TrainStep

SIZES = {"small": ({"filters": 32, "blocks": 3, "growth": 32}, 8, 96), "full": ({}, 4, 128)}
ROUNDS = 2  # pairs of processes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=15, help="timed steps of each kind")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--child", choices=["plain", "deterministic"], help=argparse.SUPPRESS)
    parser.add_argument("--phase", choices=["psnr", "gan"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        if arguments.child == "deterministic":
            tf.config.experimental.enable_op_determinism()
        print(json.dumps(measure(arguments.phase, "full" if arguments.full else "small", arguments.steps)))
        return
    runtime = Config().runtime
    print("| phase | plain step | our step | deterministic operations | record | checkpoint | total at the defaults |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for phase in ("psnr", "gan"):
        found = {"plain": [], "deterministic": []}
        for _ in range(ROUNDS):
            for kind in found:
                command = [sys.executable, __file__, "--child", kind, "--phase", phase, "--steps", str(arguments.steps)]
                command += ["--full"] if arguments.full else []
                result = subprocess.run(command, capture_output=True, text=True)
                if result.returncode:
                    raise SystemExit(result.stderr)
                found[kind].append(json.loads(result.stdout.splitlines()[-1]))
        plain, deterministic = ({key: np.median([f[key] for f in found[k]]) for key in found[k][0]} for k in found)
        step = plain["ours"]
        per_step = plain["record"] / runtime.log_every + plain["checkpoint"] / runtime.checkpoint_every
        print(
            f"| {phase} | {plain['plain']:.3f} s | {percent(step, plain['plain'])} | "
            f"{percent(deterministic['ours'], step)} | {plain['record']:.3f} s | {plain['checkpoint']:.2f} s | "
            f"{percent(step + per_step, plain['plain'])} |",
            flush=True,
        )


def percent(new, old):
    return f"{100 * (new / old - 1):+.1f} %"


def measure(phase_name, size, steps):
    """Median seconds of a plain step, of our step, of a record, and of a checkpoint with `generator.keras`."""
    keras.utils.set_random_seed(0)
    sizes, batch_size, patch = SIZES[size]
    strategy = tf.distribute.MirroredStrategy()
    config = Config(generator=RRDB(**sizes))
    data, gan = replace(config.data, hr_patch=patch), replace(config.gan, perceptual_weight=0.0)
    config = replace(config, data=data, gan=gan)
    with strategy.scope():
        ours, plain = (build_phase(phase_name, config) for _ in range(2))
    train_step = TrainStep(ours, strategy, config.runtime)
    jit = any("GPU" in device for device in strategy.extended.worker_devices)

    def replica_step(lr, hr):
        _, gradients = plain.step(tf.cast(lr, tf.float32) / 255.0, tf.cast(hr, tf.float32) / 255.0, 1.0)
        for name, (network, optimizer) in plain.step.trained.items():
            optimizer.apply(gradients[name], network.trainable_variables)
        for average, v in zip(plain.average.weights, plain.generator.weights, strict=True):
            average.assign(0.999 * average + 0.001 * v)
        return tf.zeros(())

    plain_step = tf.function(lambda lr, hr: strategy.run(replica_step, args=(lr, hr)), jit_compile=jit)
    rng = np.random.default_rng(0)
    lr, hr = (tf.constant(rng.integers(0, 256, (batch_size, side, side, 3)), tf.uint8) for side in (patch // 4, patch))
    stop = tf.constant(0.0)
    seconds = {"plain": [], "ours": []}
    for i in range(steps + 3):
        for name, step in (("plain", lambda: plain_step(lr, hr)), ("ours", lambda: train_step(lr, hr, stop))):
            began = time.monotonic()
            step().numpy()  # waits for the device
            if i >= 3:  # the first steps include tracing and the choice of kernels
                seconds[name].append(time.monotonic() - began)
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "checkpoints").mkdir()
        monitor = Monitor(folder, train_step.columns, 0, 1000)
        monitor.advance(0)
        checkpoints = Checkpoints(folder / "checkpoints", train_step.state(), config, "", 3)
        times = {"record": [], "checkpoint": []}
        for i in range(1, 6):
            began = time.monotonic()
            rate = train_step.learning_rate()
            monitor.record(i, dict.fromkeys(train_step.columns, 0.1) | {"skipped": 0, "learning_rate": rate})
            times["record"].append(time.monotonic() - began)
            train_step.step.assign(i)
            began = time.monotonic()
            checkpoints.check_finite()
            monitor.flush()
            save_model(ours.average, folder / "generator.keras")
            checkpoints.save()
            times["checkpoint"].append(time.monotonic() - began)
        monitor.close()
    return medians | {name: float(np.median(values)) for name, values in times.items()}


if __name__ == "__main__":
    main()
