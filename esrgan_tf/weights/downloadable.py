"""Downloadable models by name, and their checked download. Imports no TensorFlow.

The catalogue is a selection of OpenModelDB: networks of the ESRGAN family and related architectures.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.weights.torch_import import check_torch

TIMEOUT = (10.0, 30.0)  # seconds to connect, and seconds without data

_CATALOGUE = Path(__file__).with_name("downloadable_models.json")
_OFFICIAL = "https://github.com/xinntao/Real-ESRGAN/"  # these models are known by the names of their files
_CHUNK = 2**16
_LINE_EVERY = 10.0  # seconds, if no terminal shows a progress bar


@dataclass(frozen=True)
class Downloadable:
    """A downloadable model.

    Attributes:
        name: the value of `--model`.
        aliases: other names of the model.
        licence: the SPDX name; None if the author states no licence.
        date: the publication date, `YYYY-MM-DD`.
        architecture: the architecture's name in OpenModelDB.
        size: the author's description, such as `64nf` (filters) and `23nb` (blocks).
        type: the file's type, `pth` or `safetensors`.
        bytes: the file's length.
        sha256: the file's SHA-256 in hexadecimal.
        url: the address of the file, or of a page or an archive that has it; see `is_manual`.
    """

    name: str
    aliases: tuple[str, ...]
    title: str
    author: str
    licence: str | None
    date: str
    architecture: str
    scale: int
    in_channels: int
    out_channels: int
    size: tuple[str, ...]
    type: str
    bytes: int
    sha256: str
    url: str
    tags: tuple[str, ...]

    @property
    def is_manual(self) -> bool:
        """Whether the model needs a manual download: its address is a page or an archive, not the file."""
        return _url_path(self.url).suffix != f".{self.type}"

    @property
    def file(self) -> str:
        """The file's name in the folder of downloaded models."""
        return f"{self.name}.{self.type}" if self.is_manual else _url_path(self.url).name

    @property
    def non_commercial(self) -> bool:
        """Whether the licence forbids commercial use."""
        return "-NC-" in f"{self.licence or ''}-"

    @property
    def parameters(self) -> int | None:
        """The number of parameters if `size` determines it and agrees with the file's length; else None."""
        sizes = {key: int(number) for number, key in re.findall(r"\b(\d+)(nf|nb|nc)\b", " ".join(self.size))}
        filters = sizes.get("nf", 0)
        if self.architecture == "compact" and {"nf", "nc"} <= sizes.keys():
            count = _conv(self.in_channels, filters) + filters
            count += sizes["nc"] * (_conv(filters, filters) + filters)
            count += _conv(filters, self.out_channels * self.scale**2)
        elif self.architecture == "esrgan" and {"nf", "nb"} <= sizes.keys() and self.scale >= 4:
            # 32 growth channels. Smaller scales exist with and without pixel unshuffle, at nearly equal file lengths.
            dense = sum(_conv(filters + 32 * i, 32) for i in range(4)) + _conv(filters + 32 * 4, filters)
            count = _conv(self.in_channels, filters) + 3 * sizes["nb"] * dense + _conv(filters, self.out_channels)
            count += (2 + int(math.log2(self.scale))) * _conv(filters, filters)
        else:
            return None
        # Bytes per parameter: float16, float32, or float32 twice (weights and their EMA).
        return count if any(1 <= self.bytes / (count * each) < 1.1 for each in (2, 4, 8)) else None


def downloadable_models() -> dict[str, Downloadable]:
    """All downloadable models by name."""
    records = json.loads(_CATALOGUE.read_text(encoding="utf-8"))
    models = [_from_record(record) for record in records]
    return {model.name: model for model in sorted(models, key=lambda model: model.name.lower())}


def find_downloadable(name: str) -> Downloadable | None:
    """The downloadable model with a name or an alias, in upper or lower case; None if no model has it."""
    models = downloadable_models().values()
    return next((m for m in models if name.lower() in (known.lower() for known in (m.name, *m.aliases))), None)


def models_folder(models_dir: str | Path | None = None) -> Path:
    """The folder of downloaded models: `models_dir`, else `$ESRGAN_TF_MODELS`, else the user's cache."""
    import platformdirs

    folder = (
        models_dir or os.environ.get("ESRGAN_TF_MODELS") or Path(platformdirs.user_cache_dir("esrgan_tf"), "models")
    )
    return Path(folder).expanduser()


def describe_licence(model: Downloadable) -> str:
    """The licence, and whether it forbids commercial use."""
    if model.licence is None:
        return "no licence stated"
    return f"licence {model.licence}{', which forbids commercial use' if model.non_commercial else ''}"


def fetch(model: Downloadable, folder: Path, say: Callable[[str], None]) -> Path:
    """Downloads the model's file into `folder` if it is missing, and checks its length and SHA-256 at each call.

    The file appears complete or not at all, also if several processes download it at once.

    Raises:
        UserError: PyTorch is needed and not installed, the model needs a manual download, the download failed, or the
            file is not the published file.
    """
    check_torch(model.file)
    path = folder / model.file
    difference = _difference(model, path) if path.exists() else None
    if path.exists() and not difference:
        return path
    if model.is_manual:
        problem = f"{model.name} needs a manual download"
        if difference:
            problem = f"{path} is not the published file ({difference})"
        raise UserError(f"{problem}; get it from {model.url}, and put the file at {path}")
    if difference:
        say(f"{path} is not the published file ({difference}); downloading it again")
    say(f"downloading {model.name}, by {model.author}, {describe_licence(model)}: {megabytes(model)} MB, {model.url}")
    _download(model, path, say)
    return path


def megabytes(model: Downloadable) -> str:
    """The length of the model's file in MB, as text."""
    return f"{model.bytes / 1e6:.1f}"


def _download(model, path, say):
    import pooch
    import requests

    path.parent.mkdir(parents=True, exist_ok=True)
    instead = f"download it manually, and put the file at {path}"
    try:
        with _quiet(pooch.get_logger()):
            # pooch writes a temporary file beside `path`, checks its hash, and renames it.
            pooch.retrieve(
                model.url, f"sha256:{model.sha256}", path.name, path.parent, downloader=_downloader(model, say)
            )
    except requests.RequestException as error:
        raise UserError(f"{model.name}: {model.url}: {_reason(error)}; {instead}") from error
    except _WrongLength as error:
        raise UserError(f"{model.name}: {model.url}: {error}; {instead}") from error
    except ValueError as error:  # pooch's error on a wrong hash
        raise UserError(f"{model.name}: {model.url}: the SHA-256 is not the published file's; {instead}") from error
    except PermissionError as error:
        raise UserError(f"{path.parent} cannot be written to; choose another --models_dir") from error


class _WrongLength(Exception):
    """The server sends a file of another length."""


def _downloader(model, say):
    """A downloader for `pooch.retrieve` that stops once the file is longer than the published one."""

    def download(url, output_file, _):
        import requests

        # A transfer encoding would change Content-Length.
        headers = {"Accept-Encoding": "identity"}
        with (
            requests.get(url, stream=True, timeout=TIMEOUT, headers=headers) as response,
            open(output_file, "wb") as file,
            _progress(model, say) as advance,
        ):
            response.raise_for_status()
            length = response.headers.get("Content-Length", str(model.bytes))
            if length != str(model.bytes):
                raise _WrongLength(f"the server's file has {length} bytes, the published file {model.bytes}")
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                if file.tell() > model.bytes:
                    raise _WrongLength(f"the server sent more than the {model.bytes} bytes of the published file")
                advance(len(chunk))
            if file.tell() < model.bytes:
                raise _WrongLength(f"the server sent {file.tell()} of {model.bytes} bytes")
        # Only the owner may read a temporary file; the model's file gets the folder's permissions.
        os.chmod(output_file, 0o600 | Path(output_file).parent.stat().st_mode & 0o666)

    return download


@contextlib.contextmanager
def _progress(model, say) -> Iterator[Callable[[int], None]]:
    """Yields a function that counts received bytes, for a progress bar on a terminal or a line every 10 seconds."""
    from tqdm import tqdm

    reported, done = time.monotonic(), 0
    with tqdm(
        desc=model.name, total=model.bytes, unit="B", unit_scale=True, disable=None, leave=False, file=sys.stderr
    ) as bar:

        def advance(count):
            nonlocal reported, done
            bar.update(count)
            done += count
            if bar.disable and time.monotonic() - reported >= _LINE_EVERY:
                say(f"{model.name}: {done / 1e6:.1f} of {megabytes(model)} MB")
                reported = time.monotonic()

        yield advance


@contextlib.contextmanager
def _quiet(logger):
    """Suppresses pooch's log lines, which have less detail than this module's."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(error):
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server responded with {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {TIMEOUT[0]:g} seconds"
    if "timed out" in str(error):  # requests raises ReadTimeout or ConnectionError
        return f"the server sent no data for {TIMEOUT[1]:g} seconds"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    cause = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__
    return f"cannot be reached: {getattr(cause, 'strerror', None) or first_line(cause)}"


def _difference(model, path):
    """The difference of the file at `path` from the published file; None if they are equal."""
    if path.stat().st_size != model.bytes:
        return f"{path.stat().st_size} bytes, not {model.bytes}"
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return None if digest.hexdigest() == model.sha256 else "another SHA-256"


def _from_record(record):
    values: dict[str, Any] = {
        key: tuple(value or ()) if key in ("size", "tags") else value for key, value in record.items()
    }
    author = values.pop("author")
    names = [values.pop("name")]
    url_path = _url_path(values["url"])
    if url_path.suffix == f".{values['type']}" and url_path.stem.lower() != names[0].lower():
        names.insert(0 if values["url"].startswith(_OFFICIAL) else 1, url_path.stem)
    return Downloadable(
        name=names[0],
        aliases=tuple(names[1:]),
        author=author if isinstance(author, str) else ", ".join(author),
        licence=values.pop("license"),
        **values,
    )


def _url_path(url):
    return PurePosixPath(unquote(urlsplit(url).path))


def _conv(inputs, outputs):
    """The number of parameters of a 3x3 convolution."""
    return 9 * inputs * outputs + outputs
