"""The image files of a folder, by their extension; names and folders that cannot be read are listed too."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from esrgan_tf.errors import first_line
from esrgan_tf.files import is_loop
from esrgan_tf.imaging.image_formats import is_read

ABSENT = "no file or folder"


@dataclass(frozen=True)
class Listing:
    """Contents of a folder.

    Attributes:
        files: the regular files with the extension of an image, and links to such files, sorted.
        not_files: other names with the extension of an image (dead links, pipes, devices …), and why.
        closed: folders that cannot be listed, and why.
    """

    files: list[Path]
    not_files: dict[Path, str]
    closed: dict[Path, str]

    @property
    def problems(self) -> dict[Path, str]:
        """Names and folders that cannot be read, and why."""
        return dict(sorted((self.not_files | self.closed).items()))


def list_images(folder: Path, is_image: Callable[[Path], bool] = is_read, recursive: bool = True) -> Listing:
    """Lists the images in a folder. Hidden names are skipped, and links to folders are not followed.

    Args:
        is_image: whether a name is that of an image; by default, of a format that is read.
        recursive: whether subfolders are included.
    """
    listing, folders = Listing([], {}, {}), [folder]
    while folders:
        parent = folders.pop()
        try:
            with os.scandir(parent) as entries:
                names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            listing.closed[parent] = words_for(error, parent)
            continue
        for name, is_folder in names:
            path = parent / name
            if name.startswith("."):
                continue
            if is_folder:
                folders += [path] if recursive else []
            elif is_image(path) and not os.path.isdir(path):
                words = why_no_file(path)
                if words is None:
                    listing.files.append(path)
                else:
                    listing.not_files[path] = words
    listing.files.sort()
    return listing


def why_no_file(path: Path) -> str | None:
    """Why a name is not that of a regular file; None if it is. Opens nothing, because opening a pipe can block."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return words_for(error, path)
    return None if stat.S_ISREG(mode) else "not a regular file"


def words_for(error: Exception, path: Path) -> str:
    """The reason why `path` cannot be used: for links our own, else the system's or the error's first line."""
    if not isinstance(error, OSError):
        return first_line(error)
    if is_loop(error):
        return "a link that leads back to itself"
    if isinstance(error, FileNotFoundError):
        return "a link to a file that does not exist" if os.path.islink(path) else ABSENT
    return error.strerror or str(error)
