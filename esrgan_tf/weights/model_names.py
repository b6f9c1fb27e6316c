"""Resolution of a model's name to its file. Imports no TensorFlow."""

import difflib
import sys
from collections.abc import Callable
from pathlib import Path

from esrgan_tf.errors import UserError
from esrgan_tf.file_kinds import check_weights
from esrgan_tf.weights.bundled import Bundled, bundled_models
from esrgan_tf.weights.downloadable import Downloadable, downloadable_models, fetch, find_downloadable, models_folder


def report(line: str) -> None:
    """Prints a line on standard error, since results may go to standard output."""
    print(f"esrgan-tf: {line}", file=sys.stderr, flush=True)


def find_model(name: str | Path, models_dir: str | Path | None = None, say: Callable[[str], None] = report) -> Path:
    """The file or folder of a model: an existing path, else a bundled model, else a downloadable model.

    A downloadable model is downloaded at its first use, and its file is checked at each use. For other files the first
    bytes are checked.

    Args:
        models_dir: the folder of downloaded models; by default `$ESRGAN_TF_MODELS`, or else the user's cache.
        say: is called with lines on a download; by default they are printed on standard error.

    Raises:
        UserError: no model has the name, the model cannot be downloaded or read, or the file is no weights file.
    """
    found = _resolve(name)
    if isinstance(found, Downloadable):
        return fetch(found, models_folder(models_dir), say)
    if found.is_file():
        check_weights(found)
    return found


def path_of_model(name: str | Path, models_dir: str | Path | None = None) -> Path:
    """The path that `find_model` returns, without a download or a check.

    Raises:
        UserError: no file, folder or model has the name.
    """
    found = _resolve(name)
    return models_folder(models_dir) / found.file if isinstance(found, Downloadable) else found


def scale_of(name: str) -> int | None:
    """The scale of a bundled or downloadable model; None for a file, a folder or an unknown name."""
    found = None if Path(name).exists() else _by_name(name)
    return None if found is None else found.scale


def find_by_name(name: str) -> Bundled | Downloadable:
    """The bundled or downloadable model `name`, in upper or lower case; files of this name are ignored.

    Raises:
        UserError: no model has the name; the message has the nearest names.
    """
    found = _by_name(name)
    if found is None:
        raise UserError(f"no model {name}{_nearest(name)}")
    return found


def _resolve(name) -> Path | Downloadable:
    if str(name) and Path(name).exists():
        return Path(name)
    found = _by_name(str(name))
    if found is None:
        raise UserError(f"no file or folder {name}, and no model of that name{_nearest(name)}")
    return found if isinstance(found, Downloadable) else found.path


def _by_name(name):
    bundled = {known.lower(): model for known, model in bundled_models().items()}
    return bundled.get(name.lower()) or find_downloadable(name)


def _nearest(name):
    """The last part of a message: at most three models with names that contain `name`, or else resemble it."""
    wanted = Path(name).name.lower()
    names = {known.lower(): known for known in bundled_models()}
    for model in downloadable_models().values():
        names |= dict.fromkeys((known.lower() for known in (model.name, *model.aliases)), model.name)
    close = [known for known in names if wanted and wanted in known] or difflib.get_close_matches(wanted, names, 6)
    models = list(dict.fromkeys(names[known] for known in close))[:3]
    meant = f"; did you mean {' or '.join(models)}?" if models else ""
    return f"{meant} (esrgan-tf models lists them)"
