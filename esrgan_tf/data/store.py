"""Decoded images as files of 8-bit pixels; for a patch, only its rows are read and no PNG is decoded."""

import errno
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from esrgan_tf.errors import UserError, listed

Pair = tuple[str, np.ndarray, np.ndarray]  # name, lr [h, w, 3], hr [scale * h, scale * w, 3], both uint8


NAMED = 10  # unusable images in a message; the cache has a file with a longer list


class UnusableImages(UserError):
    """All images that a source cannot use, in one error.

    Args:
        key: the name of the folder in messages.
        problems: a line for each unusable image.
        count: the number of all images.
        skip: whether unusable images may be left out; None if the user cannot choose that.

    Attributes:
        left_out: whether unusable images are left out: `skip` is true, and other images remain.
        list_file: a file that lists all unusable images, once it is written.
    """

    def __init__(self, key: str, problems: Sequence[str], count: int, skip: bool | None):
        super().__init__()
        self.key, self.problems, self.count = key, list(problems), count
        some_left = len(self.problems) < count
        self.left_out = bool(skip) and some_left
        self.list_file: Path | None = None
        self._hint = "; repair or remove them, or leave them out with --set data.skip_unreadable=true"
        self._hint = self._hint if skip is False and some_left else ""

    @property
    def title(self) -> str:
        """The number of unusable images and their folder."""
        return f"{self.key}: {len(self.problems)} of {self.count} images are unusable"

    def __str__(self) -> str:
        list_note = f" (all are listed in {self.list_file})" if self.list_file else ""
        return f"{'left out, ' * self.left_out}{self.title}: {listed(self.problems, NAMED)}{list_note}{self._hint}"

    def report(self) -> None:
        """Prints the error as a note that the images are left out."""
        tqdm.write(str(self), sys.stderr)


@dataclass(frozen=True)
class Source:
    """A source of image pairs.

    Attributes:
        facts: all that the set depends on besides its pairs; `source` is the kind of source, for messages.
        names: the name of each pair, for messages.
        keys: for each pair, all that its pixels depend on.
        decode: takes ascending numbers of pairs and yields (number, lr, hr). After the last pair it raises
            `UnusableImages` if any pair was unusable.
    """

    facts: dict
    names: Sequence[str]
    keys: Sequence
    decode: Callable[[Sequence[int]], Iterator[tuple[int, np.ndarray, np.ndarray]]]

    @property
    def count(self) -> int:
        """The number of pairs."""
        return len(self.names)

    def pairs(self) -> Iterator[Pair]:
        """Yields all readable pairs in order; then raises `UnusableImages`, unless these are left out."""
        try:
            for i, lr, hr in self.decode(range(self.count)):
                yield self.names[i], lr, hr
        except UnusableImages as error:
            if not error.left_out:
                raise
            error.report()


class Images(Protocol):
    """Whole pairs for validation and sample pictures; `i` is an index of `names`."""

    names: list[str]

    def __len__(self) -> int: ...

    def lr(self, i: int) -> np.ndarray:
        """The LR image `[h, w, 3]`, uint8."""

    def hr(self, i: int) -> np.ndarray:
        """The HR image `[scale * h, scale * w, 3]`, uint8."""

    def hr_size(self, i: int) -> tuple[int, int]:
        """Height and width of `hr(i)`."""


class ImageStore:
    """The pairs of one source, read from the cache.

    Files are read, not memory-mapped. If a disk fails, a read raises OSError; a mapped file ends the process (SIGBUS).

    Args:
        entries: (name, file, shape of the LR image, shape of the HR image) per pair.
        use: a lock that prevents other processes from deleting the files; kept as long as the store.
    """

    def __init__(self, entries: Sequence[tuple[str, Path, Sequence[int], Sequence[int]]], use: object = None):
        self.names: list[str] = [name for name, *_ in entries]
        self._files = [file for _, file, *_ in entries]
        self._shapes = {"lr": [tuple(lr) for _, _, lr, _ in entries], "hr": [tuple(hr) for *_, hr in entries]}
        self._use = use

    def __len__(self) -> int:
        return len(self.names)

    def lr(self, i: int, rows: slice = slice(None)) -> np.ndarray:
        """The LR image `[h, w, 3]`, uint8, or some of its rows. Raises OSError if they cannot be read."""
        return self._read_rows("lr", i, rows)

    def hr(self, i: int, rows: slice = slice(None)) -> np.ndarray:
        """The HR image `[scale * h, scale * w, 3]`, uint8, or some of its rows. Raises OSError as `lr` does."""
        return self._read_rows("hr", i, rows)

    def lr_size(self, i: int) -> tuple[int, int]:
        """Height and width of `lr(i)`."""
        height, width, _ = self._shapes["lr"][i]
        return height, width

    def hr_size(self, i: int) -> tuple[int, int]:
        """Height and width of `hr(i)`."""
        height, width, _ = self._shapes["hr"][i]
        return height, width

    def _read_rows(self, side, i, rows):
        height, width, channels = self._shapes[side][i]
        first, end, _ = rows.indices(height)
        size, offset = (end - first) * width * channels, first * width * channels
        if side == "hr":  # after the LR image
            offset += math.prod(self._shapes["lr"][i])
        path = self._files[i]
        try:
            with open(path, "rb", buffering=0) as file:
                file.seek(offset)
                pixels = file.read(size)
        except OSError as error:
            raise OSError(error.errno, f"image {self.names[i]}: {error.strerror}", str(path)) from error
        if len(pixels) != size:
            raise OSError(errno.EIO, f"image {self.names[i]}: its file in the cache is cut short", str(path))
        return np.frombuffer(pixels, np.uint8).reshape(end - first, width, channels)
