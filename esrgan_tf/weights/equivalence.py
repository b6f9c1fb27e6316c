"""Comparison of exported or opened networks with a Keras model."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

TOLERANCE = 1e-2  # float32 sums in another order differ this much on the scale of 255


def sample(model: keras.Model, shape: tuple[int, int, int] = (2, 17, 23)) -> tuple[np.ndarray, np.ndarray]:
    """Random pixels, uint8 `[B, H, W, C]`, and the generator's result in [0, 255], float32, not clipped.

    Args:
        shape: B, H, W.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, model.inputs[0].shape[-1]), dtype=np.uint8)
    with tf.device("CPU"):  # GPUs may round products to TensorFloat-32, with varying results
        return pixels, 255.0 * np.asarray(model(pixels.astype(np.float32) / 255.0))


def verify_call(model: keras.Model, call: Callable) -> None:
    """Compares `call`, a function of float32 `[B, H, W, C]` in [0, 255], with the generator `model`.

    Raises:
        RuntimeError: the results differ.
    """
    pixels, expected = sample(model)
    with tf.device("CPU"):
        error = np.abs(call(tf.constant(pixels, tf.float32)) - expected).max()
    if not error <= TOLERANCE:
        raise RuntimeError(f"its output differs by {error:.3g} of 255")
