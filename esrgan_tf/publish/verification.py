"""Whether a published file computes, in its own runtime, what the generator does."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from esrgan_tf.models.noise_level import takes_noise_level
from esrgan_tf.weights.equivalence import TOLERANCE, sample

Run = Callable[[str, np.ndarray], np.ndarray]  # a signature's name and `image` to its `super_resolution`

_PHOTO = Path(__file__).with_name("photo.png")  # NASA's of Eileen Collins, in the public domain
_SIDE = 128
_WORST = 0.3  # of the result's standard deviation: rounded weights stay far below, a wrong file does not


def verify_signatures(model: keras.Model, run: Run, signatures: Sequence[str], tile: int | None = None) -> None:
    """Compares what `run` computes with the generator `model`, on random pixels.

    Args:
        signatures: those that there are, of `serving_default` and `uint8`.
        tile: as for `servable`.

    Raises:
        RuntimeError: they differ.
    """
    pixels, expected = sample(model, (2, 17, 23) if tile is None else (1, tile, tile))
    limit = TOLERANCE * max(1.0, float(np.ptp(expected)) / 255.0)  # networks that nobody trained leave the range
    for name in signatures:
        error = _difference(run(name, pixels if name == "uint8" else pixels.astype(np.float32)), expected)
        if not error.max() <= limit:
            raise RuntimeError(f"the exported {name} differs from the model by {error.max():.3g} of 255")


def verify_rounded(model: keras.Model, run: Run, tile: int | None = None) -> None:
    """Whether a file whose weights are rounded is near the generator `model`, and both signatures near one another.

    Raises:
        RuntimeError: they are not.
    """
    pixels, exact = photo(model, tile), upscaled_photo(model, tile)
    made = run("serving_default", pixels.astype(np.float32))
    error = float(np.sqrt(np.mean((made - exact) ** 2)))
    if not error <= _WORST * exact.std():
        raise RuntimeError(f"the exported serving_default differs from the model by {error:.3g} of 255")
    error = float(_difference(run("uint8", pixels), made).max())
    if not error <= TOLERANCE:
        raise RuntimeError(f"the exported uint8 differs from serving_default by {error:.3g} of 255")


def fidelity(model: keras.Model, run: Run, tile: int | None = None, signature: str = "serving_default") -> float:
    """PSNR in dB of what `signature` makes of a photo, in 8 bits' range, to what `model` makes of it in float32.

    It says how alike the two are, not how good either is.
    """
    pixels = photo(model, tile)
    made = run(signature, pixels if signature == "uint8" else pixels.astype(np.float32))
    made, exact = (np.clip(result.astype(np.float64), 0, 255) for result in (made, upscaled_photo(model, tile)))
    error = float(np.mean((made - exact) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def photo(model: keras.Model, tile: int | None = None) -> np.ndarray:
    """A photo as `model` takes it: uint8 `[1, 128, 128, C]`, or of a tile's size; noise levels are 0."""
    with Image.open(_PHOTO) as file:
        rgb = np.asarray(file)
    channels = model.inputs[0].shape[-1]
    noise = takes_noise_level(model)
    kinds = [rgb[..., c % 3] if channels - noise >= 3 else np.asarray(Image.fromarray(rgb).convert("L"))
             for c in range(channels - noise)]  # fmt: skip
    image = np.stack([*kinds, *[np.zeros_like(kinds[0])] * noise], -1)
    side = _SIDE if tile is None else tile
    times = -(-side // _SIDE)
    return np.tile(image, (times, times, 1))[np.newaxis, :side, :side]


def upscaled_photo(model: keras.Model, tile: int | None = None) -> np.ndarray:
    """What `model` makes of `photo`, float32 in [0, 255], not clipped."""
    with tf.device("CPU"):  # a GPU may round products to TF32
        return 255.0 * np.asarray(model(photo(model, tile).astype(np.float32) / 255.0, training=False))


def _difference(result, expected):
    """Of an image in float32, or in uint8 but for what rounding may take."""
    if result.dtype == np.uint8:
        return np.abs(result.astype(np.float32) - np.clip(expected, 0, 255)) - 0.5
    return np.abs(result - expected)
