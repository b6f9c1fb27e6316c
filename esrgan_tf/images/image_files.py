"""Image files as people have them: PNG, JPEG, WebP and TIFF, of 8 or 16 bits, with transparency, profiles and EXIF.

libvips does nearly all of it: it streams, so that a result larger than memory is written from disk to disk. What else
is read is in `other_images`.
"""

import contextlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# It writes warnings on damaged files straight to standard error, beside the one line that we say.
os.environ.setdefault("VIPS_WARNING", "0")
import pyvips

from esrgan_tf.errors import UserError
from esrgan_tf.files import replacing
from esrgan_tf.images.limits import check_size
from esrgan_tf.images.other_images import ALSO_READ, help_for, read_other, whole_range
from esrgan_tf.images.resolution import forget_resolution, opened, png_chunks, resolution

logging.getLogger("pyvips").setLevel(logging.ERROR)  # the same warnings, by Python's way
pyvips.cache_set_max(0)  # it knows files by their names, and those of canvases come again with other pixels

FORMATS = {".png": ".png", ".jpg": ".jpg", ".jpeg": ".jpg", ".webp": ".webp", ".tif": ".tif", ".tiff": ".tif"}
READ = FORMATS | ALSO_READ  # endings of inputs, and of the results that they get
_LOADERS = {"pngload": ".png", "jpegload": ".jpg", "webpload": ".webp", "tiffload": ".tif"}
_LOADERS |= {"gifload": ".png", "heifload": ".png"}
_NAMES = "PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF and HEIC are read"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how they begin; the last two for files beyond 4 GB
_DEPTH_16 = (".png", ".tif")
_LONGEST_SIDE = {".png": 2**31 - 1, ".jpg": 65_535, ".webp": 16_383, ".tif": 2**31 - 1}
_SAVE: dict[str, dict[str, Any]] = {
    ".png": {"compression": 4},
    ".jpg": {"Q": 95, "subsample_mode": "off"},
    ".webp": {"Q": 95},
    ".tif": {"compression": "deflate", "predictor": "horizontal", "resunit": "inch"},
}


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


def check_result(width: int, height: int, kind: str) -> None:
    """Refuses sizes that a format cannot hold.

    Raises:
        UserError: with formats that can.
    """
    if max(width, height) > _LONGEST_SIDE[kind]:
        raise UserError(
            f"the result has {width}x{height} pixels, and {kind[1:]} holds {_LONGEST_SIDE[kind]} on a side; "
            "choose --format png or tif"
        )


class Canvas:
    """A result on disk, painted piece by piece. Use it as a context: its space is given back at the end.

    It has no name on the disk, so that nothing is left of it however the program ends.

    Args:
        height, width, bands: of the result.
        dtype: uint8, uint16 or float32.
        folder: on whose disk it lies; None is the system's place for temporary files.
    """

    def __init__(self, height: int, width: int, bands: int, dtype: np.dtype, folder: Path | None):
        self.shape, self.dtype = (height, width, bands), np.dtype(dtype)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def __enter__(self) -> "Canvas":
        return self

    def __exit__(self, *error) -> None:
        self._file.close()

    def paint(self, row: int, column: int, piece: np.ndarray) -> None:
        """Puts `[h, w, bands]` at its place."""
        _, width, bands = self.shape
        pixel = bands * self.dtype.itemsize
        for i, line in enumerate(np.ascontiguousarray(piece, self.dtype)):
            self._file.seek(((row + i) * width + column) * pixel)
            self._file.write(line)

    def image(self) -> pyvips.Image:
        """All of it, read from the disk as it is needed."""
        self._file.flush()
        height, width, bands = self.shape
        form = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}[self.dtype.name]
        image = pyvips.Image.rawload(
            f"/dev/fd/{self._file.fileno()}", width, height, bands, format=form, access="sequential"
        )
        return image.copy(interpretation=_interpretation(bands, form))


def resized(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    """Any image at another size: bicubic where it grows, antialiased Lanczos where it shrinks."""
    across, down = width / image.width, height / image.height
    if across >= 1 and down >= 1:
        # libvips' own resize is half a pixel off when it enlarges with this kernel.
        return image.affine(
            [across, 0, 0, down],
            interpolate=pyvips.Interpolate.new("bicubic"),
            odx=(across - 1) / 2,
            ody=(down - 1) / 2,
            oarea=[0, 0, width, height],
            extend="copy",
        )
    return image.resize(across, vscale=down, kernel="lanczos3")


def from_array(pixels: np.ndarray) -> pyvips.Image:
    """`[H, W, bands]` as an image of libvips."""
    image = pyvips.Image.new_from_array(pixels)
    return image.copy(interpretation=_interpretation(image.bands, image.format))


def quantised(image: pyvips.Image, dtype: np.dtype) -> pyvips.Image:
    """Float in [0, 1] to uint8 or uint16, clipped and rounded."""
    most = np.iinfo(dtype).max
    form = {"uint8": "uchar", "uint16": "ushort"}[np.dtype(dtype).name]
    image = (image * most).rint().cast(form)  # the cast clips
    return image.copy(interpretation=_interpretation(image.bands, form))


def write_picture(
    colour: pyvips.Image, alpha: pyvips.Image | None, like: Picture, kind: str, target: Path | None
) -> list[str]:
    """Encodes a result, with the profile, EXIF and resolution of the file that it was made from.

    Args:
        colour, alpha: of one size and type; alpha has one band.
        like: the original.
        kind: one of the values of `FORMATS`.
        target: appears only when it is complete; None is standard output.

    Returns:
        What the format could not hold, in words.

    Raises:
        UserError: it cannot be encoded.
        OSError: it cannot be written.
    """
    lost = []
    if colour.format == "ushort" and kind not in _DEPTH_16:
        lost.append(f"16 bits became 8, which is what {kind[1:]} holds")
        colour, alpha = (
            None if image is None else ((image / 257.0).rint().cast("uchar").copy(
                interpretation=_interpretation(image.bands, "uchar")))
            for image in (colour, alpha)
        )  # fmt: skip
    image = colour
    if alpha is not None and kind == ".jpg":
        lost.append("transparency became white, as jpg has none")
        most = 255
        weight = alpha / most
        image = (colour * weight + most * (1 - weight)).rint().cast("uchar").copy(interpretation=colour.interpretation)
    elif alpha is not None:
        image = colour.bandjoin(alpha)
    colours = 3 if kind == ".webp" else colour.bands  # WebP has no gray
    image = _with_metadata(image, like, colours, lost)
    exif = bool(like.header.get_typeof("exif-data"))
    if kind == ".tif" and exif:
        lost.append("EXIF was left out, which tif files are written without")
    options = dict(_SAVE[kind])
    if kind == ".tif":
        options["bigtiff"] = image.width * image.height * image.bands * 2 > 2**31
    elif not exif and (like.resolution is None or kind == ".png"):  # else it is EXIF that holds the resolution
        options["keep"] = "icc|xmp|iptc|other"
    try:
        if target is None:
            with tempfile.TemporaryFile() as file, in_words():
                _encode(image, kind, options, like.resolution is None, file)
                file.seek(0)
                with open(sys.stdout.fileno(), "wb", closefd=False) as out:
                    shutil.copyfileobj(file, out, 2**20)
        else:
            with replacing(target) as staging, open(staging, "w+b") as file, in_words():
                _encode(image, kind, options, like.resolution is None, file)
    except UserError as error:
        raise UserError(f"{target or 'standard output'}: {error}") from error
    return lost


def _encode(image, kind, options, without_resolution, file):
    image.write_to_target(pyvips.Target.new_to_descriptor(file.fileno()), kind, **options)
    if without_resolution:
        forget_resolution(file, kind)


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
    try:
        image = pyvips.Image.new_from_source(stream, "", fail_on=fail_on)
    except pyvips.Error as error:
        if "known format" in str(error):
            raise UserError(f"not an image; {_NAMES}") from error
        raise
    loader = image.get("vips-loader").removesuffix("_source").removesuffix("_buffer")
    if loader not in _LOADERS:
        raise UserError(f"a {loader.removesuffix('load')} file; {_NAMES}")
    if loader == "pngload" and _is_animated_png(source):
        raise UserError("it is an animated PNG; save the frame you want by itself")
    if image.get_typeof("n-pages") and image.get("n-pages") > 1:
        raise UserError(f"it holds {image.get('n-pages')} frames or pages; save the one you want by itself")
    check_size(image.width, image.height)
    if loader == "heifload" and image.format == "ushort":
        image = whole_range(image)
    return image, _LOADERS[loader]


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


def _interpretation(bands, form):
    deep = form == "ushort"
    return {1: "grey16" if deep else "b-w", 3: "rgb16" if deep else "srgb"}.get(bands, "multiband")


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


def _with_metadata(image, like, colours, lost):
    header = like.header
    across, down = like.resolution or (1, 1)
    image = image.copy(xres=across, yres=down)
    for name in header.get_fields():
        if name == "icc-profile-data" and not _fits(header.get(name), colours):
            lost.append("its colour profile was left out, as it is for other channels than the result's")
        elif name.startswith("exif-") or name in ("icc-profile-data", "xmp-data", "iptc-data"):
            image.set_type(header.get_typeof(name), name, header.get(name))
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)  # it was turned upright
    return image


def _fits(profile, colours):
    """Whether an ICC profile's colour space (bytes 16 to 19 of its header) has as many channels."""
    return bytes(profile[16:20]) == {1: b"GRAY", 3: b"RGB "}[colours]
