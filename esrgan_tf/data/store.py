"""Decoded images as one file of 8-bit pixels: a patch costs a read of its rows, not a PNG decode."""

import errno
import hashlib
import json
import math
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from esrgan_tf.errors import UserError
from esrgan_tf.files import replacing

Pair = tuple[str, np.ndarray, np.ndarray]  # name, lr [h, w, 3], hr [scale * h, scale * w, 3], both uint8


@dataclass(frozen=True)
class Source:
    """Where pairs come from. `facts` is all that their pixels depend on; it names the cache."""

    facts: dict
    count: int
    pairs: Callable[[], Iterator[Pair]]


class Images(Protocol):
    """Whole pairs, to measure on and to look at; `i` counts `names`."""

    names: list[str]

    def __len__(self) -> int: ...

    def lr(self, i: int) -> np.ndarray:
        """Low resolution `[h, w, 3]`, uint8."""

    def hr(self, i: int) -> np.ndarray:
        """High resolution `[scale * h, scale * w, 3]`, uint8."""

    def hr_size(self, i: int) -> tuple[int, int]:
        """Height and width of `hr(i)`."""


class ImageStore:
    """The pairs of one source, read from their cache.

    Read, not memory-mapped: where a disk fails, a mapped file ends the process (SIGBUS), a read raises OSError.
    """

    def __init__(self, folder: Path):
        index = json.loads((folder / "index.json").read_text())
        self.names: list[str] = [entry["name"] for entry in index]
        self._shapes = {side: [tuple(entry[side]) for entry in index] for side in ("lr", "hr")}
        self._files = {side: open(folder / f"{side}.u8", "rb", buffering=0) for side in ("lr", "hr")}  # noqa: SIM115
        self._lock = threading.Lock()
        self._starts = {
            side: np.concatenate([[0], np.cumsum([int(np.prod(shape)) for shape in shapes])]).tolist()
            for side, shapes in self._shapes.items()
        }

    def __len__(self) -> int:
        return len(self.names)

    def lr(self, i: int, rows: slice = slice(None)) -> np.ndarray:
        """Low resolution `[h, w, 3]`, uint8, or some of its rows. Raises OSError where they cannot be read."""
        return self._image("lr", i, rows)

    def hr(self, i: int, rows: slice = slice(None)) -> np.ndarray:
        """High resolution `[scale * h, scale * w, 3]`, uint8, or some of its rows. Raises OSError likewise."""
        return self._image("hr", i, rows)

    def lr_size(self, i: int) -> tuple[int, int]:
        """Height and width of `lr(i)`."""
        return self._shapes["lr"][i][:2]

    def hr_size(self, i: int) -> tuple[int, int]:
        """Height and width of `hr(i)`."""
        return self._shapes["hr"][i][:2]

    def _image(self, side, i, rows):
        height, width, channels = self._shapes[side][i]
        first, end, _ = rows.indices(height)
        size, offset = (end - first) * width * channels, self._starts[side][i] + first * width * channels
        file = self._files[side]
        try:
            pixels = self._read(file, size, offset)
        except OSError as error:
            raise OSError(error.errno, f"image {self.names[i]}: {error.strerror}", file.name) from error
        if len(pixels) != size:
            raise OSError(errno.EIO, f"image {self.names[i]}: its cache is cut short", file.name)
        return np.frombuffer(pixels, np.uint8).reshape(end - first, width, channels)

    def _read(self, file, size, offset):
        if hasattr(os, "pread"):
            return os.pread(file.fileno(), size, offset)
        with self._lock:  # Windows has one position for all threads
            file.seek(offset)
            return file.read(size)


def open_store(source: Source, cache_dir: str | Path) -> ImageStore:
    """Opens the cache of `source`, decoding every image once if there is none yet.

    The cache appears whole or not at all; two processes that make it at the same time do not disturb each other.

    Raises:
        UserError: what the source refuses, or a disk without room.
    """
    digest = hashlib.sha256(json.dumps(source.facts, sort_keys=True).encode()).hexdigest()[:16]
    cache_dir = Path(cache_dir).expanduser()
    folder = cache_dir / f"{source.facts['source']}-{digest}"
    if folder.is_dir() and not _complete(folder):
        shutil.rmtree(folder)
    if not folder.is_dir():
        cache_dir.mkdir(parents=True, exist_ok=True)
        try:
            with replacing(folder) as building:
                building.mkdir()
                _write(source, building)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise UserError(f"no room left in {cache_dir}; choose another disk with data.cache_dir") from error
            if not folder.is_dir():  # otherwise another process was first, and its cache is as good
                raise
    return ImageStore(folder)


def _complete(folder):
    """Whether the files are as long as their index says; a disk that filled up or lost power may have cut them."""
    try:
        index = json.loads((folder / "index.json").read_text())
        return all(
            (folder / f"{side}.u8").stat().st_size == sum(math.prod(entry[side]) for entry in index)
            for side in ("lr", "hr")
        )
    except (OSError, ValueError):
        return False


def _write(source, folder):
    index = []
    with open(folder / "lr.u8", "wb") as lr_file, open(folder / "hr.u8", "wb") as hr_file:
        title = f"preparing {source.count} {source.facts['source']} images"
        print(f"{title} …")
        for name, lr, hr in tqdm(source.pairs(), desc=title, total=source.count, unit="image", disable=None):
            lr_file.write(np.ascontiguousarray(lr).tobytes())
            hr_file.write(np.ascontiguousarray(hr).tobytes())
            index.append({"name": name, "lr": lr.shape, "hr": hr.shape})
    (folder / "index.json").write_text(json.dumps(index))
