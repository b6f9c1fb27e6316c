"""Upscaling of image files with any generator."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from esrgan_tf.errors import UserError
from esrgan_tf.imaging import reading, writing
from esrgan_tf.imaging.image_formats import WRITTEN
from esrgan_tf.inference.tiles import Upscaler, quantise


def upscale_file(
    source: Path | None,
    target: Path | None,
    upscaler: Upscaler,
    outscale: float | None = None,
    extension: str | None = None,
    alpha_by_model: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """Upscales an image file of any readable format and any size; after an error, no partial result remains.

    Args:
        source: the input file; None is standard input.
        target: the result's file, which is replaced if it exists; None is standard output.
        outscale: upscaling factor; None is the network's factor. The result is resized before it is rounded.
        extension: the result format's extension, such as `.png`; None is that of `target`, or else that of the input.
        alpha_by_model: upscale transparency with the network instead of bicubic.
        progress: called with the number of finished input pixels and the total number.

    Returns:
        A line per property that the result's format cannot store.

    Raises:
        UserError: the image cannot be read, upscaled or written.
        OSError: the disk reports an error.
    """
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
    picture = reading.read_picture(sys.stdin.buffer.read() if source is None else source)
    kind = extension or WRITTEN.get("" if target is None else target.suffix.lower(), picture.format)
    height, width, bands = picture.colour.shape
    if upscaler.channels not in (1, 3):
        raise UserError(
            f"{source or 'standard input'}: images have 1 or 3 channels; the model takes {upscaler.channels}"
        )
    if upscaler.channels == 1 and bands == 3:
        raise UserError(
            f"{source or 'standard input'}: it has colours, and the model takes gray; choose another --model"
        )
    factor = upscaler.scale if outscale is None else outscale
    out_height, out_width = max(1, round(height * factor)), max(1, round(width * factor))
    writing.check_result(out_width, out_height, kind)
    # Constant transparency is resized, because no network reproduces a constant exactly.
    by_model = alpha_by_model and picture.alpha is not None and bool(picture.alpha.min() < picture.alpha.max())
    total = height * width * (1 + by_model)
    progress(0, total)
    folder = None if target is None else target.parent

    with contextlib.ExitStack() as canvases:

        def upscaled(pixels, before):
            return _upscaled(
                pixels, upscaler, out_width, out_height, folder, canvases, lambda done: progress(before + done, total)
            )

        colour, alpha = upscaled(picture.colour, 0), None
        if by_model:
            alpha = upscaled(picture.alpha, height * width)
        elif picture.alpha is not None:
            alpha = writing.resized(writing.from_array(picture.alpha), out_width, out_height)
        return writing.write_picture(colour, alpha, picture, kind, target)


def _upscaled(pixels, upscaler, width, height, folder, canvases, progress):
    """Upscales `[H, W, C]` to a libvips image of the given size; `canvases` closes the canvas that holds its pixels.

    At the network's own factor, each tile is quantised. For other sizes, the result is first resized in float.
    """
    network_height, network_width = (side * upscaler.scale for side in pixels.shape[:2])
    exact = (width, height) == (network_width, network_height)
    dtype = pixels.dtype if exact else np.dtype(np.float32)
    canvas = canvases.enter_context(writing.Canvas(network_height, network_width, pixels.shape[2], dtype, folder))
    for row, column, part in upscaler.tiles(pixels, progress):
        canvas.paint(row, column, quantise(part, dtype) if exact else part)
    if exact:
        return canvas.image()
    return writing.quantised(writing.resized(canvas.image(), width, height), pixels.dtype)
