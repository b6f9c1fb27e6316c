"""The cache of decoded images: a file of 8-bit pixels per pair, shared by all sources that contain the pair."""

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from esrgan_tf.data.store import NAMED, ImageStore, Source, UnusableImages
from esrgan_tf.errors import UserError
from esrgan_tf.files import NO_LOCKS, file_lock, in_use, is_in_use, remove, replacing, unique_name

SHARE = 0.5  # of the cache's disk: the bytes of the cache and the free bytes


def open_store(source: Source, cache_dir: str | Path) -> ImageStore:
    """Opens the pairs of `source` in the cache, after decoding the pairs that are missing.

    Each pair is a file, shared by all sources that contain the pair. The cache may take half of the disk space that
    other files leave. Above that, the least recently used sets are deleted, except sets in use. Processes that add to
    a cache wait for each other. A complete cache can be read-only. Images that were left out as unusable are read
    again, and reported, each time.

    Raises:
        UserError: the source raises it, or the disk is full.
        UnusableImages: images are unusable and may not be left out. If they are more than ten, a file of the cache
            lists them.
    """
    cache = _Cache(Path(cache_dir).expanduser())
    store = cache.open_complete(source)
    if store is not None and (len(store) == source.count or cache.are_still_unusable(source)):
        return store
    try:
        with cache.lock() as locked:
            store = cache.open_after_decoding(source, locked)
            if locked:  # else other processes may add to the cache
                cache.evict()
            return store
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError(f"no room left in {cache.folder}; choose another disk with data.cache_dir") from error
        raise


Entry = tuple[str, str, Sequence[int], Sequence[int]]  # name, key, shape of lr, shape of hr


class _Cache:
    """The files of a cache: `images/ab/abcd….u8` per pair, and `sets/KIND-FACTS-DIGEST.json` per source.

    A set is a list of pairs, written after all of them are on the disk. Only pairs in a set count as complete.
    """

    def __init__(self, folder: Path):
        self.folder, self._images, self._sets = folder, folder / "images", folder / "sets"

    @contextlib.contextmanager
    def lock(self) -> Iterator[bool]:
        """Makes other processes that add to the cache wait; yields False if the disk has no locks."""
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

    def open_complete(self, source: Source) -> ImageStore | None:
        """The pairs of a source if the cache has all of them, else None."""
        path = self._set_path(source)
        entries = _read_set(path)
        if entries is None:
            return None
        use = _lock_set(path)  # first, so that no process deletes the files after the check
        if not all(map(self._is_complete, entries)):
            return None
        with contextlib.suppress(OSError):  # another user's file, or a read-only disk
            os.utime(path)  # the time of the last use
        return ImageStore([(name, self._image_path(key), lr, hr) for name, key, lr, hr in entries], use)

    def are_still_unusable(self, source: Source) -> bool:
        """Reports the images that the set of a source leaves out; False if any of them can be read now."""
        cached = {key for _, key, *_ in _read_set(self._set_path(source)) or ()}
        try:
            for _ in source.decode([i for i, key in enumerate(source.keys) if _digest(key) not in cached]):
                return False
        except UnusableImages as error:
            self._report(error)
        return True

    def _report(self, error):
        """Reports images that are left out, else raises the error; a long list is written to a file."""
        if len(error.problems) > NAMED:
            path = self.folder / f"unusable_{error.key.removeprefix('data.').strip('-')}.txt"
            with contextlib.suppress(OSError):  # a read-only cache; the message lists the first images
                with replacing(path) as staging:
                    staging.write_text("\n".join([f"{error.title}:", *error.problems, ""]), encoding="utf-8")
                error.list_file = path
        if not error.left_out:
            raise error
        error.report()

    def open_after_decoding(self, source: Source, locked: bool) -> ImageStore:
        """Decodes the pairs that the cache lacks, and opens the pairs of a source."""
        self._delete_former_caches()
        try:
            self._add(source)
        except OSError as error:
            if error.errno != errno.ENOSPC or not locked or not self.evict(share=0.0):
                raise
            self._add(source)
        if locked:
            self._delete_former_sets(source)
        store = self.open_complete(source)
        assert store is not None
        return store

    def _set_path(self, source):
        what = _digest([source.facts, source.names, source.keys])
        return self._sets / f"{source.facts['source']}-{_digest(source.facts)[:16]}-{what}.json"

    def _add(self, source):
        """Decodes missing pairs and writes the set; after a failure, a partial set of the decoded pairs."""
        path = self._set_path(source)
        partial_path = path.with_name(f"partial-{path.name}")
        keys = [_digest(key) for key in source.keys]
        listed = {entry[1]: entry for set_path in self._sets.glob("*.json") for entry in _read_set(set_path) or ()}
        shapes = {key: listed[key][2:] for key in keys if key in listed and self._is_complete(listed[key])}
        missing, added = [i for i, key in enumerate(keys) if key not in shapes], []

        def write_set(to):
            _flush_all()
            names = zip(source.names, keys, strict=True)
            with replacing(to) as staging:
                staging.write_text(
                    json.dumps([(name, key, *shapes[key]) for name, key in names if key in shapes]), encoding="utf-8"
                )

        try:
            if missing:
                title = f"preparing {len(missing)} {source.facts['source']} images"
                print(f"{title} …")
                try:
                    for i, lr, hr in tqdm(source.decode(missing), title, len(missing), unit="image", disable=None):
                        added.append(self._write(keys[i], lr, hr))
                        shapes[keys[i]] = lr.shape, hr.shape
                except UnusableImages as error:
                    self._report(error)
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
        path = self._image_path(key)
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

    def _image_path(self, key):
        return self._images / key[:2] / f"{key}.u8"

    def _is_complete(self, entry):
        """Whether the length of its file fits its shapes; a power failure can leave a shorter file."""
        _, key, lr, hr = entry
        try:
            return self._image_path(key).stat().st_size == math.prod(lr) + math.prod(hr)
        except OSError:
            return False

    def evict(self, share: float | None = None) -> int:
        """Deletes images in no set; then, while the cache is too large, the least recently used sets.

        Args:
            share: the part of the cache's disk that the cache may take; None is `SHARE`.

        Returns:
            How many images were deleted.
        """
        sets = {path: _read_set(path) for path in self._sets.glob("*.json")}
        if damaged := [path for path, entries in sets.items() if entries is None]:  # it may list images in use
            print(f"{self.folder}: no old image is deleted, because {damaged[0]} cannot be read; remove that file")
            return 0
        listed = {path: {key for _, key, *_ in entries or ()} for path, entries in sets.items()}
        everything, sizes, deleted = set().union(*listed.values()), {}, 0
        for file in self._images.glob("*/*.u8"):  # also incomplete files, which have a leading dot
            if file.stem in everything:
                sizes[file.stem] = file.stat().st_size
            else:
                deleted += _try_delete(file)
        total, evicted = sum(sizes.values()), 0
        most = (SHARE if share is None else share) * (total + shutil.disk_usage(self.folder).free)
        for path in sorted(listed, key=lambda path: path.stat().st_mtime_ns):
            if total <= most:
                break
            if _is_used(path) or not _try_delete(path):
                continue
            for key in listed.pop(path) - set().union(*listed.values()):
                evicted += _try_delete(self._image_path(key))
                total -= sizes.get(key, 0)
        if evicted:
            print(f"{self.folder}: deleted the {evicted} least recently used decoded images")
        return deleted + evicted

    def _delete_former_sets(self, source):
        """Deletes older sets of the same folders, from before files changed, except sets in use."""
        path = self._set_path(source)
        kind, facts, _ = path.name.rsplit("-", 2)
        for former in self._sets.glob(f"*{kind}-{facts}-*.json"):
            if former != path and not _is_used(former):
                _try_delete(former)

    def _delete_former_caches(self):
        """Removes caches of version 0.1, which are a folder per source."""
        for index in self.folder.glob("*-*/index.json"):
            if (index.parent / "hr.u8").is_file():
                remove(index.parent)


def _digest(facts):
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _read_set(path) -> list[Entry] | None:
    """The pairs of a set; None if its file cannot be read."""
    try:
        return [tuple(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return None


def _flush_all():
    """Writes all buffered files to the disk, by one call for all files, if the system has this call."""
    if hasattr(os, "sync"):
        os.sync()


def _try_delete(path):
    """Deletes a file; returns whether that was possible. Windows deletes no open file."""
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _lock_set(path):
    """Locks a set as in use until the returned object is closed or dropped; None if that is impossible."""
    _is_used(path)  # deletes the locks of ended processes
    use = contextlib.ExitStack()
    try:
        use.enter_context(in_use(path.with_name(f"{path.name}.{unique_name()}.lock")))
    except OSError:  # a read-only cache, prepared by another user
        return None
    return use


def _is_used(path):
    """Whether a process uses a set; deletes the locks of ended processes."""
    used = False
    for lock in path.parent.glob(f"{path.name}.*.lock"):
        if is_in_use(lock):
            used = True
        else:
            _try_delete(lock)
    return used
