"""Kills training repeatedly at random steps, and compares its result with that of an uninterrupted run.

    python -m benchmarks.kills [--kills N] [--seed S]

The program kills processes by SIGKILL in both phases, every third time during the writing of a checkpoint. Losses and
all variables of the last checkpoint must be equal, bit for bit.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from esrgan_tf.runs.folder import checkpoint_path, checkpoint_steps, read_metrics

TIMES = ("images_per_second", "seconds")  # columns that depend on the machine's speed


def random_moments(steps: int, kills: int, seed: int) -> list[tuple[int, bool]]:
    """The steps at which to kill a phase of `steps` steps, and whether to wait for a checkpoint (every third time)."""
    targets = np.random.default_rng(seed).integers(1, steps - 1, kills)
    return [(int(target), number % 3 == 2) for number, target in enumerate(sorted(targets))]


def train_and_kill(start: Callable, phase_folder: Path, moments: Sequence[tuple[int, bool]], seed: int) -> int:
    """Trains a phase to its end despite kills; returns the number of kills that interrupted a checkpoint.

    Args:
        start: starts the training process and returns a `subprocess.Popen`.
        phase_folder: the folder of the phase.
        moments: the step of each kill, and whether to kill after it while a checkpoint is being written.
        seed: for the delays before kills.
    """
    rng = np.random.default_rng(seed)
    interrupted = 0
    for number, (target, inside) in enumerate(moments, 1):
        process = start()

        def wait_until(reached, seconds, process=process, number=number):
            while not reached():
                if process.poll() is not None:
                    raise RuntimeError(f"training ended with status {process.poll()} before kill {number}")
                time.sleep(seconds)

        wait_until(lambda target=target: last_step(phase_folder) >= target, 0.01)
        if inside:
            wait_until(lambda: staging(phase_folder), 0.0005)
        else:
            time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.wait()
        interrupted += bool(staging(phase_folder))
    process = start()
    if process.wait() != 0:
        raise RuntimeError(f"the last training ended with status {process.wait()}")
    return interrupted


def last_step(phase_folder):
    """The step of the last record; a resumed run first deletes the records of steps that it repeats."""
    rows = read_metrics(phase_folder)
    return int(rows[-1]["step"]) if rows else 0


def staging(phase_folder):
    return list((phase_folder / "checkpoints").glob(".*ckpt-*"))


def differences(one: Path, other: Path) -> list[str]:
    """The names of differences between two folders of a phase: `metrics.csv`, and variables of the last checkpoint."""
    import tensorflow as tf

    found = []
    rows = [
        [{k: v for k, v in row.items() if k not in TIMES} for row in read_metrics(folder)] for folder in (one, other)
    ]
    if rows[0] != rows[1]:
        found.append("metrics.csv")
    readers = []
    for folder in (one, other):
        newest = checkpoint_steps(folder / "checkpoints")[-1]
        readers.append(tf.train.load_checkpoint(str(checkpoint_path(folder / "checkpoints", newest) / "state")))
    names = [set(reader.get_variable_to_shape_map()) for reader in readers]
    found += sorted(names[0] ^ names[1])
    for name in sorted(names[0] & names[1]):
        a, b = (reader.get_tensor(name) for reader in readers)
        if np.asarray(a).tobytes() != np.asarray(b).tobytes():
            found.append(name)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    steps = {"psnr": 600, "gan": 300}
    settings = [
        *("data.source=synthetic", "data.hr_patch=32", "data.batch_size=4", "generator.filters=8"),
        *("generator.growth=4", "generator.blocks=1", "discriminator.filters=4", "gan.perceptual_weight=0"),
        *("runtime.log_every=1", "runtime.validate_every=100000", "runtime.checkpoint_every=7"),
        *(f"{phase}.steps={count}" for phase, count in steps.items()),
    ]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        sets = [f"--set={setting}" for setting in (*settings, f"data.cache_dir={folder / 'cache'}")]
        for phase, count in steps.items():

            def start(run, phase=phase):
                command = [sys.executable, "train.py", "--phase", phase, "--run_dir", str(folder / run), *sets]
                with open(folder / "log.txt", "a", encoding="utf-8") as log:
                    return subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=log, stderr=log)

            if start("uninterrupted").wait() != 0:
                raise SystemExit((folder / "log.txt").read_text())
            kills = arguments.kills // 2
            moments = random_moments(count, kills, arguments.seed)
            inside = train_and_kill(lambda s=start: s("killed"), folder / "killed" / phase, moments, arguments.seed)
            found = differences(folder / "uninterrupted" / phase, folder / "killed" / phase) or "none"
            print(f"{phase}: {count} steps, {kills} kills ({inside} during a checkpoint), differences: {found}")


if __name__ == "__main__":
    main()
