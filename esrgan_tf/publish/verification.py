"""Comparison of an exported file's results, in the format's runtime, with the generator's results."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from esrgan_tf.models.noise_level import takes_noise_level
from esrgan_tf.weights.equivalence import TOLERANCE, sample

Run = Callable[[str, np.ndarray], np.ndarray]  # a signature's name and `image` to `super_resolution`

_PHOTO = Path(__file__).with_name("photo.png")  # NASA's photo of Eileen Collins, in the public domain
_SIDE = 128
_MAX_ERROR = 0.3  # of the result's standard deviation; the error of rounded weights is far smaller


def verify_signatures(model: keras.Model, run: Run, signatures: Sequence[str], tile: int | None = None) -> None:
    """Compares the results of `run` with those of the generator `model`, for random pixels.

    Args:
        model: a generator.
        run: runs the exported file.
        signatures: the file's signatures, of `serving_default` and `uint8`.
        tile: the fixed width and height of images, or None.

    Raises:
        RuntimeError: the results differ.
    """
    pixels, expected = sample(model, (2, 17, 23) if tile is None else (1, tile, tile))
    limit = TOLERANCE * max(1.0, float(np.ptp(expected)) / 255.0)  # results of untrained networks leave the range
    for name in signatures:
        error = _difference(run(name, pixels if name == "uint8" else pixels.astype(np.float32)), expected)
        if not error.max() <= limit:
            raise RuntimeError(f"the exported {name} differs from the model by {error.max():.3g} of 255")


def verify_rounded(model: keras.Model, run: Run, tile: int | None = None) -> None:
    """Checks that a file with rounded weights approximates the generator `model`, and that its signatures agree.

    Raises:
        RuntimeError: the file differs too much from the model, or its signatures from each other.
    """
    pixels, exact = photo(model, tile), upscaled_photo(model, tile)
    result = run("serving_default", pixels.astype(np.float32))
    error = float(np.sqrt(np.mean((result - exact) ** 2)))
    if not error <= _MAX_ERROR * exact.std():
        raise RuntimeError(f"the exported serving_default differs from the model by {error:.3g} of 255")
    error = float(_difference(run("uint8", pixels), result).max())
    if not error <= TOLERANCE:
        raise RuntimeError(f"the exported uint8 differs from serving_default by {error:.3g} of 255")


def fidelity(model: keras.Model, run: Run, tile: int | None = None, signature: str = "serving_default") -> float:
    """The PSNR in dB between the file's and the model's result of a photo, clipped to [0, 255].

    The value measures the similarity of the two results, not the quality of the network.
    """
    pixels = photo(model, tile)
    result = run(signature, pixels if signature == "uint8" else pixels.astype(np.float32))
    clipped, exact = (np.clip(image.astype(np.float64), 0, 255) for image in (result, upscaled_photo(model, tile)))
    error = float(np.mean((clipped - exact) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def photo(model: keras.Model, tile: int | None = None) -> np.ndarray:
    """A photo with the model's number of channels, uint8 `[1, 128, 128, C]` or `[1, tile, tile, C]`.

    A noise channel is 0.
    """
    with Image.open(_PHOTO) as file:
        rgb = np.asarray(file)
    channels = model.inputs[0].shape[-1]
    noise = takes_noise_level(model)
    planes = [rgb[..., c % 3] if channels - noise >= 3 else np.asarray(Image.fromarray(rgb).convert("L"))
              for c in range(channels - noise)]  # fmt: skip
    image = np.stack([*planes, *[np.zeros_like(planes[0])] * noise], -1)
    side = _SIDE if tile is None else tile
    repeats = -(-side // _SIDE)
    return np.tile(image, (repeats, repeats, 1))[np.newaxis, :side, :side]


def upscaled_photo(model: keras.Model, tile: int | None = None) -> np.ndarray:
    """The model's result of `photo`, float32 in [0, 255], not clipped."""
    with tf.device("CPU"):  # a GPU may round products to TF32
        return 255.0 * np.asarray(model(photo(model, tile).astype(np.float32) / 255.0, training=False))


def _difference(result, expected):
    """The absolute difference per pixel; for uint8, without the 0.5 that rounding may cause."""
    if result.dtype == np.uint8:
        return np.abs(result.astype(np.float32) - np.clip(expected, 0, 255)) - 0.5
    return np.abs(result - expected)
