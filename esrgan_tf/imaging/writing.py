"""Results as files: assembled from tiles, resized, and encoded as PNG, JPEG, WebP or TIFF.

Results can be larger than memory; libvips streams them from disk to disk.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyvips

from esrgan_tf.errors import UserError
from esrgan_tf.files import replacing
from esrgan_tf.imaging.image_formats import WRITING
from esrgan_tf.imaging.inventory import Result
from esrgan_tf.imaging.metadata import parts_for, upscaling_of
from esrgan_tf.imaging.reading import Picture, translate_vips_error
from esrgan_tf.imaging.result_metadata import write_result

_OPEN_FILES = Path("/dev/fd")  # the system's folder of open files by number, on Linux and macOS


def check_result(width: int, height: int, kind: str) -> None:
    """Refuses sizes that a format cannot hold.

    Raises:
        UserError: the result is too large; the message names formats that can hold it.
    """
    most = WRITING[kind].longest_side
    if max(width, height) > most:
        larger = " or ".join(other[1:] for other, writing in WRITING.items() if writing.longest_side == 2**31 - 1)
        raise UserError(
            f"the result has {width}x{height} pixels, and {kind[1:]} holds {most} on a side; choose --format {larger}"
        )


class Canvas:
    """A result in a temporary file, assembled from tiles. It is a context manager that frees the disk space at its end.

    If the system allows it, the file has no name, so that a crash leaves no file.

    Args:
        height, width, bands: of the result.
        dtype: uint8, uint16 or float32.
        folder: the folder of the temporary file; None is the system's temporary folder.
    """

    def __init__(self, height: int, width: int, bands: int, dtype: np.dtype, folder: Path | None):
        self.shape, self.dtype = (height, width, bands), np.dtype(dtype)
        # On Windows libvips can only open a file by its name.
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

    def paint(self, row: int, column: int, tile: np.ndarray) -> None:
        """Writes a tile `[h, w, bands]` at its position."""
        _, width, bands = self.shape
        pixel = bands * self.dtype.itemsize
        for i, line in enumerate(np.ascontiguousarray(tile, self.dtype)):
            self._file.seek(((row + i) * width + column) * pixel)
            self._file.write(line)

    def image(self) -> pyvips.Image:
        """The whole result; libvips reads it from the disk when needed."""
        self._file.flush()
        height, width, bands = self.shape
        form = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}[self.dtype.name]
        name = str(_OPEN_FILES / str(self._file.fileno())) if self._nameless else self._file.name
        image = pyvips.Image.rawload(name, width, height, bands, format=form, access="sequential")
        return image.copy(interpretation=_interpretation(bands, form))


def resized(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    """Resizes an image: bicubic for upscaling, antialiased Lanczos for downscaling."""
    across, down = width / image.width, height / image.height
    if across >= 1 and down >= 1:
        # libvips' function `resize` is half a pixel off when it upscales with this kernel.
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
    """Converts `[H, W, bands]` to an image of libvips."""
    image = pyvips.Image.new_from_array(pixels)
    return image.copy(interpretation=_interpretation(image.bands, image.format))


def quantised(image: pyvips.Image, dtype: np.dtype) -> pyvips.Image:
    """Converts float in [0, 1] to uint8 or uint16, clipped and rounded."""
    most = np.iinfo(dtype).max
    form = {"uint8": "uchar", "uint16": "ushort"}[np.dtype(dtype).name]
    image = (image * most).rint().cast(form)  # the cast clips
    return image.copy(interpretation=_interpretation(image.bands, form))


def write_picture(
    colour: pyvips.Image, alpha: pyvips.Image | None, like: Picture, kind: str, target: Path | None
) -> list[str]:
    """Encodes a result with the metadata of its original.

    Args:
        colour, alpha: of the same size and type; alpha has one band.
        like: the original.
        kind: a key of `WRITING`.
        target: the file, which appears when it is complete; None is standard output.

    Returns:
        Lines on lost and changed data, with reasons.

    Raises:
        UserError: the result cannot be encoded.
        OSError: the result cannot be written.
    """
    lost = []
    if colour.format == "ushort" and not WRITING[kind].holds_16_bits:
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
    result = Result(
        kind, colour.bands, image.bands > colour.bands, 16 if image.format == "ushort" else 8, like.resolution,
        upscaling_of(like.metadata, (like.header.width, like.header.height), image.width, image.height),
    )  # fmt: skip
    profile = like.header.get("icc-profile-data") if like.header.get_typeof("icc-profile-data") else None
    parts = parts_for(like.metadata, profile, result)
    lost += [*like.metadata.lost.lines(), *parts.lines]
    options = dict(WRITING[kind].options)
    if kind == ".tif":
        options["bigtiff"] = image.width * image.height * image.bands * 2 > 2**31
    try:
        if target is None:
            with tempfile.TemporaryFile() as file, translate_vips_error():
                lost += write_result(image, file, options, like.metadata, parts, result)
                file.seek(0)
                with open(sys.stdout.fileno(), "wb", closefd=False) as out:
                    shutil.copyfileobj(file, out, 2**20)
        else:
            with replacing(target) as staging, open(staging, "w+b") as file, translate_vips_error():
                lost += write_result(image, file, options, like.metadata, parts, result)
    except UserError as error:
        raise UserError(f"{target or 'standard output'}: {error}") from error
    return list(dict.fromkeys(lost))


def _interpretation(bands, form):
    deep = form == "ushort"
    return {1: "grey16" if deep else "b-w", 3: "rgb16" if deep else "srgb"}.get(bands, "multiband")
