"""Decoded images as files of 8-bit pixels: a patch costs a read of its rows, not a PNG decode."""

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


NAMED = 10  # unusable images in a message; of more, the cache has a list


class UnusableImages(UserError):
    """What a source cannot read, all of it at once.

    Args:
        key: what the user calls the folder.
        problems: a line for each image.
        count: how many images there are.
        skip: whether the user chose to leave them out; None where there is no such choice.

    Attributes:
        left_out: whether they are to be left out: the user chose so, and other images remain.
        list_file: where all of them are listed, once that is written.
    """

    def __init__(self, key: str, problems: Sequence[str], count: int, skip: bool | None):
        super().__init__()
        self.key, self.problems, self.count = key, list(problems), count
        some_left = len(self.problems) < count
        self.left_out = bool(skip) and some_left
        self.list_file: Path | None = None
        self._hint = "; mend or remove them, or leave them out with --set data.skip_unreadable=true"
        self._hint = self._hint if skip is False and some_left else ""

    @property
    def title(self) -> str:
        """How many, and where."""
        return f"{self.key}: {len(self.problems)} of {self.count} images are unusable"

    def __str__(self) -> str:
        place = f" (all are listed in {self.list_file})" if self.list_file else ""
        return f"{'left out, ' * self.left_out}{self.title}: {listed(self.problems, NAMED)}{place}{self._hint}"

    def report(self) -> None:
        """Prints them as left out."""
        tqdm.write(str(self), sys.stderr)


@dataclass(frozen=True)
class Source:
    """Where pairs come from.

    Attributes:
        facts: what the set depends on beside its pairs; `source` is its kind, for people.
        names: of each pair, for people.
        keys: for each pair, all that its pixels depend on.
        decode: the pairs of these numbers, which rise: number, lr, hr. After them, it raises `UnusableImages` if there
            were any.
    """

    facts: dict
    names: Sequence[str]
    keys: Sequence
    decode: Callable[[Sequence[int]], Iterator[tuple[int, np.ndarray, np.ndarray]]]

    @property
    def count(self) -> int:
        """How many pairs there are."""
        return len(self.names)

    def pairs(self) -> Iterator[Pair]:
        """All that can be read, in their order; then it raises `UnusableImages`, unless they are to be left out."""
        try:
            for i, lr, hr in self.decode(range(self.count)):
                yield self.names[i], lr, hr
        except UnusableImages as error:
            if not error.left_out:
                raise
            error.report()


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
    """The pairs of one source, read from the cache.

    Read, not memory-mapped: where a disk fails, a mapped file ends the process (SIGBUS), a read raises OSError.

    Args:
        entries: name, file, shape of the low and of the high resolution, for each pair.
        use: what keeps others from deleting the files; kept as long as the store is.
    """

    def __init__(self, entries: Sequence[tuple[str, Path, Sequence[int], Sequence[int]]], use: object = None):
        self.names: list[str] = [name for name, *_ in entries]
        self._files = [file for _, file, *_ in entries]
        self._shapes = {"lr": [tuple(lr) for _, _, lr, _ in entries], "hr": [tuple(hr) for *_, hr in entries]}
        self._use = use

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
        height, width, _ = self._shapes["lr"][i]
        return height, width

    def hr_size(self, i: int) -> tuple[int, int]:
        """Height and width of `hr(i)`."""
        height, width, _ = self._shapes["hr"][i]
        return height, width

    def _image(self, side, i, rows):
        height, width, channels = self._shapes[side][i]
        first, end, _ = rows.indices(height)
        size, offset = (end - first) * width * channels, first * width * channels
        if side == "hr":  # behind the low resolution
            offset += math.prod(self._shapes["lr"][i])
        path = self._files[i]
        try:
            with open(path, "rb", buffering=0) as file:
                file.seek(offset)
                pixels = file.read(size)
        except OSError as error:
            raise OSError(error.errno, f"image {self.names[i]}: {error.strerror}", str(path)) from error
        if len(pixels) != size:
            raise OSError(errno.EIO, f"image {self.names[i]}: its cache is cut short", str(path))
        return np.frombuffer(pixels, np.uint8).reshape(end - first, width, channels)
