"""From what a user calls a model to its file. Imports no TensorFlow."""

import difflib
import sys
from collections.abc import Callable
from pathlib import Path

from esrgan_tf.errors import UserError
from esrgan_tf.file_kinds import check_weights
from esrgan_tf.weights.bundled import Bundled, bundled_models
from esrgan_tf.weights.downloadable import Downloadable, downloadable_models, fetch, find_downloadable, models_folder


def report(line: str) -> None:
    """Says something on standard error, beside whatever results go to standard output."""
    print(f"esrgan-tf: {line}", file=sys.stderr, flush=True)


def find_model(name: str | Path, models_dir: str | Path | None = None, say: Callable[[str], None] = report) -> Path:
    """The file or folder of a model: a path that exists, else a packaged model, else a published one.

    A published model is downloaded on its first use, and its file checked on each. Of any other file, the first bytes
    are checked.

    Args:
        models_dir: where downloaded models lie; else `$ESRGAN_TF_MODELS`, else the user's cache.
        say: is given lines that tell of a download; else they go to standard error.

    Raises:
        UserError: nothing of that name; or it cannot be had, or not be read; or no file of weights.
    """
    found = _looked_up(name)
    if isinstance(found, Downloadable):
        return fetch(found, models_folder(models_dir), say)
    if found.is_file():
        check_weights(found)
    return found


def path_of_model(name: str | Path, models_dir: str | Path | None = None) -> Path:
    """What `find_model` returns, but nothing is downloaded or checked.

    Raises:
        UserError: nothing of that name.
    """
    found = _looked_up(name)
    return models_folder(models_dir) / found.file if isinstance(found, Downloadable) else found


def scale_of(name: str) -> int | None:
    """How many times larger the packaged or published model of that name makes images; None where a file tells."""
    found = None if Path(name).exists() else _by_name(name)
    return None if found is None else found.scale


def find_by_name(name: str) -> Bundled | Downloadable:
    """The model of that name, in upper or lower case, whatever files there are.

    Raises:
        UserError: none, with the nearest names.
    """
    found = _by_name(name)
    if found is None:
        raise UserError(f"no model of the name {name}{_nearest(name)}")
    return found


def _looked_up(name) -> Path | Downloadable:
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
    """The end of a message: models with a name that holds what was given, else with one like it, three at most."""
    wanted = Path(name).name.lower()
    names = {known.lower(): known for known in bundled_models()}
    for model in downloadable_models().values():
        names |= dict.fromkeys((known.lower() for known in (model.name, *model.aliases)), model.name)
    close = [known for known in names if wanted and wanted in known] or difflib.get_close_matches(wanted, names, 6)
    models = list(dict.fromkeys(names[known] for known in close))[:3]
    meant = f"; did you mean {' or '.join(models)}?" if models else ""
    return f"{meant} (esrgan-tf models lists them)"
