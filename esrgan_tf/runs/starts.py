"""The starts of a run, as its folder records them. Imports no TensorFlow."""

import contextlib
from pathlib import Path

import yaml

from esrgan_tf.errors import UserError
from esrgan_tf.runs.folder import HISTORY
from esrgan_tf.weights.model_names import find_by_name

# Files in the phase's folder, beside checkpoints: they tell a repeated command from a command for another start.
_RECORDS = {"init_from": "init_from.txt", "discriminator_from": "discriminator_from.txt"}


def append_history(run_dir: Path, facts: dict) -> None:
    """Appends one start to `history.yaml`."""
    with open(run_dir / HISTORY, "a", encoding="utf-8") as file:
        file.write(yaml.safe_dump([facts], sort_keys=False, allow_unicode=True, width=120))


def record_start(folder: Path, flag: str, path: str | None) -> None:
    """Records in the phase's folder the file, or the model's name, that `--flag` starts the phase from."""
    record = folder / _RECORDS[flag]
    if path is None:
        record.unlink(missing_ok=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    record.write_text(f"{_identity(path)}\n", encoding="utf-8", errors="surrogateescape")


def recorded_start(folder: Path, flag: str = "init_from") -> str | None:
    """The file or the model's name that `record_start` recorded; None for none."""
    record = folder / _RECORDS[flag]
    return record.read_text(encoding="utf-8", errors="replace").strip() if record.is_file() else None


def check_same_start(folder: Path, flag: str, path: str) -> None:
    """Lets a repeated command resume and refuses another start, which is another run.

    Raises:
        UserError: the phase was started from something else.
    """
    started = recorded_start(folder, flag)
    if started != _identity(path):
        raise UserError(
            f"--{flag}: phase {folder.name} of {folder.parent} has begun, from {started or 'no file'}; "
            "leave the flag out to go on, or choose another --run_dir"
        )


def _identity(path):
    """A file's absolute path, or a model's name in its own spelling."""
    if not Path(path).exists():
        with contextlib.suppress(UserError):
            return find_by_name(path).name
    return str(Path(path).resolve())
