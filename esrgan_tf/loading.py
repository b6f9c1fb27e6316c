"""From a path to a Keras model."""

from pathlib import Path

import keras
import tensorflow as tf

from esrgan_tf.errors import UserError
from esrgan_tf.interop import READABLE, build, load_torch, recognise_variables
from esrgan_tf.serving import verify


def load_model(path: str | Path) -> keras.Model:
    """Opens a generator: float RGB in [0, 1] in, float32 in [0, 1] out, not clipped, whatever the file holds.

    Args:
        path: a `.keras` file that training saved, PyTorch weights (`.safetensors`, `.pth`, `.pt`, `.ckpt`), or the
            folder of a SavedModel that `export_saved_model` wrote.

    Raises:
        UserError: nothing there, not one of these, or a network that is none of ours.
    """
    path = Path(path)
    if path.is_dir():
        return _from_saved_model(path)
    if not path.is_file():
        raise UserError(
            f"no file {path}; expected a .keras model, such as RUN_DIR/gan/generator.keras, a SavedModel's folder, "
            f"or PyTorch weights ({', '.join(READABLE)})"
        )
    if path.suffix.lower() in READABLE:
        return load_torch(path)
    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a Keras model: {str(error).splitlines()[0]:.160}") from error


def _from_saved_model(path):
    """The published folder holds no Keras model, but names that tell which one its weights belong to."""
    if not (path / "saved_model.pb").is_file():
        raise UserError(f"no SavedModel in {path}, which would hold saved_model.pb; of a run, name a generator.keras")
    try:
        loaded = tf.saved_model.load(str(path))
        weights = {v.name.removesuffix(":0"): v.numpy() for v in loaded.variables}
        image = loaded.signatures["serving_default"].structured_input_signature[1]["image"]
    except Exception as error:  # whatever a damaged or foreign SavedModel trips over
        raise UserError(f"{path} is not a SavedModel of esrgan-tf: {str(error).splitlines()[0]:.120}") from error
    shapes = {name: weight.shape for name, weight in weights.items()}
    model = build(recognise_variables(shapes, str(path), image.shape[-1]), weights)
    try:
        verify(model, path)
    except RuntimeError as error:
        raise UserError(f"{path} has weights of ours, but computes something else: {error}") from error
    return model
