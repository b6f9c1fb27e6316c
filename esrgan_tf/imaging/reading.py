"""The reader of image files for training and upscaling: pixels of 8 or 16 bits, transparency and metadata.

libvips decodes most formats; `fallback_readers` decodes the others. `image_formats` lists them all.
"""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyvips

from esrgan_tf.errors import UserError
from esrgan_tf.imaging import tiff_structure as tiff
from esrgan_tf.imaging.fallback_readers import read_other, scale_to_16_bits
from esrgan_tf.imaging.image_formats import NAMES, format_of, help_for
from esrgan_tf.imaging.inventory import Inventory
from esrgan_tf.imaging.jpeg_structure import MISSING, remove_harmless_faults, restarts_in_order
from esrgan_tf.imaging.limits import check_size
from esrgan_tf.imaging.metadata import apply_orientation, orientation, read_metadata
from esrgan_tf.imaging.other_containers import repair_gif, repair_webp
from esrgan_tf.imaging.png_chunks import remove_large_texts
from esrgan_tf.imaging.png_structure import read_heads_before_pixels, repair_png
from esrgan_tf.imaging.resolution import open_source, resolution

logging.getLogger("pyvips").setLevel(logging.ERROR)  # hides its warnings about damaged files
pyvips.cache_set_max(0)  # the cache's keys are file names, and canvases reuse names with other pixels

_REPAIRS = {"pngload": repair_png, "gifload": repair_gif, "webpload": repair_webp}  # tried if libvips refuses a file
_MISSING_IN_JPEG = ("premature end of data segment", "instead of RST", "bad Huffman code", "bad arithmetic code")
_GRAY_NOISE = 2  # levels between the bands of a gray image that was stored as RGB


@dataclass(frozen=True)
class Picture:
    """A decoded file.

    Attributes:
        colour: uint8 or uint16 `[H, W, 3]`, or `[H, W, 1]` for gray, also for gray stored as RGB. The colours of fully
            transparent pixels are replaced by visible colours from nearby, so that edges have no fringes.
        alpha: `[H, W, 1]` of the same type, or None.
        stored_bands: 3 or 1, the colour bands of the file and of its result.
        format: the extension of the file's format, or `.png` if that format is not written.
        header: libvips' image of the decoded pixels, with their profile.
        resolution: pixels per millimetre across and down; None if the file has none.
        metadata: all other metadata of the file.
    """

    colour: np.ndarray
    alpha: np.ndarray | None
    stored_bands: int
    format: str
    header: pyvips.Image
    resolution: tuple[float, float] | None
    metadata: Inventory


@dataclass(frozen=True)
class _Decoded:
    """Pixels of uint8 or uint16 `[H, W, bands]`, gray or RGB, perhaps with transparency as the last band."""

    pixels: np.ndarray
    has_alpha: bool
    format: str
    header: pyvips.Image
    resolution: tuple[float, float] | None
    metadata: Inventory


def read_picture(source: Path | bytes) -> Picture:
    """Decodes a file for upscaling, upright by the orientation in its EXIF, or in its XMP if EXIF has none.

    Raises:
        UserError: the file is empty, damaged, animated, too large or not of a format that is read, or its pixels or
            bands have no declared meaning.
    """
    try:
        decoded = _decode(source)
    except UserError as error:
        raise UserError(f"{source if isinstance(source, Path) else 'standard input'}: {error}") from error
    colour, alpha = decoded.pixels, None
    if decoded.has_alpha:
        alpha = np.ascontiguousarray(decoded.pixels[..., -1:])
        colour = without_hidden_colours(decoded.pixels[..., :-1], alpha)
    bands = colour.shape[2]
    rest = decoded.format, decoded.header, decoded.resolution, decoded.metadata
    return Picture(_to_gray_if_equal(colour), alpha, bands, *rest)


def read_rgb(source: Path | bytes) -> np.ndarray:
    """Decodes a file for training: the pixels of `read_picture` as uint8 RGB `[H, W, 3]` on white.

    Raises:
        UserError: as `read_picture`, without the file's name.
    """
    decoded = _decode(source)
    pixels = decoded.pixels
    most = np.iinfo(pixels.dtype).max
    if decoded.has_alpha:
        alpha = pixels[..., -1:] / np.float32(most)
        pixels = np.rint(pixels[..., :-1] * alpha + most * (1 - alpha)).astype(pixels.dtype)
    if most > 255:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


@contextlib.contextmanager
def translate_vips_error() -> Iterator[None]:
    """Converts libvips' errors of several lines into a `UserError` of one line."""
    try:
        yield
    except UnicodeDecodeError as error:  # libvips' message has bytes of a damaged file, and stays in its buffer
        pyvips.vips_lib.vips_error_clear()
        raise UserError("the message of libvips cannot be printed; the file is damaged") from error
    except pyvips.Error as error:
        lines = [line.strip() for line in str(error.detail or error.message).splitlines() if line.strip()]
        # For a truncated file, these lines are attempts to read beyond the end; the reason comes after them.
        lines = [line for line in lines if not line.startswith("source: bad seek")] or lines
        raise UserError(f"libvips: {'; '.join(dict.fromkeys(lines)):.200}") from error


def _decode(source):
    if isinstance(source, Path):
        try:
            str(source).encode()
        except UnicodeEncodeError:  # libvips takes names in UTF-8 only
            source = source.read_bytes()
    with translate_vips_error():
        return _read(source)


def _read(source):
    with open_source(source) as file:  # raises the system's error for a missing or forbidden file
        head = file.read(64)
    if not head:
        raise UserError("the file is empty")
    if isinstance(source, Path) and (words := help_for(source)):
        raise UserError(words)
    # Other readers of libvips are not used: some, such as the SVG reader, follow links and have many vulnerabilities.
    found = format_of(head)
    if found is None:
        raise UserError(f"not an image; {NAMES} are read")
    loader = found.loader
    if loader is None:
        return _finish(read_other(source, found), found.kind, source)
    if loader == "heifload" and head[8:12] == b"avis":
        raise UserError("it is an animated AVIF; save the frame that you want as a separate file")
    if loader == "jpegload":
        return _read_jpeg(source)
    if loader == "tiffload":
        return _read_tiff(source)
    if loader == "pngload" and _is_animated_png(source):
        raise UserError("it is an animated PNG; save the frame that you want as a separate file")
    stored = (remove_large_texts(source) if loader == "pngload" else None) or source
    try:
        return _finish(_open(loader, _make_source(stored)), found.kind, source)
    except (pyvips.Error, UnicodeDecodeError):
        if loader not in _REPAIRS:
            raise
        with open_source(source) as file:
            data = _REPAIRS[loader](file.read())
        return _finish(_open(loader, _make_source(data)), found.kind, data)


def _read_jpeg(source):
    with open_source(source) as file:
        data, rows = remove_harmless_faults(file.read())
    try:
        image = _open("jpegload", _make_source(data), "warning")
        return _finish(image if rows is None else image.crop(0, 0, image.width, rows), ".jpg", source)
    except pyvips.Error as error:
        if any(words in error.detail for words in _MISSING_IN_JPEG):
            raise UserError(MISSING) from error
        # The decoder skips surplus bytes; the pixels are complete unless a restart marker is missing.
        if "extraneous bytes before marker" not in error.detail:
            raise
        if not restarts_in_order(data):
            raise UserError(MISSING) from error
        image = _open("jpegload", _make_source(data))
        return _finish(image if rows is None else image.crop(0, 0, image.width, rows), ".jpg", source)


def _read_tiff(source):
    with open_source(source) as file:
        directories = tiff.read_directories(file)
        if len(directories) > 1:
            raise UserError(
                f"it holds {len(directories)} frames or pages; save the one that you want as a separate file"
            )
        directory = directories[0]
        tiff.check_pixels(directory)
        model = tiff.colour_model(directory)
        if model == tiff.LAB:
            if directory.is_signed:  # libvips' convention: lightness of 15 bits, and a D65 white
                image = _open("tiffload", _make_source(source), "warning").colourspace("rgb16")
                return _finish(image, ".tif", source)
            stream = tiff.plain_source(file, directory, as_rgb=True)
            image = _lab_to_srgb(
                _open("tiffload", stream, "warning"), directory.get(tiff.PHOTOMETRIC, 0) == tiff.ICCLAB
            )
            return _finish(image, ".tif", source)
        if directory.is_first:
            try:
                return _finish(_open("tiffload", _make_source(source), "warning"), ".tif", source)
            except (pyvips.Error, UnicodeDecodeError):
                if not tiff.can_be_plain(directory):
                    raise
        stream = tiff.plain_source(file, directory)
        return _finish(_open("tiffload", stream, "warning"), ".tif", source)


def _make_source(source):
    if isinstance(source, Path):
        return pyvips.Source.new_from_file(str(source))
    return pyvips.Source.new_from_memory(source)


def _open(loader, stream, fail_on="error"):
    image = getattr(pyvips.Image, f"{loader}_source")(stream, fail_on=fail_on)
    if loader != "tiffload" and image.get_typeof("n-pages") and image.get("n-pages") > 1:
        raise UserError(
            f"it holds {image.get('n-pages')} frames or pages; save the one that you want as a separate file"
        )
    if loader == "jpegload" and image.bands == 2:  # JPEG has no transparency
        raise UserError("it has 2 bands of no declared meaning; gray, RGB and CMYK are read")
    check_size(image.width, image.height)
    if loader == "heifload" and image.format == "ushort":
        image = scale_to_16_bits(image)
    return image


def _finish(image, kind, source):
    """Decodes all pixels, upright, and reads the metadata."""
    metadata = read_metadata(source, image)
    density = resolution(image, source, metadata.exif)
    if density and orientation(metadata) >= 5:
        density = density[::-1]
    image = _to_rgb_or_gray(apply_orientation(image, metadata))
    pixels = image.numpy().reshape(image.height, image.width, image.bands)
    return _Decoded(pixels, image.hasalpha(), kind, image, density, metadata)


def _is_animated_png(source):
    """Whether a PNG has frames besides its pixels; libvips decodes the pixels only.

    An animation has a chunk acTL before the pixels. If a chunk fcTL precedes the pixels, they are its first frame.
    """
    frames, names = 0, set()
    with open_source(source) as file:
        for name, _, _ in read_heads_before_pixels(file):
            names.add(name)
            if name == b"acTL":
                frames = int.from_bytes(file.read(4), "big")
    return b"acTL" in names and (frames > 1 or b"fcTL" not in names)


def _lab_to_srgb(image, unsigned):
    """Converts TIFF's CIELAB, of a D50 white, to sRGB.

    Args:
        unsigned: whether a and b are shifted by half of their range, as in ICC.
    """
    if image.format not in ("uchar", "ushort"):
        return image  # refused later, with other number formats
    deep = image.format == "ushort"
    lightness = image[0] * (100 / ((65280 if unsigned else 65535) if deep else 255))
    both = image[1:3] / (256 if deep else 1)
    both = both - 128 if unsigned else (both > 127.999).ifthenelse(both - 256, both)
    lab = lightness.bandjoin(both).cast("float").copy(interpretation="lab")
    result = lab.icc_export(output_profile="srgb", intent="relative", depth=16 if deep else 8)
    return result.bandjoin(image[3]) if image.bands > 3 else result


def _to_rgb_or_gray(image):
    """Converts to RGB or gray of 8 or 16 bits, perhaps with alpha."""
    if image.format not in ("uchar", "ushort"):
        raise UserError(f"its pixels are {image.format} numbers, which have no agreed range; save it with 8 or 16 bits")
    deep = image.format == "ushort"
    if image.interpretation == "cmyk":
        # libvips has a common CMYK profile for files without a profile.
        image = image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=16 if deep else 8)
    elif image.interpretation not in ("srgb", "rgb16", "b-w", "grey16", "multiband", "rgb"):
        image = image.colourspace("rgb16" if deep else "srgb")
    if image.bands - image.hasalpha() not in (1, 3):
        raise UserError(
            f"it has {image.bands} channels; gray and RGB can be upscaled, each with or without transparency"
        )
    return image


def _to_gray_if_equal(colour):
    """Converts to `[H, W, 1]` if the bands of `[H, W, 3]` differ at most by the noise of gray stored as RGB."""
    if colour.shape[2] == 1:
        return colour
    least, most = colour[..., 0], colour[..., 0]
    for band in (1, 2):
        least, most = np.minimum(least, colour[..., band]), np.maximum(most, colour[..., band])
    if (most - least).max() > _GRAY_NOISE:
        return colour
    return np.ascontiguousarray(colour[..., 1:2])


def without_hidden_colours(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Replaces the colours of `[H, W, C]` by visible colours from nearby, where alpha `[H, W, 1]` is 0."""
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return np.ascontiguousarray(colour)
    nearby = np.rint(_fill_unknown(colour.astype(np.float32), ~hidden)).astype(colour.dtype)
    return np.where(hidden, nearby, colour)


def _fill_unknown(colour, known):
    """Fills unknown pixels with the mean of known pixels in the smallest aligned square that has any.

    The sides of the squares are powers of 2.
    """
    height, width, bands = colour.shape
    if known.all():
        return colour
    padded = [(0, height % 2), (0, width % 2), (0, 0)]
    blocks = ((height + 1) // 2, 2, (width + 1) // 2, 2)
    weight = np.pad(known.astype(np.float32), padded).reshape(*blocks, 1)
    total = (np.pad(colour, padded).reshape(*blocks, bands) * weight).sum(axis=(1, 3))
    count = weight.sum(axis=(1, 3))
    coarse = _fill_unknown(total / np.maximum(count, 1), count > 0)
    return np.where(known, colour, coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width])
