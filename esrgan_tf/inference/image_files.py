"""One image file to another, through any generator."""

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
    """Enlarges an image file of any kind that is read, whatever its size; the result is there whole or not at all.

    Args:
        source: None is standard input.
        target: where the result goes, over whatever is there; None is standard output.
        outscale: how many times larger, if not the network's own factor: the result is resized before it is rounded.
        extension: of a format, as `.png`; None is that of `target`, or the input's.
        alpha_by_model: enlarge transparency by the network too, not by bicubic.
        progress: called with the input pixels done and all there are.

    Returns:
        Lines on what the result's format could not hold.

    Raises:
        UserError: what cannot be read, enlarged or written, and why.
        OSError: the disk's own.
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
    # A network keeps no constant to the last bit.
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
    """`[H, W, C]` as an image of libvips of another size, read from a canvas that `canvases` closes.

    At the network's own size it is quantised tile by tile; else it is resized first, in float.
    """
    own_height, own_width = (side * upscaler.scale for side in pixels.shape[:2])
    exact = (width, height) == (own_width, own_height)
    dtype = pixels.dtype if exact else np.dtype(np.float32)
    canvas = canvases.enter_context(writing.Canvas(own_height, own_width, pixels.shape[2], dtype, folder))
    for row, column, piece in upscaler.tiles(pixels, progress):
        canvas.paint(row, column, quantise(piece, dtype) if exact else piece)
    if exact:
        return canvas.image()
    return writing.quantised(writing.resized(canvas.image(), width, height), pixels.dtype)
