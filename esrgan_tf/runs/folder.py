"""What stands where in a run's folder, for all who read it or wait for it. Imports no TensorFlow.

D/config.yaml                 the configuration, as resolved
D/history.yaml                every start: when, with which command, versions, devices and configuration
D/<phase>/checkpoints/        ckpt-<step>/, each whole
D/<phase>/metrics.csv         a row for each record
D/<phase>/generator.keras, discriminator.keras, samples/, logs/
"""

import contextlib
import csv
import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from esrgan_tf.config import Config, load_config
from esrgan_tf.errors import UserError
from esrgan_tf.files import NO_LOCKS, file_lock, is_locked

PHASES = ("psnr", "gan")
CHECKPOINT_CONFIG, CHECKPOINT_IMAGES = "config.yaml", "images.txt"
_LOCK = ".lock"


def checkpoint_path(checkpoints: Path, step: int) -> Path:
    """The folder of one checkpoint in a phase's folder `checkpoints`."""
    return checkpoints / f"ckpt-{step}"


def checkpoint_steps(checkpoints: Path) -> list[int]:
    """The steps of the checkpoints in a phase's folder `checkpoints`, oldest first."""
    numbers = (path.name.removeprefix("ckpt-") for path in checkpoints.glob("ckpt-*") if path.is_dir())
    return sorted(int(number) for number in numbers if number.isdecimal())


def checkpoint_config(checkpoints: Path) -> Config | None:
    """The configuration that the newest checkpoint was made with; None where there is none that can be read."""
    for step in reversed(checkpoint_steps(checkpoints)):
        with contextlib.suppress(UserError):  # a damaged checkpoint is told of when it is restored
            return load_config(checkpoint_path(checkpoints, step) / CHECKPOINT_CONFIG)
    return None


def checkpoint_images(checkpoints: Path) -> str | None:
    """The digest of the training images that the newest checkpoint was made with, where that can be read."""
    for step in reversed(checkpoint_steps(checkpoints)):
        path = checkpoint_path(checkpoints, step) / CHECKPOINT_IMAGES
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return None


def read_metrics(phase_folder: Path) -> list[dict[str, str]]:
    """The rows of `metrics.csv`, oldest first, without one that is still being written."""
    path = phase_folder / "metrics.csv"
    if not path.is_file():
        return []
    # A power cut may leave bytes of any kind; their line is then not a whole row.
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    whole = (line for line in lines if line.endswith("\n") and "\0" not in line)
    return [row for row in csv.DictReader(whole) if None not in row and None not in row.values()]


def note_start(run_dir: Path, facts: dict) -> None:
    """Appends one start to `history.yaml`."""
    with open(run_dir / "history.yaml", "a", encoding="utf-8") as file:
        file.write(yaml.safe_dump([facts], sort_keys=False, allow_unicode=True, width=120))


@contextlib.contextmanager
def held(phase_folder: Path) -> Iterator[None]:
    """Holds a phase's folder, made if need be, against a second training; the system lets go when the process ends.

    What was made and stayed empty is removed again.

    Raises:
        UserError: another process holds it.
    """
    made = [folder for folder in (phase_folder, phase_folder.parent) if not folder.exists()]
    for attempt in range(5):
        phase_folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = file_lock(phase_folder / _LOCK, timeout=0.5)  # is_phase_locked() holds it too, for an instant
            lock.acquire()
            break
        except TimeoutError as error:
            raise UserError(
                f"{phase_folder} is being trained in another process; wait for it, stop it, or choose another --run_dir"
            ) from error
        except FileNotFoundError:  # who held it has just removed what it made
            if attempt == 4:
                raise
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            print(f"the disk of {phase_folder} has no locks: see to it that nothing else trains there")
            break
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone, or hold what was trained
            if made and [path.name for path in phase_folder.iterdir()] == [_LOCK]:
                if os.name == "nt":  # where no open file can be deleted
                    lock.release()
                (phase_folder / _LOCK).unlink()
                for folder in made:
                    folder.rmdir()
        lock.release()


def is_phase_locked(phase_folder: Path) -> bool:
    """Whether a process is training in the folder now."""
    return bool(is_locked(phase_folder / _LOCK))
