"""The cache of decoded images: a file of 8-bit pixels for each pair, shared by all sources that have it."""

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

SHARE = 0.5  # of the bytes that the cache's disk could give it


def open_store(source: Source, cache_dir: str | Path) -> ImageStore:
    """Opens the pairs of `source` in the cache, decoding those that are not in it yet.

    Each pair is a file, which all sources share that have it. The least recently used sets are deleted when the cache
    takes more than half of what the disk could give it, unless a process uses them. Processes that add to a cache wait
    for each other. A complete cache need not be writable. Images that were left out as unusable are tried, and named,
    each time.

    Raises:
        UserError: what the source refuses, or a disk without room.
        UnusableImages: images that are not to be left out. More than ten are listed in a file of the cache.
    """
    cache = _Cache(Path(cache_dir).expanduser())
    store = cache.complete(source)
    if store is not None and (len(store) == source.count or cache.are_still_unusable(source)):
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

    def are_still_unusable(self, source: Source) -> bool:
        """Names again what the set of a source leaves out; false where some of it can be read by now."""
        kept = {key for _, key, *_ in _read_set(self._set_of(source)) or ()}
        try:
            for _ in source.decode([i for i, key in enumerate(source.keys) if _digest(key) not in kept]):
                return False
        except UnusableImages as error:
            self._report(error)
        return True

    def _report(self, error):
        """Names what is left out, or raises what is not; a long list has a file."""
        if len(error.problems) > NAMED:
            path = self.folder / f"unusable_{error.key.removeprefix('data.').strip('-')}.txt"
            with contextlib.suppress(OSError):  # a cache for reading only; the message has the first ones
                with replacing(path) as staging:
                    staging.write_text("\n".join([f"{error.title}:", *error.problems, ""]), encoding="utf-8")
                error.list_file = path
        if not error.left_out:
            raise error
        error.report()

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
        return [tuple(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
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
