"""One image, whatever it is given as, through any generator: what notebooks and programs call."""

import contextlib
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from esrgan_tf.data.images import open_image
from esrgan_tf.errors import UserError, first_line
from esrgan_tf.loading import load_model
from esrgan_tf.tiling import Enlarger
from esrgan_tf.weights.packaged import DEFAULT


def upscale(
    image: np.ndarray | Image.Image | str | Path,
    model: keras.Model | str | Path = DEFAULT,
    tile: int | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
) -> np.ndarray | Image.Image:
    """Enlarges a whole image.

    Args:
        image: uint8 or uint16 pixels `[H, W, C]`; or a Pillow image or the path of one, of any kind with 8 bits.
        model: a generator, or what `load_model` takes. Gray goes through one for RGB too.
        tile, overlap, ensemble: as for `Enlarger`.

    Returns:
        Pixels `[scale * H, scale * W, C']` of the image's type, clipped and rounded; for a Pillow image or a path a
        Pillow image, gray or RGB, upright, with its transparency enlarged by bicubic.

    Raises:
        UserError: another type of pixels, no image there, or as `load_model` and `Enlarger`.
    """
    model = model if isinstance(model, keras.Model) else load_model(model)
    enlarge = Enlarger(model, tile, overlap, ensemble=ensemble)
    if isinstance(image, np.ndarray):
        if image.dtype not in (np.uint8, np.uint16) or image.ndim != 3:
            raise UserError(f"the image is {image.dtype} {list(image.shape)}; expected uint8 or uint16 [H, W, C]")
        return enlarge(image)
    image = _upright(image)
    gray = image.mode in ("1", "L", "LA", "La")
    pixels = np.asarray(image.convert("L" if gray else "RGB"))
    result = Image.fromarray(enlarge(pixels[..., np.newaxis])[..., 0] if gray else enlarge(pixels))
    if image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
        result.putalpha(alpha.resize(result.size, Image.Resampling.BICUBIC))
    return result


def _upright(image):
    """A Pillow image, decoded, as its EXIF says that it is looked at."""
    given = isinstance(image, Image.Image)
    where = "the image" if given else str(image)
    try:
        with contextlib.nullcontext(image) if given else open_image(image) as file:
            image = ImageOps.exif_transpose(file)
    except (UnidentifiedImageError, FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"{where}: no image file that Pillow reads") from error
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises any of them for damaged files
        raise UserError(f"{where} cannot be decoded: {first_line(error)}") from error
    if image.mode.startswith(("I", "F")):
        raise UserError(
            f"{where} has pixels of mode {image.mode}, not of 8 bits; give them as a uint16 array [H, W, C]"
        )
    return image
