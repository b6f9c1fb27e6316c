"""Image files as people have them: PNG, JPEG, WebP and TIFF, of 8 or 16 bits, with transparency, profiles and EXIF.

Reading them, which libvips does nearly all of; what else is read is in `other_images`. Results are written by
`result_files`.
"""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyvips

from esrgan_tf.errors import UserError
from esrgan_tf.images.limits import check_size
from esrgan_tf.images.other_images import ALSO_READ, help_for, read_other, whole_range
from esrgan_tf.images.resolution import opened, png_chunks, resolution

logging.getLogger("pyvips").setLevel(logging.ERROR)  # its warnings on damaged files, by Python's way
pyvips.cache_set_max(0)  # it knows files by their names, and those of canvases come again with other pixels

FORMATS = {".png": ".png", ".jpg": ".jpg", ".jpeg": ".jpg", ".webp": ".webp", ".tif": ".tif", ".tiff": ".tif"}
READ = FORMATS | ALSO_READ  # endings of inputs, and of the results that they get
# The format of a result, by libvips' reader of the input. No other reader of it sees a file: some, such as that of SVG,
# follow links and have long lists of faults.
_LOADERS = {"pngload": ".png", "jpegload": ".jpg", "webpload": ".webp", "tiffload": ".tif"}
_LOADERS |= {"gifload": ".png", "heifload": ".png"}
_NAMES = "PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF and HEIC are read"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how they begin; the last two for files beyond 4 GB


@dataclass(frozen=True)
class Picture:
    """A decoded file.

    Attributes:
        colour: uint8 or uint16 `[H, W, 3]`, or `[H, W, 1]` for gray. What lies under full transparency is replaced by
            visible colours from nearby, which no fringe can come from.
        alpha: `[H, W, 1]` of the same type, or None.
        format: the file's own, or `.png` for those that are not written: one of the values of `FORMATS`.
        header: carries the profile, EXIF and the like.
        resolution: pixels a millimetre across and down; None if the file says nothing.
    """

    colour: np.ndarray
    alpha: np.ndarray | None
    format: str
    header: pyvips.Image
    resolution: tuple[float, float] | None


def read_picture(source: Path | bytes) -> Picture:
    """Decodes a file, upright as its EXIF says.

    Raises:
        UserError: empty, damaged, cut short, no format of ours, animated, too large, or pixels without a known range.
    """
    try:
        with in_words():
            image, kind = _opened(source)
            density = resolution(image, source)
            if density and image.get_typeof("orientation") and image.get("orientation") >= 5:
                density = density[::-1]
            image = _rgb_or_gray(image.autorot())
            pixels = image.numpy()
    except UserError as error:
        raise UserError(f"{source if isinstance(source, Path) else 'standard input'}: {error}") from error
    pixels = pixels.reshape(image.height, image.width, image.bands)
    if not image.hasalpha():
        return Picture(pixels, None, kind, image, density)
    colour, alpha = pixels[..., :-1], np.ascontiguousarray(pixels[..., -1:])
    return Picture(without_hidden_colours(colour, alpha), alpha, kind, image, density)


@contextlib.contextmanager
def in_words() -> Iterator[None]:
    """Turns libvips' errors, which are several lines, into a `UserError` of one."""
    try:
        yield
    except UnicodeDecodeError as error:  # a damaged file's bytes in libvips' message, which then stays there
        pyvips.vips_lib.vips_error_clear()
        raise UserError("libvips says what cannot be printed; the file is damaged") from error
    except pyvips.Error as error:
        lines = [line.strip() for line in str(error.detail or error.message).splitlines() if line.strip()]
        # Of a file cut short, each of many attempts to read beyond its end; the reason comes after them.
        lines = [line for line in lines if not line.startswith("source: bad seek")] or lines
        raise UserError(f"libvips says: {'; '.join(dict.fromkeys(lines)):.200}") from error


def _opened(source):
    if isinstance(source, Path):
        with open(source, "rb") as file:  # a missing or forbidden file is told by the system in its own words
            head = file.read(64)
        stream = pyvips.Source.new_from_file(str(source)) if head else None
    else:
        head = source[:64]
        stream = pyvips.Source.new_from_memory(source) if head else None
    if stream is None:
        raise UserError("the file is empty")
    if isinstance(source, Path) and (words := help_for(source)):
        raise UserError(words)
    other = read_other(source, head)
    if other is not None:
        return other, ".png"
    # Strips of a TIFF that are missing or too short are errors to libvips, tiles only warnings; of a JPEG, warnings are
    # what every other program overlooks.
    fail_on = "warning" if head[:4] in _TIFF else "error"
    loader = _loader_of(head)
    if loader is None:
        raise UserError(f"not an image; {_NAMES}")
    image = getattr(pyvips.Image, f"{loader}_source")(stream, fail_on=fail_on)
    if loader == "pngload" and _is_animated_png(source):
        raise UserError("it is an animated PNG; save the frame you want by itself")
    if image.get_typeof("n-pages") and image.get("n-pages") > 1:
        raise UserError(f"it holds {image.get('n-pages')} frames or pages; save the one you want by itself")
    check_size(image.width, image.height)
    if loader == "heifload" and image.format == "ushort":
        image = whole_range(image)
    return image, _LOADERS[loader]


def _loader_of(head):
    """Which of `_LOADERS` reads a file that begins like this; None if there is none."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "pngload"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpegload"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webpload"
    if head[:4] in _TIFF:
        return "tiffload"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gifload"
    return "heifload" if head[4:8] == b"ftyp" else None


def _is_animated_png(source):
    """Whether a chunk acTL comes before the pixels, as the animated kind has it; libvips shows the first frame only."""
    with opened(source) as file:
        return any(name == b"acTL" for name, _, _ in png_chunks(file))


def _rgb_or_gray(image):
    """8 or 16 bits, sRGB-like or gray, perhaps with alpha."""
    if image.format not in ("uchar", "ushort"):
        raise UserError(f"its pixels are {image.format} numbers, which have no agreed range; save it with 8 or 16 bits")
    deep = image.format == "ushort"
    if image.interpretation == "cmyk":
        # CMYK means nothing without a profile; libvips has a common one for files that bring none.
        image = image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=16 if deep else 8)
    elif image.interpretation not in ("srgb", "rgb16", "b-w", "grey16", "multiband", "rgb"):
        image = image.colourspace("rgb16" if deep else "srgb")
    if image.bands - image.hasalpha() not in (1, 3):
        raise UserError(f"it has {image.bands} channels; gray and RGB are enlarged, each with or without transparency")
    return image


def without_hidden_colours(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`[H, W, C]` with what lies where alpha `[H, W, 1]` is 0 replaced by visible colours from nearby."""
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return np.ascontiguousarray(colour)
    nearby = np.rint(_filled(colour.astype(np.float32), ~hidden)).astype(colour.dtype)
    return np.where(hidden, nearby, colour)


def _filled(colour, known):
    """What is not known becomes the mean of what is in the smallest aligned square of 2, 4, 8 … pixels around it."""
    height, width, bands = colour.shape
    if known.all():
        return colour
    padded = [(0, height % 2), (0, width % 2), (0, 0)]
    blocks = ((height + 1) // 2, 2, (width + 1) // 2, 2)
    weight = np.pad(known.astype(np.float32), padded).reshape(*blocks, 1)
    total = (np.pad(colour, padded).reshape(*blocks, bands) * weight).sum(axis=(1, 3))
    count = weight.sum(axis=(1, 3))
    coarse = _filled(total / np.maximum(count, 1), count > 0)
    return np.where(known, colour, coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width])
