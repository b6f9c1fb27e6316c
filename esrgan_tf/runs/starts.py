"""Records of a run's starts in its folder. Imports no TensorFlow."""

import contextlib
from pathlib import Path

import yaml

from esrgan_tf.errors import UserError
from esrgan_tf.runs.folder import HISTORY
from esrgan_tf.weights.model_names import find_by_name

# Files in the phase's folder that distinguish a repeated command from a command with other initial networks.
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
    record.write_text(f"{_canonical_name(path)}\n", encoding="utf-8", errors="surrogateescape")


def recorded_start(folder: Path, flag: str = "init_from") -> str | None:
    """The file or the model's name that `record_start` recorded; None without a record."""
    record = folder / _RECORDS[flag]
    return record.read_text(encoding="utf-8", errors="replace").strip() if record.is_file() else None


def check_same_start(folder: Path, flag: str, path: str) -> None:
    """Accepts a repeated command and refuses another initial network, which needs another run.

    Raises:
        UserError: the phase started from another file.
    """
    started = recorded_start(folder, flag)
    if started != _canonical_name(path):
        raise UserError(
            f"--{flag}: phase {folder.name} of {folder.parent} has started from {started or 'no file'}; "
            "remove the flag to resume, or choose another --run_dir"
        )


def _canonical_name(path):
    """A file's absolute path, or a model's name in its canonical spelling."""
    if not Path(path).exists():
        with contextlib.suppress(UserError):
            return find_by_name(path).name
    return str(Path(path).resolve())
