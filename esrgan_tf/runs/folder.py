"""The files of a run folder D. Imports no TensorFlow.

- `D/config.yaml`: the resolved configuration
- `D/history.yaml`: time, command, versions, devices and configuration of every start
- `D/<phase>/checkpoints/`: complete checkpoints `ckpt-<step>/`
- `D/<phase>/metrics.csv`: a row per record
- `D/<phase>/generator.keras`, `discriminator.keras`, `samples/`, `logs/`
"""

import contextlib
import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from esrgan_tf.config import Config, load_config
from esrgan_tf.errors import UserError, as_typed
from esrgan_tf.files import NO_LOCKS, file_lock, is_locked

PHASES = ("psnr", "gan")
CONFIG, HISTORY = "config.yaml", "history.yaml"  # in the run folder
GENERATOR, DISCRIMINATOR, METRICS = "generator.keras", "discriminator.keras", "metrics.csv"  # in each phase's folder
NETWORK_FILES = (CONFIG, *(f"{phase}/{GENERATOR}" for phase in PHASES))  # in the run folder, read by `load_model`
CHECKPOINT_CONFIG, CHECKPOINT_IMAGES = "config.yaml", "images.txt"
_RENAMED_COLUMNS = {"grid": "checkerboard"}  # columns of metrics.csv in version 0.1.0
_LOCK = ".lock"


def is_run(path: Path) -> bool:
    """Whether the path is a run folder."""
    return path.is_dir() and (path / CONFIG).is_file()


def run_config(run_dir: Path) -> Config | None:
    """The run's configuration; None before a new run has written it."""
    return load_config(run_dir / CONFIG) if (run_dir / CONFIG).is_file() else None


def generator_path(run_dir: Path, phase: str) -> Path:
    """The file of a phase's generator, an EMA of its weights."""
    return run_dir / phase / GENERATOR


def saved_generators(run_dir: Path) -> dict[str, Path]:
    """`{phase: generator}` of the phases that have saved a generator."""
    paths = {phase: generator_path(run_dir, phase) for phase in PHASES}
    return {phase: path for phase, path in paths.items() if path.is_file()}


def network_paths(path: Path) -> list[Path]:
    """The generators at a path: the files of a run's phases, a single file, or a SavedModel folder.

    Raises:
        UserError: a run without a generator, or a folder that is neither a run nor a SavedModel.
    """
    if is_run(path):
        saved = saved_generators(path)
        if not saved:
            first = as_typed("train", "--phase", "psnr", "--run_dir", path)
            raise UserError(f"{path} has no generator yet; first run {first}")
        return list(saved.values())
    if path.is_dir() and not (path / "saved_model.pb").is_file():
        raise UserError(f"{path} holds neither a SavedModel (saved_model.pb) nor a run (config.yaml)")
    return [path]


def exported_generators(run_dir: Path, alpha: float) -> dict[str, Path]:
    """`{phase: generator}` of the phases that the interpolation `alpha` needs: both, or one for 0 and 1.

    Raises:
        UserError: a phase has no generator yet.
    """
    phases = ["psnr"] * (alpha < 1) + ["gan"] * (alpha > 0)
    saved = saved_generators(run_dir)
    for phase in phases:
        if phase not in saved:
            other, number = ("PSNR", 0) if phase == "gan" else ("GAN", 1)
            first = as_typed("train", "--phase", phase, "--run_dir", run_dir)
            raise UserError(
                f"{generator_path(run_dir, phase)} does not exist; first run {first}, or export only the {other} "
                f"network with --alpha {number}"
            )
    return {phase: saved[phase] for phase in phases}


def checkpoint_path(checkpoints: Path, step: int) -> Path:
    """The folder of one checkpoint in a phase's folder `checkpoints`."""
    return checkpoints / f"ckpt-{step}"


def checkpoint_steps(checkpoints: Path) -> list[int]:
    """The steps of the checkpoints in a phase's folder `checkpoints`, oldest first."""
    numbers = (path.name.removeprefix("ckpt-") for path in checkpoints.glob("ckpt-*") if path.is_dir())
    return sorted(int(number) for number in numbers if number.isdecimal())


def checkpoint_config(checkpoints: Path) -> Config | None:
    """The configuration of the newest readable checkpoint; None without such a checkpoint."""
    for step in reversed(checkpoint_steps(checkpoints)):
        with contextlib.suppress(UserError):  # restoring reports a damaged checkpoint
            return load_config(checkpoint_path(checkpoints, step) / CHECKPOINT_CONFIG)
    return None


def checkpoint_images(checkpoints: Path) -> str | None:
    """The digest of the training images of the newest checkpoint with a digest; None without a digest."""
    for step in reversed(checkpoint_steps(checkpoints)):
        path = checkpoint_path(checkpoints, step) / CHECKPOINT_IMAGES
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return None


def read_metrics(phase_folder: Path) -> list[dict[str, str]]:
    """The complete rows of `metrics.csv`, oldest first."""
    path = phase_folder / METRICS
    if not path.is_file():
        return []
    # A power cut may leave arbitrary bytes, which form no complete row.
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    whole = (line for line in lines if line.endswith("\n") and "\0" not in line)
    rows = (row for row in csv.DictReader(whole) if None not in row and None not in row.values())
    return [{_RENAMED_COLUMNS.get(name, name): value for name, value in row.items()} for row in rows]


@contextlib.contextmanager
def lock_phase(phase_folder: Path, say: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Creates and locks a phase's folder against a second training. The lock ends with the process.

    Folders that were created and stayed empty are removed.

    Raises:
        UserError: another process has the lock.
    """
    created = [folder for folder in (phase_folder, phase_folder.parent) if not folder.exists()]
    for attempt in range(5):
        phase_folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = file_lock(phase_folder / _LOCK, timeout=0.5)  # `is_phase_locked` takes the lock for an instant
            lock.acquire()
            break
        except TimeoutError as error:
            raise UserError(
                f"{phase_folder} is being trained in another process; wait for it, stop it, or choose another --run_dir"
            ) from error
        except FileNotFoundError:  # the other process has just removed the empty folder
            if attempt == 4:
                raise
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            say(f"the disk of {phase_folder} has no file locks; make sure that no other process trains there")
            break
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder may be missing, or hold a training
            if created and [path.name for path in phase_folder.iterdir()] == [_LOCK]:
                if os.name == "nt":  # Windows cannot delete open files
                    lock.release()
                (phase_folder / _LOCK).unlink()
                for folder in created:
                    folder.rmdir()
        lock.release()


def is_phase_locked(phase_folder: Path) -> bool:
    """Whether a process is training in the folder now."""
    return bool(is_locked(phase_folder / _LOCK))
