"""Results on their way to the disk: painted piece by piece, resized, and encoded as PNG, JPEG, WebP or TIFF.

Larger than memory, if need be: libvips streams them from disk to disk.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from esrgan_tf.errors import UserError
from esrgan_tf.files import replacing
from esrgan_tf.images.image_files import Picture, in_words
from esrgan_tf.images.resolution import forget_resolution

_OPEN_FILES = Path("/dev/fd")  # by their numbers, on Linux and macOS
_DEPTH_16 = (".png", ".tif")
_LONGEST_SIDE = {".png": 2**31 - 1, ".jpg": 65_535, ".webp": 16_383, ".tif": 2**31 - 1}
# Chosen by `benchmarks/files.py` (docs/results.md). Optimised coding would save 4 % of a JPEG, but it keeps the whole
# image in memory.
_SAVE: dict[str, dict[str, Any]] = {
    ".png": {"compression": 3, "filter": "paeth"},
    ".jpg": {"Q": 95, "subsample_mode": "off"},
    ".webp": {"Q": 95},
    ".tif": {"compression": "deflate", "predictor": "horizontal", "resunit": "inch"},
}


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

    Where the system allows it, it has no name on the disk, so that nothing is left of it however the program ends.

    Args:
        height, width, bands: of the result.
        dtype: uint8, uint16 or float32.
        folder: on whose disk it lies; None is the system's place for temporary files.
    """

    def __init__(self, height: int, width: int, bands: int, dtype: np.dtype, folder: Path | None):
        self.shape, self.dtype = (height, width, bands), np.dtype(dtype)
        # On Windows libvips can open a file by its name only.
        self._nameless = _OPEN_FILES.is_dir()
        self._file = (
            tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
            if self._nameless
            else tempfile.NamedTemporaryFile(dir=folder, delete=False)  # noqa: SIM115
        )

    def __enter__(self) -> "Canvas":
        return self

    def __exit__(self, *error) -> None:
        self._file.close()
        if not self._nameless:
            try:
                os.unlink(self._file.name)
            except PermissionError:  # libvips still has it open
                atexit.register(Path(self._file.name).unlink, missing_ok=True)

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
        name = str(_OPEN_FILES / str(self._file.fileno())) if self._nameless else self._file.name
        image = pyvips.Image.rawload(name, width, height, bands, format=form, access="sequential")
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
    if like.stored_bands == 3 and colour.bands == 1:
        colour = colour.bandjoin([colour, colour]).copy(interpretation=_interpretation(3, colour.format))
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


def _interpretation(bands, form):
    deep = form == "ushort"
    return {1: "grey16" if deep else "b-w", 3: "rgb16" if deep else "srgb"}.get(bands, "multiband")
