"""Files and folders that are, at every moment, either the old ones or the new ones."""

import contextlib
import errno
import glob
import os
import secrets
import shutil
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from esrgan_tf.errors import UserError

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # how disks say that they have none
_WINDOWS_LOOP = 1921  # ERROR_CANT_RESOLVE_FILENAME
_TOKEN = 16  # hexadecimal digits that make a name unique
_FOREIGN = 7 * 24 * 3600.0  # seconds


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A name beside `target` to write a file or a folder to.

    At the end it is flushed to the disk and takes the place of `target`, or of what that links to. A folder replaces
    nothing, or an empty one. On an error nothing is left of it; what a process that was killed left goes with the next.
    Any number of threads, processes and machines may write the same target: the last one to end wins.
    """
    target = Path(os.path.realpath(target))
    # A name may be as long as the disk allows; its end is what writers look at.
    name = os.fsencode(target.name)[-160:].decode(errors="ignore")
    for lock in target.parent.glob(f".*.{'?' * _TOKEN}.{glob.escape(name)}.lock"):
        _delete_leftover(lock)
    staging = target.with_name(f".{unique_name()}.{name}")
    with in_use(staging.with_name(f"{staging.name}.lock")):
        try:
            yield staging
            for path in (*staging.rglob("*"), staging):
                flush(path)
            _replace(staging, target)
            flush(target.parent)
        finally:
            delete(staging)


def _delete_leftover(lock_file):
    """Deletes what a lock file stands for, unless it is in use; with the lock held, since its owner may be about to."""
    if is_in_use(lock_file):
        return
    with contextlib.suppress(OSError):  # held by now, or deleted by another who looks after leftovers
        with file_lock(lock_file, timeout=0):
            delete(lock_file.with_name(lock_file.name.removesuffix(".lock")))
            if os.name != "nt":
                lock_file.unlink()
        if os.name == "nt":  # where no open file can be deleted
            lock_file.unlink(missing_ok=True)


def unique_name() -> str:
    """This machine's name, a dot, and random digits."""
    return f"{_machine()}.{secrets.token_hex(_TOKEN // 2)}"


def file_lock(path: Path, timeout: float = -1) -> FileLock:
    """A lock on a file, exclusive among threads, processes and, where the disk does it, machines.

    To acquire it raises TimeoutError after so many seconds (never, if negative), and OSError with one of `NO_LOCKS`
    where the disk has no locks. The system releases it when the process ends.

    Raises:
        OSError: the file cannot be written.
    """
    with open(
        path, "a", encoding="utf-8"
    ):  # filelock takes some reasons why it cannot for a lock that is held, and waits
        pass
    return FileLock(path, timeout=timeout, poll_interval=0.02, fallback_to_soft=False)


def is_locked(path: Path) -> bool | None:
    """Whether somebody holds the lock of a file, which need not be writable. None where that cannot be told: without
    locks, or without permission to read."""
    try:
        if sys.platform != "win32":
            import fcntl

            with open(path, encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except ImportError:
        pass
    except FileNotFoundError:
        return False
    except OSError as error:
        return True if isinstance(error, BlockingIOError) else None
    if not path.is_file():
        return False
    try:
        with file_lock(path, timeout=0):
            return False
    except TimeoutError:
        return True
    except OSError:
        return None


@contextlib.contextmanager
def in_use(lock_file: Path) -> Iterator[None]:
    """Holds a lock file of a `unique_name`, by which `is_in_use` knows; it is deleted at the end."""
    lock = file_lock(lock_file, timeout=60)  # it is new, and nobody else's
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()
        with contextlib.suppress(OSError):  # on Windows another process may be looking at it
            lock_file.unlink(missing_ok=True)


def is_in_use(lock_file: Path) -> bool:
    """Whether a lock file is held, as far as can be told.

    Another machine's lock counts as held for a week after it was made: locks of some shared disks are one machine's
    alone.
    """
    if is_locked(lock_file) is not False:
        return True
    if f".{_machine()}." in lock_file.name:
        return False
    try:
        return time.time() - lock_file.stat().st_mtime < _FOREIGN
    except OSError:  # it was just deleted
        return False


def _machine():
    return socket.gethostname().partition(".")[0][:40]


def _replace(staging, target):
    """`os.replace`; on Windows again and again for two seconds, while another process has the target open."""
    for attempt in range(40):
        try:
            os.replace(staging, target)
            return
        except PermissionError:
            if os.name != "nt" or attempt == 39:
                raise
            time.sleep(0.05)


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
        UserError: `target` lies below a file, or below a link that leads nowhere.
    """
    for parent in target.absolute().parents:
        try:
            mode = os.stat(parent).st_mode
        except OSError as error:
            if is_loop(error):
                raise UserError(f"{target}: {parent} is a link that leads back to itself") from error
            if parent.is_symlink():
                raise UserError(f"{target}: {parent} is a link to a folder that does not exist") from error
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise
            continue
        if not stat.S_ISDIR(mode):
            raise UserError(f"{target}: {parent} is a file, not a folder")
        return


def is_loop(error: OSError) -> bool:
    """Whether a name could not be followed because links lead to one another."""
    return error.errno == errno.ELOOP or getattr(error, "winerror", None) == _WINDOWS_LOOP
