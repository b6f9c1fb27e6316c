"""Networks that others have published, by name, and a checked copy of each. Imports no TensorFlow.

The table is a selection of what OpenModelDB lists: networks of the ESRGAN family and its neighbours.
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

TIMEOUT = (10.0, 30.0)  # seconds: to connect, and of silence

_CATALOGUE = Path(__file__).with_name("downloadable_models.json")
_OFFICIAL = "https://github.com/xinntao/Real-ESRGAN/"  # its files' names are what everybody calls these models
_CHUNK = 2**16
_LINE_EVERY = 10.0  # seconds, where no terminal shows a bar


@dataclass(frozen=True)
class Downloadable:
    """A network that others have published.

    Attributes:
        name: as `--model` takes it.
        aliases: other names that it goes by.
        licence: its SPDX name; None where none is stated.
        date: of its publication, `YYYY-MM-DD`.
        architecture: OpenModelDB's name of it.
        size: what its author says of it, such as `64nf` (filters) and `23nb` (blocks).
        type: of its file: `pth` or `safetensors`.
        bytes: the length of its file.
        sha256: of its file, in hexadecimal.
        url: where its file is, or where it is found; see `is_manual`.
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
        """Whether the address is that of a page or an archive, which holds the file somewhere."""
        return _in_url(self.url).suffix != f".{self.type}"

    @property
    def file(self) -> str:
        """Its file's name among the downloaded models."""
        return f"{self.name}.{self.type}" if self.is_manual else _in_url(self.url).name

    @property
    def non_commercial(self) -> bool:
        """Whether its licence forbids commercial use."""
        return "-NC-" in f"{self.licence or ''}-"

    @property
    def parameters(self) -> int | None:
        """How many, where its author's words settle that and the length of its file agrees; else None."""
        sizes = {key: int(number) for number, key in re.findall(r"\b(\d+)(nf|nb|nc)\b", " ".join(self.size))}
        filters = sizes.get("nf", 0)
        if self.architecture == "compact" and {"nf", "nc"} <= sizes.keys():
            count = _conv(self.in_channels, filters) + filters
            count += sizes["nc"] * (_conv(filters, filters) + filters)
            count += _conv(filters, self.out_channels * self.scale**2)
        elif self.architecture == "esrgan" and {"nf", "nb"} <= sizes.keys() and self.scale >= 4:
            # Growth 32. Smaller scales come with packed pixels and without, of nearly the same length.
            dense = sum(_conv(filters + 32 * i, 32) for i in range(4)) + _conv(filters + 32 * 4, filters)
            count = _conv(self.in_channels, filters) + 3 * sizes["nb"] * dense + _conv(filters, self.out_channels)
            count += (2 + int(math.log2(self.scale))) * _conv(filters, filters)
        else:
            return None
        # In half precision, in single, or twice over: the last weights beside their moving average.
        return count if any(1 <= self.bytes / (count * each) < 1.1 for each in (2, 4, 8)) else None


def downloadable_models() -> dict[str, Downloadable]:
    """All of them by name."""
    records = json.loads(_CATALOGUE.read_text(encoding="utf-8"))
    models = [_model(record) for record in records]
    return {model.name: model for model in sorted(models, key=lambda model: model.name.lower())}


def find_downloadable(name: str) -> Downloadable | None:
    """The one of that name or alias, in upper or lower case."""
    models = downloadable_models().values()
    return next((m for m in models if name.lower() in (known.lower() for known in (m.name, *m.aliases))), None)


def models_folder(models_dir: str | Path | None = None) -> Path:
    """Where downloaded models lie: `models_dir`, else `$ESRGAN_TF_MODELS`, else the user's cache."""
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
    """The model's file in `folder`, downloaded if it is not there, its length and SHA-256 checked each time.

    It appears there whole or not at all, whatever happens and however many processes ask for it at once.

    Raises:
        UserError: it needs a package that is not there; it cannot be had; what is there, or came, is something else.
    """
    check_torch(model.file)
    path = folder / model.file
    wrong = _difference(model, path) if path.exists() else None
    if path.exists() and not wrong:
        return path
    if model.is_manual:
        begin = f"{model.name} lies in an archive or on a page"
        if wrong:
            begin = f"{path} is not the published file: {wrong}"
        raise UserError(f"{begin}; get it from {model.url}, and put the file at {path}")
    if wrong:
        say(f"{path} is not the published file: {wrong}; downloading it anew")
    say(f"downloading {model.name}, by {model.author}, {describe_licence(model)}: {megabytes(model)} MB, {model.url}")
    _download(model, path, say)
    return path


def megabytes(model: Downloadable) -> str:
    """The length of its file in MB, for people."""
    return f"{model.bytes / 1e6:.1f}"


def _download(model, path, say):
    import pooch
    import requests

    path.parent.mkdir(parents=True, exist_ok=True)
    instead = f"get it yourself, and put the file at {path}"
    try:
        with _quiet(pooch.get_logger()):
            # It fills a temporary file beside `path`, checks its hash, and renames it.
            pooch.retrieve(
                model.url, f"sha256:{model.sha256}", path.name, path.parent, downloader=_downloader(model, say)
            )
    except requests.RequestException as error:
        raise UserError(f"{model.name}: {model.url}: {_reason(error)}; {instead}") from error
    except _WrongLength as error:
        raise UserError(f"{model.name}: {model.url}: {error}; {instead}") from error
    except ValueError as error:  # what pooch raises at another hash
        raise UserError(
            f"{model.name}: {model.url}: what came is not the published file, by its SHA-256; {instead}"
        ) from error
    except PermissionError as error:
        raise UserError(f"{path.parent} cannot be written to; choose another --models_dir") from error


class _WrongLength(Exception):
    """The server has another file."""


def _downloader(model, say):
    """A function as `pooch.retrieve` takes it, which does not go on past the length that the file should have."""

    def download(url, output_file, _):
        import requests

        # Compressed on the way, a file would have another length there.
        headers = {"Accept-Encoding": "identity"}
        with (
            requests.get(url, stream=True, timeout=TIMEOUT, headers=headers) as answer,
            open(output_file, "wb") as file,
            _progress(model, say) as arrived,
        ):
            answer.raise_for_status()
            length = answer.headers.get("Content-Length", str(model.bytes))
            if length != str(model.bytes):
                raise _WrongLength(f"the file there has {length} bytes, the published one {model.bytes}")
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk)
                if file.tell() > model.bytes:
                    raise _WrongLength(f"more came than the {model.bytes} bytes of the published file")
                arrived(len(chunk))
            if file.tell() < model.bytes:
                raise _WrongLength(f"{file.tell()} bytes came of {model.bytes}")
        # A temporary file is for its owner alone; this one is for whoever may read the folder.
        os.chmod(output_file, 0o600 | Path(output_file).parent.stat().st_mode & 0o666)

    return download


@contextlib.contextmanager
def _progress(model, say) -> Iterator[Callable[[int], None]]:
    """A function to be told of bytes as they arrive: a bar on a terminal, else a line now and then."""
    from tqdm import tqdm

    said, done = time.monotonic(), 0
    with tqdm(
        desc=model.name, total=model.bytes, unit="B", unit_scale=True, disable=None, leave=False, file=sys.stderr
    ) as bar:

        def arrived(count):
            nonlocal said, done
            bar.update(count)
            done += count
            if bar.disable and time.monotonic() - said >= _LINE_EVERY:
                say(f"{model.name}: {done / 1e6:.1f} of {megabytes(model)} MB")
                said = time.monotonic()

        yield arrived


@contextlib.contextmanager
def _quiet(logger):
    """Without what pooch says at a download: ours says more."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(error):
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {TIMEOUT[0]:g} seconds"
    if "timed out" in str(error):  # requests has two exceptions for it, one of them for much else
        return f"the server was silent for {TIMEOUT[1]:g} seconds"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    cause = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__
    return f"cannot be reached: {getattr(cause, 'strerror', None) or first_line(cause)}"


def _difference(model, path):
    """What tells the file at `path` from the published one; None if nothing does."""
    if path.stat().st_size != model.bytes:
        return f"it has {path.stat().st_size} bytes, not {model.bytes}"
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return None if digest.hexdigest() == model.sha256 else "its SHA-256 is another"


def _model(record):
    values: dict[str, Any] = {
        key: tuple(value or ()) if key in ("size", "tags") else value for key, value in record.items()
    }
    author = values.pop("author")
    names = [values.pop("name")]
    in_url = _in_url(values["url"])
    if in_url.suffix == f".{values['type']}" and in_url.stem.lower() != names[0].lower():
        names.insert(0 if values["url"].startswith(_OFFICIAL) else 1, in_url.stem)
    return Downloadable(
        name=names[0],
        aliases=tuple(names[1:]),
        author=author if isinstance(author, str) else ", ".join(author),
        licence=values.pop("license"),
        **values,
    )


def _in_url(url):
    return PurePosixPath(unquote(urlsplit(url).path))


def _conv(inputs, outputs):
    """Parameters of a 3x3 convolution."""
    return 9 * inputs * outputs + outputs
