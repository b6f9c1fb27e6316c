"""Atomic replacement of files and folders, locks, and checks of output paths."""

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

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # errors of file systems without locks
_WINDOWS_LOOP = 1921  # ERROR_CANT_RESOLVE_FILENAME
_TOKEN = 16  # hexadecimal digits that make a name unique
_REMOTE_LOCK_AGE = 7 * 24 * 3600.0  # seconds


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a temporary path beside `target`, to which the caller writes a file or a folder.

    At the end the temporary file is flushed to the disk and replaces `target`, or the file to which `target` links. A
    folder replaces only a missing or an empty folder. On an error the temporary file is deleted; the next call for
    `target` deletes temporary files of killed processes. Any number of threads, processes and machines may write to
    `target` at once: the last writer wins.
    """
    target = Path(os.path.realpath(target))
    # The name may be as long as the file system allows; writers read the extension, so the end of the name is kept.
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
    """Deletes the temporary file of a lock file that is not in use; holds the lock, since the owner may delete too."""
    if is_in_use(lock_file):
        return
    with contextlib.suppress(OSError):  # another process holds or has deleted the lock file by now
        with file_lock(lock_file, timeout=0):
            delete(lock_file.with_name(lock_file.name.removesuffix(".lock")))
            if os.name != "nt":
                lock_file.unlink()
        if os.name == "nt":  # Windows deletes no open file
            lock_file.unlink(missing_ok=True)


def unique_name() -> str:
    """This machine's name, a dot and random hexadecimal digits."""
    return f"{_machine()}.{secrets.token_hex(_TOKEN // 2)}"


def file_lock(path: Path, timeout: float = -1) -> FileLock:
    """A lock on a file, exclusive among threads, processes and, if the file system supports it, machines.

    `acquire` raises TimeoutError after `timeout` seconds (never, if negative). On a file system without locks it raises
    OSError with an error number of `NO_LOCKS`. The system releases the lock when the process ends.

    Raises:
        OSError: the file cannot be written.
    """
    # filelock waits on some of the errors that this raises.
    with open(path, "a", encoding="utf-8"):
        pass
    return FileLock(path, timeout=timeout, poll_interval=0.02, fallback_to_soft=False)


def is_locked(path: Path) -> bool | None:
    """Whether a process holds the lock of a file, which need not be writable.

    None if the file system has no locks, or if the file may not be read.
    """
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
    """Holds the lock of a file with a `unique_name` in its name, and deletes the file at the end."""
    lock = file_lock(lock_file, timeout=60)  # a new file, so no other process holds it for long
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()
        with contextlib.suppress(OSError):  # on Windows another process may have the file open
            lock_file.unlink(missing_ok=True)


def is_in_use(lock_file: Path) -> bool:
    """Whether a lock file is held or may be held.

    A lock of another machine counts as held for a week after its creation, because some shared file systems do not
    share locks between machines.
    """
    if is_locked(lock_file) is not False:
        return True
    if f".{_machine()}." in lock_file.name:
        return False
    try:
        return time.time() - lock_file.stat().st_mtime < _REMOTE_LOCK_AGE
    except OSError:  # another process has just deleted it
        return False


def _machine():
    return socket.gethostname().partition(".")[0][:40]


def _replace(staging, target):
    """`os.replace`; on Windows it retries for two seconds while another process has the target open."""
    for attempt in range(40):
        try:
            os.replace(staging, target)
            return
        except PermissionError:
            if os.name != "nt" or attempt == 39:
                raise
            time.sleep(0.05)


def remove(path: Path) -> None:
    """Deletes a file or a folder; an interruption leaves a hidden remainder, which the next call deletes."""
    for leftover in path.parent.glob(f".removed.*.{glob.escape(path.name)}"):
        delete(leftover)
    hidden = path.with_name(f".removed.{secrets.token_hex(_TOKEN // 2)}.{path.name}")
    path.rename(hidden)
    delete(hidden)


def delete(path: Path) -> None:
    """Deletes a file, or a folder with its content; does nothing if `path` does not exist."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Waits until a file or a folder is on the disk, so that it survives a power cut."""
    windows = os.name == "nt"  # flushes only files that are open for writing, and opens no folders
    if windows and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot flush folders
            raise
    finally:
        os.close(descriptor)


def check_new(target: Path) -> None:
    """Refuses an output path that exists or cannot be created.

    Raises:
        UserError: `target` exists, has a file among its parent folders, or is `-` (standard output).
    """
    if target == Path("-"):
        raise UserError("-: this output cannot go to standard output; name a file or a folder")
    check_absent(target)
    check_folder(target)


def check_absent(path: Path) -> None:
    """Refuses to overwrite a file or a folder.

    Raises:
        UserError: `path` exists.
    """
    if path.exists():
        raise UserError(f"{path} exists; remove it or choose another name")


def check_folder(target: Path) -> None:
    """Refuses an output path that has a file, or a broken link, among its parent folders.

    Raises:
        UserError: a parent of `target` is a file, a broken link, or a link to itself.
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
    """Whether the error is a loop of symbolic links."""
    return error.errno == errno.ELOOP or getattr(error, "winerror", None) == _WINDOWS_LOOP
