"""The architecture of the network in a file, from names and shapes, without building a network.

Imports no Keras. Only SavedModels import TensorFlow, which defines their format; TensorFlow runs no operations.
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.file_kinds import EXPECTED, FileKind, identify
from esrgan_tf.weights.architecture import Architecture, recognise_variables
from esrgan_tf.weights.selection import recognise_network
from esrgan_tf.weights.state_dicts import open_tensors

Shapes = dict[str, tuple[int, ...]]


def generator_architecture(path: Path) -> Architecture:
    """The architecture of the generator in a file or a SavedModel folder.

    Raises:
        UserError: the file is damaged or has another format, or its network is unknown or a discriminator.
    """
    found = _architecture(path, discriminator=False)
    if not found.family.is_generator:
        raise UserError(f"{path}: {found}; that is a discriminator, not a generator")
    return found


def discriminator_architecture(path: Path) -> Architecture:
    """The architecture of the discriminator in a file.

    Raises:
        UserError: as `generator_architecture`, or the network is a generator.
    """
    found = _architecture(path, discriminator=True)
    if found.family.is_generator:
        raise UserError(f"{path}: {found}; that is a generator, not a discriminator")
    return found


def _architecture(path, discriminator):
    if path.is_dir():
        return _read_saved_model(path)
    if not path.is_file():
        raise UserError(f"no file {path}; {EXPECTED}")
    if identify(path) is not FileKind.KERAS:
        return recognise_network(open_tensors(path), str(path), discriminator)
    return _read_keras_model(path)


def _read_keras_model(path):
    """The architecture of a Keras model, from the JSON description of its layers."""
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not a Keras model, or is cut short; download or save it again")
    try:
        with zipfile.ZipFile(path) as archive:
            model = json.loads(archive.read("config.json"))["config"]
        layers = model["layers"]
        (channels,) = (x["config"]["batch_shape"][-1] for x in layers if x["class_name"] == "InputLayer")
        shapes: Shapes = {}
        for layer in layers:
            shapes |= _variables(layer)
    except Exception as error:  # parsers raise any exception on damaged bytes
        raise UserError(f"{path} is not a Keras model: {first_line(error)}") from error
    return recognise_variables(shapes, f"the Keras model {model['name']}", channels)


def _variables(layer) -> Shapes:
    """`{path: shape}` of a layer's variables, from the layer's entry in `config.json`."""
    kind = _LAYERS.get(layer["class_name"])
    return {} if kind is None else kind(layer["config"]["name"], layer["config"], layer["build_config"]["input_shape"])


def _convolution(name, config, input_shape):
    return _with_bias(name, config, (*config["kernel_size"], input_shape[-1], config["filters"]))


def _dense(name, config, input_shape):
    return _with_bias(name, config, (input_shape[-1], config["units"]))


def _with_bias(name, config, kernel):
    bias = {f"{name}/bias": (kernel[-1],)} if config["use_bias"] else {}
    return {f"{name}/kernel": kernel, **bias}


def _slopes(name, config, input_shape):
    shared = config["shared_axes"] or ()
    return {f"{name}/alpha": tuple(1 if axis in shared else n for axis, n in enumerate(input_shape[1:], 1))}


def _statistics(name, config, input_shape):
    parts = ("gamma", "beta", "moving_mean", "moving_variance")
    return {f"{name}/{part}": (input_shape[-1],) for part in parts}


def _spectral_normalization(name, config, input_shape):
    inner = config["layer"]
    shapes = _convolution(inner["config"]["name"], inner["config"], input_shape)
    *rows, outputs = next(iter(shapes.values()))
    return {**shapes, f"{name}/vector_u": (1, outputs), f"{name}/vector_v": (1, rows[0] * rows[1] * rows[2])}


# Layers of the networks that have variables.
_LAYERS: dict[str, Callable[..., Shapes]] = {
    "Conv2D": _convolution,
    "Dense": _dense,
    "PReLU": _slopes,
    "BatchNormalization": _statistics,
    "SpectralNormalization": _spectral_normalization,
}


def _read_saved_model(folder):
    from esrgan_tf.weights.saved_model_graph import named_shapes

    shapes, channels = named_shapes(folder)
    return recognise_variables(shapes, str(folder), channels)
