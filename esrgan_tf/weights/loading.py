"""Loading of files and named models as Keras models. `runs.loading` loads run folders."""

import shutil
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.file_kinds import EXPECTED, FileKind, identify
from esrgan_tf.models import DISCRIMINATORS, FAMILIES
from esrgan_tf.weights.architecture import build, recognise_model, recognise_variables
from esrgan_tf.weights.bundled import BLENDED, bundled_models
from esrgan_tf.weights.equivalence import verify_call
from esrgan_tf.weights.interpolation import interpolate
from esrgan_tf.weights.model_names import find_model
from esrgan_tf.weights.saved_model_graph import check_operations, named_shapes
from esrgan_tf.weights.torch_files import describe, load_torch_network


def load_generator(path: str | Path) -> keras.Model:
    """Opens a generator of float images in [0, 1], with float32 results that are not clipped.

    Args:
        path: a file, a SavedModel folder of `export_saved_model`, or the name of a bundled or downloadable model.
            Files are Keras models of training or PyTorch weights (safetensors or `torch.save`), with any extension.
            `esrgan_tf.weights.model_names.find_model` downloads a model at its first use.

    Raises:
        UserError: the file or name does not exist, the file has another format, or its network is unknown or a
            discriminator.
    """
    model = load_network(path)
    if _is_discriminator(model):
        raise UserError(f"{path}: {describe(model)}; that is a discriminator, not a generator")
    return model


def load_blend(alpha: float) -> keras.Model:
    """Interpolates the weights of two bundled models, from 0, `faithful`, to 1, `sharp`.

    Raises:
        UserError: `alpha` is outside [0, 1].
    """
    faithful, sharp = (load_generator(bundled_models()[name].path) for name in BLENDED)
    return interpolate(faithful, sharp, alpha)


def load_discriminator(path: str | Path) -> keras.Model:
    """Opens a discriminator, a Keras model of training or PyTorch weights.

    Raises:
        UserError: the file does not exist, has another format, or contains no discriminator.
    """
    model = load_network(path, discriminator=True)
    if not _is_discriminator(model):
        raise UserError(f"{path}: {describe(model)}; that is a generator, not a discriminator")
    return model


def load_network(path: str | Path, discriminator: bool = False) -> keras.Model:
    """Opens a generator as `load_generator`, or a discriminator as `load_discriminator`.

    Args:
        discriminator: prefer the discriminator if a file contains both networks.
    """
    path = find_model(path)
    if path.is_dir():
        return _load_saved_model(path)
    if not path.is_file():
        raise UserError(f"no file {path}; {EXPECTED}")
    if identify(path) is not FileKind.KERAS:
        return load_torch_network(path, discriminator=discriminator)
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not a Keras model, or is cut short; download or save it again")
    for family in FAMILIES.values():
        family.build  # noqa: B018  (the import registers layers, which Keras finds by name)
    try:
        model = _open_keras(path)
    except Exception as error:  # parsers raise any exception on damaged bytes
        raise UserError(f"{path} is not a Keras model: {first_line(error)}") from error
    if _is_discriminator(model):  # training may use another precision
        return build(recognise_model(model), {v.path: np.asarray(v) for v in model.weights})
    _check_generator(model, path)
    return model


def _open_keras(path):
    """Opens a Keras model. Keras selects the format by extension, so a file with another extension is copied."""
    if path.suffix == ".keras":
        return keras.models.load_model(path, compile=False)
    with tempfile.TemporaryDirectory() as folder:
        return keras.models.load_model(shutil.copyfile(path, Path(folder, "model.keras")), compile=False)


def _load_saved_model(path):
    """Opens a SavedModel, which contains no Keras model; the names of its weights determine the network."""
    check_operations(path)
    shapes, channels = named_shapes(path)
    architecture = recognise_variables(shapes, str(path), channels)
    try:
        loaded = tf.saved_model.load(str(path))
        weights = {v.name.removesuffix(":0"): v.numpy() for v in loaded.variables}
    except Exception as error:  # TensorFlow raises any exception on a damaged SavedModel
        raise UserError(f"{path} is not a SavedModel of esrgan-tf: {first_line(error)}") from error
    model = build(architecture, weights)
    try:
        verify_call(model, loaded)
    except Exception as error:  # a SavedModel's call may raise any exception
        raise UserError(
            f"{path} has the weights of {architecture}, but another function: {first_line(error)}"
        ) from error
    return model


def _is_discriminator(model):
    """Whether the model has the name of a discriminator's builder."""
    return model.name in {family.builder for family in DISCRIMINATORS.values()}


def _check_generator(model, path):
    """Checks that a model maps images of any size to images."""
    try:
        (image,), (result,) = model.inputs, model.outputs
        fits = len(image.shape) == len(result.shape) == 4 and image.shape[1:3] == (None, None)
        fits = fits and image.shape[3] is not None and isinstance(model.input, keras.KerasTensor)
    except (ValueError, AttributeError):  # several inputs or undefined inputs
        fits = False
    if not fits:
        raise UserError(
            f"{path} is a Keras model, but no generator; a generator maps images [B, H, W, C] of any size to images"
        )
