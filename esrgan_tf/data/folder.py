"""Pairs from folders of image files: high resolution, and low resolution given or made."""

import itertools
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from esrgan_tf.data.store import Source
from esrgan_tf.errors import UserError, listed
from esrgan_tf.images.image_files import read_rgb
from esrgan_tf.images.training_images import bicubic, crop_to_multiple, image_files

_AT_ONCE = 32  # images decoded ahead, so that memory stays bounded

_READER = 2  # one more whenever files are decoded to other pixels: what is cached was decoded by an older one


def folder_source(
    hr_dir: str,
    lr_dir: str | None,
    scale: int,
    keys: tuple[str, str] = ("data.hr_dir", "data.lr_dir"),
    skip_unreadable: bool | None = None,
) -> Source:
    """Every image below `hr_dir`, with its partner of the same name (or DIV2K's `0001x4`) below `lr_dir`.

    Without `lr_dir` the low resolution is made by Pillow's antialiased bicubic, cropped to a multiple of `scale`.

    Args:
        keys: what the user calls the two folders, for messages.
        skip_unreadable: true leaves out what cannot be decoded or does not fit its partner, with a line on standard
            error; false refuses it with a hint at `data.skip_unreadable`, None (where there is no such key) without.

    Raises:
        UserError: no such folder, no image in it, partners missing. While decoding: every broken file and every pair
            whose sizes do not fit, by name.
    """
    hr_key, lr_key = keys
    hr_root = Path(hr_dir).expanduser()
    hr_files = _list(hr_root, hr_key)
    lr_files: list[Path | None] = [None] * len(hr_files)
    if lr_dir is not None:
        lr_root = Path(lr_dir).expanduser()
        lr_files = _partners(hr_files, hr_root, lr_root, _list(lr_root, lr_key), scale, lr_key)

    def decode(numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        problems = []
        with ThreadPoolExecutor() as pool:
            work = iter(numbers)
            while chunk := list(itertools.islice(work, _AT_ONCE)):
                for i, result in zip(
                    chunk, pool.map(lambda i: _read(hr_files[i], lr_files[i], scale), chunk), strict=True
                ):
                    if isinstance(result, str):
                        problems.append(result)
                    else:
                        yield i, *result
        if not problems:
            return
        text = f"{hr_key}: {len(problems)} of {len(hr_files)} images are unusable: {listed(problems)}"
        some_left = len(problems) < len(hr_files)
        if not (skip_unreadable and some_left):
            hint = "; mend or remove them, or leave them out with --set data.skip_unreadable=true"
            raise UserError(text + (hint if skip_unreadable is False and some_left else ""))
        tqdm.write(f"left out, {text}", sys.stderr)

    facts = {"source": "folder", "hr": str(hr_root.resolve()), "lr": lr_dir and str(lr_root.resolve()), "scale": scale}
    facts["skip_unreadable"] = bool(skip_unreadable)
    names = [str(path.relative_to(hr_root)) for path in hr_files]
    stamps = [[_READER, scale, _stamp(hr), lr and _stamp(lr)] for hr, lr in zip(hr_files, lr_files, strict=True)]
    return Source(facts, names, stamps, decode)


def _list(folder, key):
    if not folder.is_dir():
        raise UserError(f"{key}: no folder {folder.absolute()}")
    files = image_files(folder)
    if not files:
        raise UserError(f"{key}: no image in {folder}; it must hold files that Pillow reads (PNG, JPEG, TIFF, …)")
    return files


def _partners(hr_files, hr_root, lr_root, lr_files, scale, lr_key):
    by_name = {str(path.relative_to(lr_root).with_suffix("")): path for path in lr_files}
    stems = [str(path.relative_to(hr_root).with_suffix("")) for path in hr_files]
    partners = [by_name.get(stem) or by_name.get(f"{stem}x{scale}") for stem in stems]
    missing = [stem for stem, partner in zip(stems, partners, strict=True) if partner is None]
    if missing:
        raise UserError(
            f"{lr_key}: {lr_root} lacks the partner of {listed(missing)}; "
            f"expected the same name, or {Path(missing[0]).name}x{scale}, with any image ending"
        )
    return partners


def _read(hr_file: Path, lr_file: Path | None, scale: int) -> tuple[np.ndarray, np.ndarray] | str:
    """(lr, hr), or what is wrong with them."""
    try:
        hr = read_rgb(hr_file)
        lr = read_rgb(lr_file) if lr_file else None
    except (UserError, OSError) as error:
        return f"{hr_file.name} ({error})"
    if lr is None:
        hr = crop_to_multiple(hr, scale)
        if 0 in hr.shape:
            return f"{hr_file.name} (smaller than the scale, {scale} pixels)"
        return bicubic(hr, hr.shape[0] // scale, hr.shape[1] // scale), hr
    height, width = lr.shape[0] * scale, lr.shape[1] * scale
    # A remainder smaller than the scale is what people crop away before they reduce.
    if not (0 <= hr.shape[0] - height < scale and 0 <= hr.shape[1] - width < scale):
        sizes = f"{lr.shape[1]}x{lr.shape[0]} and {hr.shape[1]}x{hr.shape[0]}"
        return f"{hr_file.name} (low and high resolution are {sizes}, not 1:{scale})"
    return lr, hr[:height, :width]


def _stamp(path):
    return [str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns]
