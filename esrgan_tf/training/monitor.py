"""Records of a training: `metrics.csv`, TensorBoard, sample pictures, lines on the terminal."""

import contextlib
import csv
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from esrgan_tf.files import flush, replacing
from esrgan_tf.runs.folder import METRICS, read_metrics

_STEPS_TIMED = 5  # after the first step, which compiles
_DAY = 86_400


def warn_of_duration(phase: str, steps: int, seconds: float) -> str | None:
    """A warning if `steps` of `seconds` each take over a day; otherwise None."""
    days = steps * seconds / _DAY
    if days <= 1:
        return None
    time_left = f"{days / 365:.1f} years" if days >= 365 else f"{days:.1f} days"
    return (
        f"note: without a GPU the {steps:,} steps left take about {time_left}, at {seconds:.1f} s per step; for a "
        "smaller network choose --config configs/small.yaml or --config configs/bundled_faithful.yaml and another "
        f"--run_dir, for fewer steps --set {phase}.steps=…"
    )


class Monitor:
    """Records of one phase, in its folder; a resumed phase continues them."""

    def __init__(self, folder: Path, columns: tuple[str, ...], start: int, steps: int, without_gpu: bool = False):
        """`without_gpu` enables a warning of a training that takes days."""
        self._samples = folder / "samples"
        self._samples.mkdir(parents=True, exist_ok=True)
        self._columns = ["step", *columns, "skipped", "learning_rate", "images_per_second", "psnr", "ssim", "seconds"]
        self._csv = folder / METRICS
        self._seconds_before = self._drop_rows_after(start)
        self._start = time.monotonic()
        self._summary = tf.summary.create_file_writer(str(folder / "logs"))
        # Without a terminal each record is a line, as a bar would fill the log with frames.
        self._bar = tqdm(total=steps, initial=start, unit="step", desc=folder.name, disable=None, dynamic_ncols=True)
        self._steps, self._without_gpu = steps, without_gpu
        self._first: tuple[int, float] | None = None  # number and time of the first step, after TensorFlow's start

    def advance(self, step: int) -> None:
        """Counts a finished step."""
        self._bar.update()
        if self._first is None:
            self._first = step, time.monotonic() - self._start
        elif self._without_gpu and step == self._first[0] + _STEPS_TIMED:
            seconds = (time.monotonic() - self._start - self._first[1]) / _STEPS_TIMED
            warning = warn_of_duration(self._csv.parent.name, self._steps - step, seconds)
            if warning:
                self.say(warning)

    def record(self, step: int, values: dict[str, float]) -> None:
        """Writes the measured columns at `step`, and the `seconds` of all starts together."""
        elapsed = time.monotonic() - self._start
        row = {"step": step, **values, "seconds": round(self._seconds_before + elapsed, 1)}
        with open(self._csv, "a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(row)
        with self._summary.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)
        text = ", ".join(f"{name} {value:.4g}" for name, value in values.items() if name != "skipped" or value)
        if self._bar.disable:
            self.say(f"step {step}/{self._steps}: {text}{self._format_time_left(step, elapsed)}")
        else:
            self._bar.set_postfix_str(text)
            if "psnr" in values:
                self.say(f"step {step}: psnr {values['psnr']:.2f} dB, ssim {values['ssim']:.4f}")

    def _format_time_left(self, step, elapsed):
        if self._first is None or step == self._first[0]:
            return ""
        first, then = self._first
        return f", {tqdm.format_interval((elapsed - then) / (step - first) * (self._steps - step))} left"

    def say(self, text: str) -> None:
        """Prints a line on standard error, above the bar."""
        with contextlib.suppress(OSError):  # a closed pipe must not end the training
            tqdm.write(text, sys.stderr)
            sys.stderr.flush()

    def sample(self, step: int, picture: np.ndarray) -> None:
        """Saves a picture, uint8 `[H, W, 3]`."""
        path = self._samples / f"step_{step:07d}.png"
        with replacing(path) as staging:
            Image.fromarray(picture).save(staging)
        with self._summary.as_default():
            tf.summary.image("LR, bicubic, SR, HR", picture[None], step=step)

    def flush(self) -> None:
        """Writes all records to the disk."""
        self._summary.flush()
        flush(self._csv)

    def close(self) -> None:
        self._bar.close()
        self._summary.close()

    def _drop_rows_after(self, start):
        """Drops rows after `start`, as their steps are repeated. Returns the seconds of the last remaining row."""
        rows = [row for row in read_metrics(self._csv.parent) if row.get("step", "").isdecimal()]
        rows = [{name: row.get(name, "") for name in self._columns} for row in rows if int(row["step"]) <= start]
        with replacing(self._csv) as staging, open(staging, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        return float(rows[-1]["seconds"] or 0) if rows else 0.0
