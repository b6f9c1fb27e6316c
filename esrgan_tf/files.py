"""Files and folders that are, at every moment, either the old ones or the new ones."""

import contextlib
import errno
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from esrgan_tf.errors import UserError

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # how disks say that they have none
_TOKEN = 16  # hexadecimal digits that make a staging name unique


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A name beside `target` to write a file or a folder to.

    At the end it is flushed to the disk and takes the place of `target`, or of what that links to. A folder replaces
    nothing, or an empty one. On an error nothing is left of it; what a process that was killed left goes with the next.
    Any number of threads, processes and machines may write the same target: the last one to end wins.
    """
    target = Path(os.path.realpath(target))
    # A name may be as long as the disk allows; its end is what writers look at.
    name = target.name.encode()[-160:].decode(errors="ignore")
    _delete_leftovers(target.parent, name)
    staging = target.with_name(f".{secrets.token_hex(_TOKEN // 2)}.{name}")
    with _locked(_lock_of(staging)):
        try:
            yield staging
            for path in (*staging.rglob("*"), staging):
                flush(path)
            os.replace(staging, target)
            flush(target.parent)
        finally:
            delete(staging)


def _lock_of(staging):
    return staging.with_name(f"{staging.name}.lock")


@contextlib.contextmanager
def _locked(path):
    """Holds a lock file, which tells others that its staging name is in use; it is deleted at the end."""
    lock = FileLock(path)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        path.unlink(missing_ok=True)  # where a disk has no locks, leftovers stay, since nobody can tell their owner
        yield
        return
    try:
        yield
    finally:
        lock.release()
        path.unlink(missing_ok=True)


def _delete_leftovers(folder, name):
    """Deletes the staging names for `name` whose owners have ended: nobody holds their locks."""
    for path in folder.glob(f".{'?' * _TOKEN}.{glob.escape(name)}.lock"):
        lock = FileLock(path, timeout=0)
        with contextlib.suppress(OSError):  # Timeout among them: the owner is alive; or it has just ended
            with lock:
                delete(path.with_name(path.name.removesuffix(".lock")))
            path.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Deletes a file or a folder. Cut in between, it leaves a hidden name and not half a folder under its own."""
    for leftover in path.parent.glob(f".removed.*.{glob.escape(path.name)}"):
        delete(leftover)
    hidden = path.with_name(f".removed.{secrets.token_hex(_TOKEN // 2)}.{path.name}")
    path.rename(hidden)
    delete(hidden)


def delete(path: Path) -> None:
    """Deletes a file, a folder with all that is in it, or nothing where there is nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Waits until a file or a folder is on the disk, where a power cut cannot undo it."""
    windows = os.name == "nt"  # flushes what is open for writing, and opens no folders
    if windows and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks do not know it, for folders
            raise
    finally:
        os.close(descriptor)


def check_new(target: Path) -> None:
    """Refuses a place to write to where there is something, or that no folder can hold.

    Raises:
        UserError: `target` exists, lies below a file, or is what elsewhere stands for standard output.
    """
    if target == Path("-"):
        raise UserError("-: standard output takes none of what is written here; name a file or a folder")
    check_absent(target)
    check_folder(target)


def check_absent(path: Path) -> None:
    """Refuses to write over something.

    Raises:
        UserError: `path` exists.
    """
    if path.exists():
        raise UserError(f"{path} exists; remove it or choose another name")


def check_folder(target: Path) -> None:
    """Refuses a place to write to that no folder can hold.

    Raises:
        UserError: `target` lies below a file.
    """
    nearest = next(parent for parent in target.absolute().parents if parent.exists())
    if not nearest.is_dir():
        raise UserError(f"{target}: {nearest} is a file, not a folder")
