"""Decoded images as files of 8-bit pixels: a patch costs a read of its rows, not a PNG decode."""

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from esrgan_tf.errors import UserError
from esrgan_tf.files import NO_LOCKS, file_lock, in_use, is_in_use, remove, replacing, unique_name

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


def open_store(source: Source, cache_dir: str | Path) -> ImageStore:
    """Opens the pairs of `source` in the cache, decoding those that are not in it yet.

    Each pair is a file, which all sources share that have it. The least recently used sets are deleted when the cache
    takes more than half of what the disk could give it, unless a process uses them. Processes that add to a cache wait
    for each other. A complete cache need not be writable.

    Raises:
        UserError: what the source refuses, or a disk without room.
    """
    cache = _Cache(Path(cache_dir).expanduser())
    store = cache.complete(source)
    if store is not None:
        return store
    try:
        with cache.alone() as locked:
            store = cache.opened(source, locked)
            if locked:  # else others may be adding to it
                cache.evict()
            return store
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError(f"no room left in {cache.folder}; choose another disk with data.cache_dir") from error
        raise


Entry = tuple[str, str, Sequence[int], Sequence[int]]  # name, key, shape of lr, shape of hr


class _Cache:
    """The files of a cache: `images/ab/abcd….u8`, a pair each, and `sets/KIND-FACTS-DIGEST.json`, each the pairs of a
    source.

    A set is written when all that it lists is on the disk. Only what a set lists is taken for whole.
    """

    def __init__(self, folder: Path):
        self.folder, self._images, self._sets = folder, folder / "images", folder / "sets"

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Keeps others waiting who add to the cache. False where the disk has no locks."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._images.mkdir(exist_ok=True)
        self._sets.mkdir(exist_ok=True)
        lock, locked = file_lock(self.folder / "lock", timeout=0), True
        try:
            try:
                lock.acquire()
            except TimeoutError:
                print(f"another process is preparing images in {self.folder}; waiting for it …", flush=True)
                lock.acquire(timeout=-1)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            locked = False
        try:
            yield locked
        finally:
            lock.release()

    def complete(self, source: Source) -> ImageStore | None:
        """The pairs of a source, if all of them are there."""
        path = self._set_of(source)
        entries = _read_set(path)
        if entries is None:
            return None
        use = _use(path)  # first, so that nobody deletes what is found to be there
        if not all(map(self._is_whole, entries)):
            return None
        with contextlib.suppress(OSError):  # somebody else's, or on a disk that cannot be written to
            os.utime(path)  # used now
        return ImageStore([(name, self._file(key), lr, hr) for name, key, lr, hr in entries], use)

    def opened(self, source: Source, locked: bool) -> ImageStore:
        """The same, after what is missing was decoded."""
        self._remove_former_caches()
        try:
            self._add(source)
        except OSError as error:
            if error.errno != errno.ENOSPC or not locked or not self.evict(share=0.0):
                raise
            self._add(source)
        if locked:
            self._forget_former_states(source)
        store = self.complete(source)
        assert store is not None
        return store

    def _set_of(self, source):
        what = _digest([source.facts, source.names, source.keys])
        return self._sets / f"{source.facts['source']}-{_digest(source.facts)[:16]}-{what}.json"

    def _add(self, source):
        """Decodes what is missing, and writes the set; of what fails in the middle, a set of what was done."""
        path = self._set_of(source)
        partial_path = path.with_name(f"partial-{path.name}")
        keys = [_digest(key) for key in source.keys]
        listed = {entry[1]: entry for set_path in self._sets.glob("*.json") for entry in _read_set(set_path) or ()}
        shapes = {key: listed[key][2:] for key in keys if key in listed and self._is_whole(listed[key])}
        missing, added = [i for i, key in enumerate(keys) if key not in shapes], []

        def write_set(to):
            _flush_all()
            names = zip(source.names, keys, strict=True)
            with replacing(to) as staging:
                staging.write_text(json.dumps([(name, key, *shapes[key]) for name, key in names if key in shapes]))

        try:
            if missing:
                title = f"preparing {len(missing)} {source.facts['source']} images"
                print(f"{title} …")
                for i, lr, hr in tqdm(source.decode(missing), title, len(missing), unit="image", disable=None):
                    added.append(self._write(keys[i], lr, hr))
                    shapes[keys[i]] = lr.shape, hr.shape
            write_set(path)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                for file in added:
                    file.unlink(missing_ok=True)
            raise
        except BaseException:
            if added:
                write_set(partial_path)
            raise
        partial_path.unlink(missing_ok=True)

    def _write(self, key, lr, hr):
        path = self._file(key)
        path.parent.mkdir(exist_ok=True)
        staging = path.with_name(f".{unique_name()}.{path.name}")
        try:
            with open(staging, "wb") as file:
                file.write(np.ascontiguousarray(lr).tobytes())
                file.write(np.ascontiguousarray(hr).tobytes())
            os.replace(staging, path)
        finally:
            staging.unlink(missing_ok=True)
        return path

    def _file(self, key):
        return self._images / key[:2] / f"{key}.u8"

    def _is_whole(self, entry):
        """Whether its file is as long as its shapes say; a disk that lost power may have cut it."""
        _, key, lr, hr = entry
        try:
            return self._file(key).stat().st_size == math.prod(lr) + math.prod(hr)
        except OSError:
            return False

    def evict(self, share: float | None = None) -> int:
        """Deletes what no set lists, and the sets that were not used for longest while the cache takes too much.

        Args:
            share: of what the disk could give, that the cache may take; None is `SHARE`.

        Returns:
            How many images were deleted.
        """
        sets = {path: _read_set(path) for path in self._sets.glob("*.json")}
        if damaged := [path for path, entries in sets.items() if entries is None]:  # it may list what is in use
            print(f"{self.folder}: nothing old is deleted, since {damaged[0]} cannot be read; remove that file")
            return 0
        listed = {path: {key for _, key, *_ in entries or ()} for path, entries in sets.items()}
        everything, sizes, deleted = set().union(*listed.values()), {}, 0
        for file in self._images.glob("*/*.u8"):  # half-written ones too, whose names begin with a dot
            if file.stem in everything:
                sizes[file.stem] = file.stat().st_size
            else:
                deleted += _deleted(file)
        total, evicted = sum(sizes.values()), 0
        most = (SHARE if share is None else share) * (total + shutil.disk_usage(self.folder).free)
        for path in sorted(listed, key=lambda path: path.stat().st_mtime_ns):
            if total <= most:
                break
            if _is_used(path) or not _deleted(path):
                continue
            for key in listed.pop(path) - set().union(*listed.values()):
                evicted += _deleted(self._file(key))
                total -= sizes.get(key, 0)
        if evicted:
            print(f"{self.folder}: deleted the {evicted} least recently used decoded images")
        return deleted + evicted

    def _forget_former_states(self, source):
        """Deletes sets of the same folders as they were before images came or went, unless they are being used."""
        path = self._set_of(source)
        kind, facts, _ = path.name.rsplit("-", 2)
        for former in self._sets.glob(f"*{kind}-{facts}-*.json"):
            if former != path and not _is_used(former):
                _deleted(former)

    def _remove_former_caches(self):
        """Those of version 0.1, a folder for each source."""
        for index in self.folder.glob("*-*/index.json"):
            if (index.parent / "hr.u8").is_file():
                remove(index.parent)


def _digest(facts):
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _read_set(path) -> list[Entry] | None:
    """The pairs that it lists; None where that cannot be read."""
    try:
        return [tuple(entry) for entry in json.loads(path.read_text())]
    except (OSError, ValueError):
        return None


def _flush_all():
    """All that was written is on the disk then. One call for thousands of files, where the system has it."""
    if hasattr(os, "sync"):
        os.sync()


def _deleted(path):
    """Whether a file could be deleted; on Windows none can that is open."""
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _use(path):
    """Holds a lock that says that a set is used, until it is dropped; None where that is not possible."""
    _is_used(path)  # deletes the locks of those who have ended
    use = contextlib.ExitStack()
    try:
        use.enter_context(in_use(path.with_name(f"{path.name}.{unique_name()}.lock")))
    except OSError:  # a cache that somebody else has prepared, for reading only
        return None
    return use


def _is_used(path):
    """Whether somebody uses a set; the locks of those who have ended are deleted."""
    used = False
    for lock in path.parent.glob(f"{path.name}.*.lock"):
        if is_in_use(lock):
            used = True
        else:
            _deleted(lock)
    return used
