"""Where training writes how it is doing: `metrics.csv`, TensorBoard, sample pictures, the terminal."""

import csv
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm


class Monitor:
    """Records of one phase, in its folder; a resumed phase continues them."""

    def __init__(self, folder: Path, losses: tuple[str, ...], start: int, steps: int):
        self._samples = folder / "samples"
        self._samples.mkdir(parents=True, exist_ok=True)
        self._columns = ["step", *losses, "learning_rate", "images_per_second", "psnr", "ssim"]
        self._csv = folder / "metrics.csv"
        self._forget_after(start)
        self._summary = tf.summary.create_file_writer(str(folder / "logs"))
        # Without a terminal a bar would fill the log with its frames: then each record is a line instead.
        self._bar = tqdm(total=steps, initial=start, unit="step", desc=folder.name, disable=None, dynamic_ncols=True)
        self._steps = steps

    def advance(self) -> None:
        """One step is done."""
        self._bar.update()

    def record(self, step: int, values: dict[str, float], seconds_left: float) -> None:
        """Values of the columns at `step`, those not measured left out."""
        with open(self._csv, "a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow({"step": step, **values})
        with self._summary.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)
        text = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self._bar.disable:
            left = tqdm.format_interval(seconds_left)
            print(f"step {step}/{self._steps}: {text}, {left} left", file=sys.stderr, flush=True)
        else:
            self._bar.set_postfix_str(text)
            if "psnr" in values:
                self._bar.write(f"step {step}: psnr {values['psnr']:.2f} dB, ssim {values['ssim']:.4f}", sys.stderr)

    def sample(self, step: int, picture: np.ndarray) -> None:
        """A picture, uint8 `[H, W, 3]`."""
        Image.fromarray(picture).save(self._samples / f"step_{step:07d}.png")
        with self._summary.as_default():
            tf.summary.image("low resolution, bicubic, ours, truth", picture[None], step=step)

    def close(self) -> None:
        self._bar.close()
        self._summary.close()

    def _forget_after(self, start):
        """Drops rows of steps that are about to be repeated."""
        rows = []
        if self._csv.is_file():
            with open(self._csv, newline="") as file:
                # A line that a crash tore in two has no whole number of columns; the records before it are kept.
                whole = (
                    row for row in csv.DictReader(file) if set(row) == set(self._columns) and None not in row.values()
                )
                rows = [row for row in whole if row["step"].isdigit() and int(row["step"]) <= start]
        temporary = self._csv.with_suffix(".tmp")
        with open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(self._csv)
