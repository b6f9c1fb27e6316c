"""Files and folders that are, at every moment, either the old ones or the new ones."""

import contextlib
import errno
import glob
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from esrgan_tf.errors import UserError


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A name beside `target` to write a file or a folder to.

    At the end it is flushed to the disk and takes the place of `target`, or of what that links to. A folder replaces
    nothing, or an empty one. On an error nothing is left of it; what a process that was killed left goes with the next.
    """
    target = Path(os.path.realpath(target))
    # A name may be as long as the disk allows; its end is what writers look at.
    name = target.name.encode()[-160:].decode(errors="ignore")
    # Disks are shared: only this machine knows which of its own processes are gone.
    machine = f".{socket.gethostname().partition('.')[0][:40]}-"
    for path in target.parent.glob(f"{glob.escape(machine)}*.{glob.escape(name)}"):
        owner = path.name.removeprefix(machine).partition(".")[0]
        if owner.isdecimal() and not _is_alive(int(owner)):
            _delete(path)
    staging = target.with_name(f"{machine}{os.getpid()}.{name}")
    try:
        yield staging
        for path in (*staging.rglob("*"), staging):
            flush(path)
        os.replace(staging, target)
        flush(target.parent)
    finally:
        _delete(staging)


def remove(path: Path) -> None:
    """Deletes a file or a folder. Cut in between, it leaves a hidden name and not half a folder under its own."""
    hidden = path.with_name(f".removed.{path.name}")
    _delete(hidden)
    path.rename(hidden)
    _delete(hidden)


def flush(path: Path) -> None:
    """Waits until a file or a folder is on the disk, where a power cut cannot undo it."""
    descriptor = os.open(path, os.O_RDONLY)
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


def _is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _delete(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
