"""Upscaling of a single array, Pillow image or file, for notebooks and programs."""

import contextlib
import functools
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.imaging.reading import read_picture, without_hidden_colours
from esrgan_tf.inference.blur_kernels import read_kernel
from esrgan_tf.inference.engines.opening import open_runner
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.models.noise_level import check_noise
from esrgan_tf.runs.folder import NETWORK_FILES
from esrgan_tf.weights.bundled import default_model
from esrgan_tf.weights.model_names import find_model

if TYPE_CHECKING:
    import keras

_MODEL_FILES = (*NETWORK_FILES, "saved_model.pb")
_CACHE_SIZE = 2  # models by path or name, and compiled functions of each Keras model
_LOADING = threading.Lock()  # several threads that ask for one model at the same time load and compile it once


def upscale(
    image: np.ndarray | Image.Image | str | Path,
    model: "keras.Model | str | Path | None" = None,
    tile: int | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
    alpha: float | None = None,
    noise: float = 0.0,
    precision: str = "auto",
    engine: str = "auto",
) -> np.ndarray | Image.Image:
    """Upscales a whole image.

    A model given by path or name is opened once. The last two are kept until their files change. A Keras model's
    compiled functions are kept as long as the model. Threads may call this function at the same time.

    Args:
        image: uint8 or uint16 pixels `[H, W, C]`, an 8-bit Pillow image, or the path of an 8-bit image file of any
            format that `esrgan-tf upscale` reads.
        model: a Keras generator, or a path or a name as for `load_model`; None is the bundled model `photo`. Generators
            of RGB take gray images too.
        tile: as for `Upscaler`.
        overlap: as for `Upscaler`.
        ensemble: as for `Upscaler`.
        alpha: without `model`, the interpolation of the bundled models: 0 is `faithful`, 1 is `sharp`. With the path of
            a run, of its two phases.
        noise: standard deviation of the image's noise, of 255, for noise-conditioned networks.
        precision: of 8-bit images: `float32`, `bfloat16`, or `auto` for bfloat16 if the processor or GPU has
            instructions for it.
        engine: `openvino`, `tensorflow` or `auto`. `auto` is OpenVINO for bundled models without an NVIDIA GPU, else
            TensorFlow. A Keras model runs in TensorFlow. Its first call turns TensorFloat-32 off in this process.

    Returns:
        Pixels `[scale * H, scale * W, C']` of the image's type, clipped and rounded. For a Pillow image or a path, an
        upright gray or RGB Pillow image with the colour profile, and transparency that is upscaled by bicubic.

    Raises:
        UserError: the pixels have another type, the file is no image, or as `load_model` and `Upscaler`.
    """
    opened = _read_image(image)
    if model is None or isinstance(model, str | Path):
        runner = _named_runner(model, alpha, engine, precision, noise)
    elif alpha is not None:
        raise UserError("alpha blends the bundled models, or the phases of a run, and the model is a single network")
    else:
        runner = _keras_runner(_keras_model(model), precision, noise)
    return _upscale_image(image, opened, Upscaler(runner, tile, overlap, ensemble=ensemble, noise=noise))


def deblur_upscale(
    image: np.ndarray | Image.Image | str | Path,
    model: "keras.Model | str | Path",
    kernel: np.ndarray | str | Path,
    noise: float,
    tile: int | None = None,
    overlap: int | None = None,
) -> np.ndarray | Image.Image:
    """Upscales an image that a known kernel blurred after downscaling (DPSR, arXiv 1903.12529).

    Args:
        image: as for `upscale`.
        model: a noise-conditioned generator, or its path or name as for `load_model`.
        kernel: the blur kernel, `[h, w]`, of any sum; or the path of its image or `.npy` file.
        noise: standard deviation of the image's noise, of 255, from 0 to 50.
        tile: as for `Upscaler`.
        overlap: as for `Upscaler`; None is at least twice the kernel's side.

    Returns:
        As `upscale`.

    Raises:
        UserError: as `upscale`; or the kernel is invalid or larger than the image, or the model takes no noise level.
    """
    from esrgan_tf.inference.deblurring import DeblurringUpscaler
    from esrgan_tf.runs.loading import load_model

    opened = _read_image(image)
    if isinstance(model, str | Path):
        model = load_model(model)
    pixels = read_kernel(kernel) if isinstance(kernel, str | Path) else kernel
    return _upscale_image(image, opened, DeblurringUpscaler(_keras_model(model), pixels, noise, tile, overlap))


def _keras_model(model):
    import keras

    if not isinstance(model, keras.Model):
        raise UserError(f"the model is a {type(model).__name__}; expected a Keras model, a path or a name")
    return model


def _read_image(image):
    """The pixels `[H, W, C]`, alpha `[H, W, 1]` or None, and the colour profile or None."""
    if isinstance(image, np.ndarray):
        if image.dtype not in (np.uint8, np.uint16) or image.ndim != 3:
            raise UserError(f"the image is {image.dtype} {list(image.shape)}; expected uint8 or uint16 [H, W, C]")
        return image, None, None
    if isinstance(image, Image.Image):
        return _read_pillow_image(image)
    if isinstance(image, str | Path):
        return _read_image_file(Path(image))
    raise UserError(f"the image is a {type(image).__name__}; expected an array, a Pillow image or a path")


def _upscale_image(image, opened, upscaler):
    """The upscaled image, of the type of `image`."""
    colour, transparency, profile = opened
    result = upscaler(colour)
    if isinstance(image, np.ndarray):
        return result
    result = Image.fromarray(result.squeeze(axis=2) if result.shape[2] == 1 else result)
    if transparency is not None:
        result.putalpha(Image.fromarray(transparency[..., 0]).resize(result.size, Image.Resampling.BICUBIC))
    if profile:
        result.info["icc_profile"] = profile  # Pillow writes this profile into saved files
    return result


def _named_runner(model, alpha, engine, precision, noise):
    """The runner of the default model, a path or a name, as its files are now."""
    check_noise(noise)
    if model is None and alpha is not None:
        path, stamp = None, ()
    else:
        path = find_model(default_model().path if model is None else model).absolute()
        stamp = _stamp(path)
    with _LOADING:
        return _opened_runner(path, alpha, engine, precision, noise / 255, stamp)


@functools.lru_cache(maxsize=_CACHE_SIZE)
def _opened_runner(path, alpha, engine, precision, noise, stamp):
    """`stamp` distinguishes the states of a file."""
    runner, _ = open_runner(path, alpha, engine, precision, noise)
    return runner


def _stamp(path):
    """The state of a model's files: inode, time of modification and size of each file of a model, run or SavedModel."""
    files = (
        [path] if path.is_file() else [path / name for name in _MODEL_FILES] + sorted((path / "variables").glob("*"))
    )
    stamp = []
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            stat = file.stat()
            stamp.append((str(file), stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(stamp)


def _keras_runner(model, precision, noise):
    """Compiled once for all images of a loop, and freed with the model; the last `_CACHE_SIZE` of a model are kept."""
    from esrgan_tf.inference.engines.keras_engine import KerasRunner

    check_noise(noise)
    with _LOADING:
        # Keras does not read the model's own dictionary: a runner there refers to the model and is freed with it.
        runners = model.__dict__.setdefault("_esrgan_tf_runners", {})
        runner, weights = runners.pop((precision, noise), (None, None))
        # bfloat16 computes with rounded copies of the weights, which another training may have changed since.
        if runner is None or (runner.precision == "bfloat16" and weights != _fingerprint(model)):
            runner = KerasRunner(model, precision, noise / 255)
            weights = _fingerprint(model) if runner.precision == "bfloat16" else None
        runners[precision, noise] = runner, weights  # the newest last
        for oldest in list(runners)[:-_CACHE_SIZE]:
            del runners[oldest]
        return runner


def _fingerprint(model):
    return functools.reduce(lambda crc, v: zlib.crc32(np.asarray(v).tobytes(), crc), model.weights, 0)


def _read_image_file(path):
    """As `_read_image`."""
    if not path.is_file():
        raise UserError(f"no image file {path}")
    picture = read_picture(path)
    if picture.colour.dtype != np.uint8:
        raise UserError(f"{path} has 16 bits, which a Pillow image cannot store; give its pixels as a uint16 array")
    profile = picture.header.get("icc-profile-data") if picture.header.get_typeof("icc-profile-data") else None
    return picture.colour, picture.alpha, profile


def _read_pillow_image(image):
    """As `_read_image`."""
    if image.mode.startswith(("I", "F")):
        raise UserError(
            f"the image has pixels of mode {image.mode}, not of 8 bits; give them as a uint16 array [H, W, C]"
        )
    try:
        image = ImageOps.exif_transpose(image)
        gray = image.mode in ("1", "L", "LA", "La")
        rgba = image.convert("RGBA") if image.has_transparency_data else None
        colour = np.asarray((rgba or image).convert("L" if gray else "RGB"))
    except Exception as error:  # Pillow's errors on damaged files have no common base class
        raise UserError(f"the image cannot be decoded: {first_line(error)}") from error
    colour = colour[..., np.newaxis] if gray else colour
    profile = image.info.get("icc_profile") if image.mode != "CMYK" else None  # the pixels are RGB now
    if rgba is None:
        return colour, None, profile
    alpha = np.asarray(rgba.getchannel("A"))[..., np.newaxis]
    return without_hidden_colours(colour, alpha), alpha, profile
