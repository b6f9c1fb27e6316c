"""Decoded images as files of 8-bit pixels: a patch costs a read of its rows, not a PNG decode."""

import contextlib
import errno
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from esrgan_tf.errors import UserError
from esrgan_tf.files import NO_LOCKS, remove, replacing

Pair = tuple[str, np.ndarray, np.ndarray]  # name, lr [h, w, 3], hr [scale * h, scale * w, 3], both uint8

SHARE = 0.5  # of the bytes that the cache's disk could give it


@dataclass(frozen=True)
class Source:
    """Where pairs come from.

    Attributes:
        facts: what the set depends on beside its pairs; `source` is its kind, for people.
        names: of each pair, for people.
        keys: for each pair, all that its pixels depend on.
        decode: the pairs of these numbers, which rise: number, lr, hr. What cannot be read is left out, or refused at
            the end.
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
        """All that can be read, in their order."""
        for i, lr, hr in self.decode(range(self.count)):
            yield self.names[i], lr, hr


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
        use: the lock that keeps others from deleting the files; held as long as the store is there.
    """

    def __init__(self, entries: Sequence[tuple[str, Path, Sequence[int], Sequence[int]]], use: FileLock | None = None):
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


def open_store(source: Source, cache_dir: str | Path) -> ImageStore:
    """Opens the pairs of `source` in the cache, decoding those that are not in it yet.

    Each pair is a file, which all sources share that have it. What was not used for longest goes when the cache takes
    more than half of what the disk could give it, unless another process is using it. Processes that open the same
    cache wait for each other.

    Raises:
        UserError: what the source refuses, or a disk without room.
    """
    cache_dir = Path(cache_dir).expanduser()
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _alone(cache_dir) as locked:
            cache = _Cache(cache_dir)
            store = cache.opened(source)
            if locked:  # else others may be adding to it
                cache.evict()
            return store
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError(f"no room left in {cache_dir}; choose another disk with data.cache_dir") from error
        raise


@contextlib.contextmanager
def _alone(cache_dir):
    """While others wait. False where the disk has no locks."""
    lock, locked = FileLock(cache_dir / "lock"), True
    with contextlib.ExitStack() as stack:
        try:
            try:
                lock.acquire(timeout=0)
            except TimeoutError:
                print(f"another process is preparing images in {cache_dir}; waiting for it …", flush=True)
                lock.acquire()
            stack.callback(lock.release)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            locked = False
        yield locked


class _Cache:
    """The files of a cache: `images/ab/abcd….u8`, a pair each, and `sets/KIND-DIGEST.json`, each the pairs of a source.

    A set is written when all that it lists is on the disk. Only what a set lists is taken for whole.
    """

    def __init__(self, folder: Path):
        self._folder, self._images, self._sets = folder, folder / "images", folder / "sets"

    def opened(self, source: Source) -> ImageStore:
        self._images.mkdir(exist_ok=True)
        self._sets.mkdir(exist_ok=True)
        self._remove_former_caches()
        path = self._sets / f"{source.facts['source']}-{_digest([source.facts, source.names, source.keys])}.json"
        entries = _read_set(path)
        if entries is None or not all(self._is_whole(entry) for entry in entries):
            entries = self._made(source)
            with replacing(path) as staging:
                staging.write_text(json.dumps(entries))
        os.utime(path)  # used now
        return ImageStore([(name, self._file(key), lr, hr) for name, key, lr, hr in entries], _held(path))

    def _made(self, source):
        """The entries of a source, after those that are not in the cache have been decoded into it."""
        keys = [_digest(key) for key in source.keys]
        listed = [entry for path in self._sets.glob("*.json") for entry in _read_set(path) or ()]
        shapes = {entry[1]: entry[2:] for entry in listed if self._is_whole(entry)}
        missing = [i for i, key in enumerate(keys) if key not in shapes]
        if missing:
            title = f"preparing {len(missing)} {source.facts['source']} images"
            print(f"{title} …")
            for i, lr, hr in tqdm(source.decode(missing), title, len(missing), unit="image", disable=None):
                self._write(keys[i], lr, hr)
                shapes[keys[i]] = lr.shape, hr.shape
            _flush_all()
        return [(name, key, *shapes[key]) for name, key in zip(source.names, keys, strict=True) if key in shapes]

    def _write(self, key, lr, hr):
        path = self._file(key)
        path.parent.mkdir(exist_ok=True)
        staging = path.with_name(f".{path.name}")
        with open(staging, "wb") as file:
            file.write(np.ascontiguousarray(lr).tobytes())
            file.write(np.ascontiguousarray(hr).tobytes())
        os.replace(staging, path)

    def _file(self, key):
        return self._images / key[:2] / f"{key}.u8"

    def _is_whole(self, entry):
        """Whether its file is as long as its shapes say; a disk that lost power may have cut it."""
        _, key, lr, hr = entry
        try:
            return self._file(key).stat().st_size == math.prod(lr) + math.prod(hr)
        except OSError:
            return False

    def evict(self) -> None:
        """Deletes what no set lists; and the sets that were not used for longest, while the cache takes too much."""
        sets = sorted(self._sets.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        listed = {path: {key for _, key, *_ in _read_set(path) or ()} for path in sets}
        everything = set().union(*listed.values())
        sizes = {}
        for path in self._images.glob("*/*.u8"):  # half-written ones too, whose names begin with a dot
            if path.stem in everything:
                sizes[path.stem] = path.stat().st_size
            else:
                path.unlink()
        total = sum(sizes.values())
        most, deleted = SHARE * (total + shutil.disk_usage(self._folder).free), 0
        for path in sets:
            if total <= most:
                break
            if _is_used(path):
                continue
            path.unlink()
            for key in listed.pop(path) - set().union(*listed.values()):
                self._file(key).unlink(missing_ok=True)
                total -= sizes.get(key, 0)
                deleted += 1
        if deleted:
            print(f"{self._folder}: the {deleted} decoded images that were not used for longest are deleted")

    def _remove_former_caches(self):
        """Those of versions before 0.2, a folder for each source."""
        for index in self._folder.glob("*-*/index.json"):
            if (index.parent / "hr.u8").is_file():
                remove(index.parent)


def _digest(facts):
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _read_set(path):
    """Name, key, shape of lr and of hr, for each pair; None where that cannot be read."""
    try:
        return [tuple(entry) for entry in json.loads(path.read_text())]
    except (OSError, ValueError):
        return None


def _flush_all():
    """All that was written is on the disk then. One call for thousands of files, where the system has it."""
    if hasattr(os, "sync"):
        os.sync()


def _held(path):
    """A lock that says that a set is used, by the store that keeps it; None where the disk has no locks."""
    lock = FileLock(path.with_name(f"{path.name}.{secrets.token_hex(8)}.lock"))
    try:
        lock.acquire(timeout=0)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return None
    return lock


def _is_used(path):
    """Whether somebody holds one of a set's locks; those that nobody holds are deleted."""
    for lock in path.parent.glob(f"{path.name}.*.lock"):
        try:
            with FileLock(lock, timeout=0):
                pass
        except OSError:  # held, or a disk without locks
            return True
        lock.unlink(missing_ok=True)
    return False
