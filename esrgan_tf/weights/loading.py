"""From a file, or a model's name, to a Keras model. Run folders are the matter of `runs.loading`."""

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
    """Opens a generator: float RGB in [0, 1] in, float32 in [0, 1] out, not clipped.

    Args:
        path: a Keras model that training saved or PyTorch weights (safetensors or `torch.save`), with any extension;
            the SavedModel folder that `export_saved_model` wrote; or the name of a bundled or downloadable model, as
            `esrgan_tf.weights.model_names.find_model` finds and downloads it.

    Raises:
        UserError: no such file or name, another kind of file, an unknown network, or a discriminator.
    """
    model = load_network(path)
    if _is_discriminator(model):
        raise UserError(f"{path}: {describe(model)}; that is a discriminator, where a generator is wanted")
    return model


def load_blend(alpha: float) -> keras.Model:
    """Two bundled networks, blended weight by weight: 0 is `faithful`, 1 is `sharp`.

    Raises:
        UserError: `alpha` outside [0, 1].
    """
    faithful, sharp = (load_generator(bundled_models()[name].path) for name in BLENDED)
    return interpolate(faithful, sharp, alpha)


def load_discriminator(path: str | Path) -> keras.Model:
    """Opens a discriminator that training saved, or PyTorch weights of one.

    Raises:
        UserError: nothing there, not one of these, or no discriminator.
    """
    model = load_network(path, discriminator=True)
    if not _is_discriminator(model):
        raise UserError(f"{path}: {describe(model)}; that is a generator, where a discriminator is wanted")
    return model


def load_network(path: str | Path, discriminator: bool = False) -> keras.Model:
    """Opens a generator, as `load_generator`, or a discriminator, as `load_discriminator`, whichever is there.

    Args:
        discriminator: prefer it where a file holds both.
    """
    path = find_model(path)
    if path.is_dir():
        return _from_saved_model(path)
    if not path.is_file():
        raise UserError(f"no file {path}; {EXPECTED}")
    if identify(path) is not FileKind.KERAS:
        return load_torch_network(path, discriminator=discriminator)
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not a Keras model, or is cut short; download or save it again")
    for family in FAMILIES.values():
        family.build  # noqa: B018  (its module registers layers that Keras then finds by name)
    try:
        model = _open_keras(path)
    except Exception as error:  # a parser of damaged bytes raises whatever it meets
        raise UserError(f"{path} is not a Keras model: {first_line(error)}") from error
    if _is_discriminator(model):  # training may have computed it in another precision
        return build(recognise_model(model), {v.path: np.asarray(v) for v in model.weights})
    _check_generator(model, path)
    return model


def _open_keras(path):
    """Keras opens files by their extension; another one is given a copy that has it."""
    if path.suffix == ".keras":
        return keras.models.load_model(path, compile=False)
    with tempfile.TemporaryDirectory() as folder:
        return keras.models.load_model(shutil.copyfile(path, Path(folder, "model.keras")), compile=False)


def _from_saved_model(path):
    """The published folder holds no Keras model, but names that tell which one its weights belong to."""
    check_operations(path)
    shapes, channels = named_shapes(path)
    architecture = recognise_variables(shapes, str(path), channels)
    try:
        loaded = tf.saved_model.load(str(path))
        weights = {v.name.removesuffix(":0"): v.numpy() for v in loaded.variables}
    except Exception as error:  # whatever a damaged or foreign SavedModel trips over
        raise UserError(f"{path} is not a SavedModel of esrgan-tf: {first_line(error)}") from error
    model = build(architecture, weights)
    try:
        verify_call(model, loaded)
    except Exception as error:  # its call may be anything
        raise UserError(f"{path} has weights of ours, but computes something else: {first_line(error)}") from error
    return model


def _is_discriminator(model):
    """By the name that its builder gave it."""
    return model.name in {family.builder for family in DISCRIMINATORS.values()}


def _check_generator(model, path):
    """Images of any size in, images out: what the rest of the program relies on."""
    try:
        (image,), (result,) = model.inputs, model.outputs
        fits = len(image.shape) == len(result.shape) == 4 and image.shape[1:3] == (None, None)
        fits = fits and image.shape[3] is not None and isinstance(model.input, keras.KerasTensor)
    except (ValueError, AttributeError):  # several inputs, or none that are defined
        fits = False
    if not fits:
        raise UserError(
            f"{path} is a Keras model, but no generator, which maps images [B, H, W, C] of any size to images"
        )
