"""From a path to a Keras model."""

from pathlib import Path

import keras

from esrgan_tf.errors import UserError


def load_model(path: str | Path) -> keras.Model:
    """Opens a generator that training saved as `.keras`.

    Raises:
        UserError: no such file, or not a Keras model.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no file {path}; expected a .keras model, such as RUN_DIR/gan/generator.keras")
    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a Keras model: {str(error).splitlines()[0]:.160}") from error
