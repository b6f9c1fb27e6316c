"""Pairs from folders of image files; LR images are read from a second folder, or downscaled from HR images."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from esrgan_tf.data.pairing import pair_names
from esrgan_tf.data.store import Source, UnusableImages
from esrgan_tf.errors import UserError, listed, printable
from esrgan_tf.imaging.image_formats import NAMES
from esrgan_tf.imaging.listing import Listing, list_images, words_for
from esrgan_tf.imaging.reading import read_rgb
from esrgan_tf.imaging.resampling import bicubic, crop_to_multiple

_AT_ONCE = 32  # images decoded ahead, so that memory stays bounded

_READER_VERSION = 2  # raised whenever files are decoded to other pixels, because the cache may hold the old pixels


class _Problem(NamedTuple):
    """Why a pair is unusable. `sized`: both images were read. `exchanged`: LR is larger than HR by the scale."""

    words: str
    sized: bool = False
    exchanged: bool = False


_Read = tuple[np.ndarray, np.ndarray] | _Problem  # lr and hr, or why they are unusable


def folder_source(
    hr_dir: str,
    lr_dir: str | None,
    scale: int,
    keys: tuple[str, str] = ("data.hr_dir", "data.lr_dir"),
    skip_unreadable: bool | None = None,
    say: Callable[[str], None] = lambda line: tqdm.write(line, sys.stderr),
) -> Source:
    """A source of all images below `hr_dir` and their partners below `lr_dir`, by the rules of `pair_names`.

    Without `lr_dir`, HR images are cropped to a multiple of `scale` and downscaled by Pillow's antialiased bicubic.

    Args:
        keys: the names of the two folders in messages.
        skip_unreadable: true leaves out unusable pairs, with a line on standard error; false raises an error that
            names `data.skip_unreadable`. None, for commands without this key, raises an error that does not.
        say: receives a line on LR images without a partner; by default, standard error.

    Raises:
        UserError: a folder does not exist or has no image, both folders are the same, or partners are missing or
            ambiguous. While decoding: the folders are exchanged.
        UnusableImages: while decoding, after all readable pairs. It lists damaged files, names that are not files,
            folders that cannot be listed, and pairs with sizes that do not fit.
    """
    hr_key, lr_key = keys
    hr_root = Path(hr_dir).expanduser()
    hr_listing = _list_folder(hr_root, hr_key)
    wrong = hr_listing.problems
    hr_files = _names(hr_listing, hr_root)
    pairs: dict[str, tuple[Path, Path | None]] = {name: (path, None) for name, path in hr_files.items()}
    if lr_dir is not None:
        lr_root = Path(lr_dir).expanduser()
        lr_listing = _list_folder(lr_root, lr_key)
        if os.path.samefile(hr_root, lr_root):
            raise UserError(f"{hr_key} and {lr_key} are both {hr_root}; use separate folders for HR and LR images")
        wrong |= lr_listing.problems
        lr_files = _names(lr_listing, lr_root)
        partners = _pair_files(
            list(hr_files), list(lr_files), lr_listing, scale, (hr_key, hr_root), (lr_key, lr_root), say
        )
        pairs = {name: (path, lr_files[partners[name]]) for name, path in hr_files.items()}
        pairs |= {f"{lr_key} {folder}": (folder, None) for folder in lr_listing.closed}
    pairs |= {str(folder.relative_to(hr_root)): (folder, None) for folder in hr_listing.closed}
    names = list(pairs)
    # The cache never has the pixels of files that cannot be read.
    stamps = [[_READER_VERSION, scale, _stamp(hr, wrong), lr and _stamp(lr, wrong)] for hr, lr in pairs.values()]

    def decode(numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        problems, sized, exchanged = [], 0, []
        for done, (i, result) in enumerate(
            _compute_ahead(lambda i: _read_pair(names[i], *pairs[names[i]], scale, wrong), numbers)
        ):
            if isinstance(result, _Problem):
                problems.append(printable(result.words))
                sized += result.sized
                exchanged += [result.words] if result.exchanged else []
            else:
                sized += 1
                yield i, *result
            last = (done + 1) % _AT_ONCE == 0 or done + 1 == len(numbers)
            if last and exchanged and len(exchanged) == sized and len(numbers) == len(names):
                raise UserError(f"{hr_key} and {lr_key} are exchanged: {exchanged[0]}")
        if problems:
            raise UnusableImages(hr_key, problems, len(names), skip_unreadable)

    facts = {"source": "folder", "hr": str(hr_root.resolve()), "lr": lr_dir and str(lr_root.resolve()), "scale": scale}
    facts["skip_unreadable"] = bool(skip_unreadable)
    return Source(facts, names, stamps, decode)


def _compute_ahead(function: Callable[[int], _Read], numbers: Sequence[int]) -> Iterator[tuple[int, _Read]]:
    """Yields each number and the result of the function, in order; threads compute up to `_AT_ONCE` ahead."""
    pending: deque[tuple[int, Future[_Read]]] = deque()
    with ThreadPoolExecutor() as pool:
        try:
            for i in numbers:
                pending.append((i, pool.submit(function, i)))
                if len(pending) == _AT_ONCE:
                    number, future = pending.popleft()
                    yield number, future.result()
            while pending:  # removed from the queue, so that results are freed after use
                number, future = pending.popleft()
                yield number, future.result()
        finally:
            for _, future in pending:
                future.cancel()


def _list_folder(folder, key) -> Listing:
    if not folder.is_dir():
        raise UserError(f"{key}: no folder {folder.absolute()}")
    listing = list_images(folder)
    if not listing.files and listing.problems:
        raise UserError(f"{key}: {listed([f'{path}: {words}' for path, words in listing.problems.items()])}")
    if not listing.files:
        raise UserError(f"{key}: no image in {folder}; expected files such as {NAMES}")
    return listing


def _names(listing, root):
    """The images by their names below the folder, including names that are not files, so that partners match."""
    return {path.relative_to(root).as_posix(): path for path in sorted([*listing.files, *listing.not_files])}


def _pair_files(hr_names, lr_names, lr_listing, scale, hr, lr, say):
    (hr_key, hr_root), (lr_key, lr_root) = hr, lr
    pairing = pair_names(hr_names, lr_names, scale)
    for hr_found, lr_found in pairing.ambiguous[:1]:
        more = f" ({len(pairing.ambiguous) - 1} more like this)" if len(pairing.ambiguous) > 1 else ""
        if len(lr_found) > 1:
            raise UserError(
                f"{lr_key}: {listed(lr_found)} could each be the partner of {hr_found[0]}{more}; "
                f"remove the wrong ones, or rename the right one to {hr_found[0]}"
            )
        raise UserError(
            f"{lr_key}: {lr_found[0]} could be the partner of each of {listed(hr_found)}{more}; "
            "give each HR image an LR image with exactly the same name"
        )
    lr_alone = f"{len(pairing.lr_alone)} of {len(lr_names)} images" if pairing.lr_alone else ""
    if pairing.hr_alone:
        for folder, words in lr_listing.closed.items():
            raise UserError(f"{lr_key}: {folder}: {words}")
        swapped = {} if pairing.partners else pair_names(lr_names, hr_names, scale).partners
        for hr_name, lr_name in swapped.items():
            raise UserError(f"{hr_key} and {lr_key} are exchanged: {lr_name} has the name of {hr_name}'s LR partner")
        first = Path(pairing.hr_alone[0])
        alone = f"; {lr_alone} in it have no HR partner, such as {pairing.lr_alone[0]}" if lr_alone else ""
        raise UserError(
            f"{lr_key}: {lr_root} lacks the partner of {listed(pairing.hr_alone, 3)} "
            f"({len(pairing.hr_alone)} of {len(hr_names)} HR images); expected the same name, or "
            f"{first.with_suffix('').as_posix()}x{scale}, with any image extension{alone}"
        )
    if lr_alone:
        line = f"note: {lr_key}: {lr_alone} have no partner in {hr_root} and are not used, such as "
        say(printable(line + pairing.lr_alone[0]))
    return pairing.partners


def _read_pair(name: str, hr_file: Path, lr_file: Path | None, scale: int, wrong: dict[Path, str]) -> _Read:
    """Returns (lr, hr), or why the pair is unusable."""
    try:
        return _decode_pair(name, hr_file, lr_file, scale, wrong)
    except MemoryError:
        return _Problem(f"{name} (there is not enough memory for it)")


def _decode_pair(name, hr_file, lr_file, scale, wrong):
    pixels: list[np.ndarray] = []
    for path in (hr_file,) if lr_file is None else (hr_file, lr_file):
        origin = "its LR partner: " if pixels else ""
        if path in wrong:
            return _Problem(f"{name} ({origin}{wrong[path]})")
        try:
            pixels.append(read_rgb(path))
        except MemoryError:
            raise
        except Exception as error:  # a failure concerns one file, which is reported by name
            return _Problem(f"{name} ({origin}{words_for(error, path)})")
    hr, lr = pixels[0], pixels[-1]
    if lr_file is None:
        hr = crop_to_multiple(hr, scale)
        if 0 in hr.shape:
            return _Problem(f"{name} (smaller than the scale, {scale} pixels)")
        return bicubic(hr, hr.shape[0] // scale, hr.shape[1] // scale), hr
    if not _fit(lr, hr, scale):
        sizes = f"{lr.shape[1]}x{lr.shape[0]} and {hr.shape[1]}x{hr.shape[0]}"
        words = f"{name} (the LR and HR images are {sizes}, not 1:{scale})"
        return _Problem(words, sized=True, exchanged=scale > 1 and _fit(hr, lr, scale))
    return lr, hr[: lr.shape[0] * scale, : lr.shape[1] * scale]


def _fit(lr, hr, scale):
    """Whether the sizes are 1:scale; HR may have up to scale - 1 surplus rows and columns from cropping."""
    return all(0 <= large - small * scale < scale for small, large in zip(lr.shape[:2], hr.shape[:2], strict=True))


def _stamp(path, wrong):
    try:
        state = None if path in wrong else path.stat()
    except OSError as error:  # the file was removed after the listing
        wrong[path], state = words_for(error, path), None
    return [str(path), wrong[path]] if state is None else [os.path.realpath(path), state.st_size, state.st_mtime_ns]
