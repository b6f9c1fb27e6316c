"""One image, whatever it is given as, through any generator: what notebooks and programs call."""

import contextlib
import functools
import threading
import zlib
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageOps

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.imaging.reading import read_picture, without_hidden_colours
from esrgan_tf.inference.blur_kernels import read_kernel
from esrgan_tf.inference.deblurring import DeblurringUpscaler
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.runs.folder import NETWORK_FILES
from esrgan_tf.runs.loading import load_model
from esrgan_tf.weights.bundled import default_model
from esrgan_tf.weights.loading import load_blend
from esrgan_tf.weights.model_names import find_model

_PARTS = (*NETWORK_FILES, "saved_model.pb")
_KEPT = 2  # models that are named, and compiled functions of each model
_LOADING = threading.Lock()  # several threads that ask for one model at the same time load and compile it once


def upscale(
    image: np.ndarray | Image.Image | str | Path,
    model: keras.Model | str | Path | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
    alpha: float | None = None,
    noise: float = 0.0,
    precision: str = "auto",
) -> np.ndarray | Image.Image:
    """Enlarges a whole image.

    A model that is named is loaded once: the last two are kept, until their files change. What is compiled for a model
    is kept as long as the model is. Threads may call this at the same time. The first call turns TensorFloat-32 off in
    this process, so that float32 is float32.

    Args:
        image: uint8 or uint16 pixels `[H, W, C]`; or a Pillow image of 8 bits; or the path of an image file of 8 bits,
            of any kind that `esrgan-tf upscale` reads.
        model: a generator, or what `load_model` takes; None is the packaged one that enlarges
            four times. Gray goes through one for RGB too.
        tile: as for `Upscaler`.
        overlap: as for `Upscaler`.
        ensemble: as for `Upscaler`.
        alpha: without `model`, a blend of the packaged networks, 0 is `faithful`, 1 is `sharp`; with the path of a
            run, of its two phases.
        noise: as for `Upscaler`.
        precision: as for `Upscaler`.

    Returns:
        Pixels `[scale * H, scale * W, C']` of the image's type, clipped and rounded; for a Pillow image or a path a
        Pillow image, gray or RGB, upright, with its colour profile, and its transparency enlarged by bicubic.

    Raises:
        UserError: another type of pixels, no image there, or as `load_model` and `Upscaler`.
    """
    opened = _opened(image)
    if model is None or isinstance(model, str | Path):
        model = _named(model, alpha)
    elif alpha is not None:
        raise UserError("alpha blends the packaged networks, or the phases of a run, and the model is a single network")
    return _upscaled(image, opened, _upscaler(_keras_model(model), (tile, overlap, ensemble, noise, precision)))


def deblur_upscale(
    image: np.ndarray | Image.Image | str | Path,
    model: keras.Model | str | Path,
    kernel: np.ndarray | str | Path,
    noise: float,
    tile: int | None = None,
    overlap: int | None = None,
) -> np.ndarray | Image.Image:
    """Enlarges an image that was blurred by a known kernel after it was reduced (DPSR, arXiv 1903.12529).

    Args:
        image: as for `upscale`.
        model: a generator that takes a noise level, or what `load_model` takes of one.
        kernel: what became of a point, `[h, w]`, of any sum; or the path of an image or `.npy` file of it.
        noise: standard deviation of the image's noise, of 255, from 0 to 50.
        tile: as for `Upscaler`.
        overlap: as for `Upscaler`; None is at least two kernels.

    Returns:
        As `upscale`.

    Raises:
        UserError: as `upscale`; a kernel that is none or larger than the image, or a model that takes no noise level.
    """
    opened = _opened(image)
    if isinstance(model, str | Path):
        model = load_model(model)
    pixels = read_kernel(kernel) if isinstance(kernel, str | Path) else kernel
    return _upscaled(image, opened, DeblurringUpscaler(_keras_model(model), pixels, noise, tile, overlap))


def _keras_model(model):
    if not isinstance(model, keras.Model):
        raise UserError(f"the model is a {type(model).__name__}; expected a Keras model, a path or a name")
    return model


def _opened(image):
    """`[H, W, C]`, alpha `[H, W, 1]` or None, the colour profile or None."""
    if isinstance(image, np.ndarray):
        if image.dtype not in (np.uint8, np.uint16) or image.ndim != 3:
            raise UserError(f"the image is {image.dtype} {list(image.shape)}; expected uint8 or uint16 [H, W, C]")
        return image, None, None
    if isinstance(image, Image.Image):
        return _of_pillow(image)
    if isinstance(image, str | Path):
        return _of_file(Path(image))
    raise UserError(f"the image is a {type(image).__name__}; expected an array, a Pillow image or a path")


def _upscaled(image, opened, upscaler):
    """The result, of the image's type."""
    colour, transparency, profile = opened
    result = upscaler(colour)
    if isinstance(image, np.ndarray):
        return result
    result = Image.fromarray(result.squeeze(axis=2) if result.shape[2] == 1 else result)
    if transparency is not None:
        result.putalpha(Image.fromarray(transparency[..., 0]).resize(result.size, Image.Resampling.BICUBIC))
    if profile:
        result.info["icc_profile"] = profile  # which Pillow writes into what it saves
    return result


def _named(model, alpha):
    """The packaged default, or what a path or a name stands for, as its files are now."""
    if model is None and alpha is not None:
        path, stamp = None, ()
    else:
        path = find_model(default_model().path if model is None else model).absolute()
        stamp = _stamp(path)
    with _LOADING:
        return _loaded(path, alpha, stamp)


@functools.lru_cache(maxsize=_KEPT)
def _loaded(path, alpha, stamp):
    """`stamp` tells the states of a file apart."""
    return load_blend(alpha) if path is None else load_model(path, alpha)


def _stamp(path):
    """When the files were last changed that a model is read from: itself, or those of a run or a SavedModel."""
    files = [path] if path.is_file() else [path / part for part in _PARTS] + sorted((path / "variables").glob("*"))
    stamp = []
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            stat = file.stat()
            stamp.append((str(file), stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(stamp)


def _upscaler(model, options):
    """Compiled once for all images of a loop, and forgotten with the model; the last `_KEPT` of a model are kept."""
    with _LOADING:
        # In the model's own dictionary, which Keras does not look at: it is a reference to itself that goes with it.
        upscalers = model.__dict__.setdefault("_esrgan_tf_enlargers", {})
        upscaler, weights = upscalers.pop(options, (None, None))
        # bfloat16 is computed with rounded copies of the weights, which another training may have changed since.
        if upscaler is None or (upscaler.precision == "bfloat16" and weights != _fingerprint(model)):
            tile, overlap, ensemble, noise, precision = options
            upscaler = Upscaler(model, tile, overlap, ensemble=ensemble, noise=noise, precision=precision)
            weights = _fingerprint(model) if upscaler.precision == "bfloat16" else None
        upscalers[options] = upscaler, weights  # the newest last
        for oldest in list(upscalers)[:-_KEPT]:
            del upscalers[oldest]
        return upscaler


def _fingerprint(model):
    return functools.reduce(lambda crc, v: zlib.crc32(np.asarray(v).tobytes(), crc), model.weights, 0)


def _of_file(path):
    """As `_opened`."""
    if not path.is_file():
        raise UserError(f"no image file {path}")
    picture = read_picture(path)
    if picture.colour.dtype != np.uint8:
        raise UserError(f"{path} has 16 bits, which a Pillow image has no place for; give its pixels as a uint16 array")
    profile = picture.header.get("icc-profile-data") if picture.header.get_typeof("icc-profile-data") else None
    return picture.colour, picture.alpha, profile


def _of_pillow(image):
    """As `_opened`."""
    if image.mode.startswith(("I", "F")):
        raise UserError(
            f"the image has pixels of mode {image.mode}, not of 8 bits; give them as a uint16 array [H, W, C]"
        )
    try:
        image = ImageOps.exif_transpose(image)
        gray = image.mode in ("1", "L", "LA", "La")
        whole = image.convert("RGBA") if image.has_transparency_data else None
        colour = np.asarray((whole or image).convert("L" if gray else "RGB"))
    except Exception as error:  # Pillow's errors on damaged files have no common base class
        raise UserError(f"the image cannot be decoded: {first_line(error)}") from error
    colour = colour[..., np.newaxis] if gray else colour
    profile = image.info.get("icc_profile") if image.mode != "CMYK" else None  # it is RGB from here on
    if whole is None:
        return colour, None, profile
    alpha = np.asarray(whole.getchannel("A"))[..., np.newaxis]
    return without_hidden_colours(colour, alpha), alpha, profile
