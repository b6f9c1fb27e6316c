"""Lossless conversion between PyTorch weights and Keras models, for all known architectures."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from esrgan_tf.errors import UserError, listed
from esrgan_tf.files import replacing
from esrgan_tf.weights.architecture import (
    Architecture,
    build,
    check_function,
    recognise,
    recognise_model,
    to_keras,
    to_torch,
)
from esrgan_tf.weights.model_names import report
from esrgan_tf.weights.selection import read_network
from esrgan_tf.weights.state_dicts import open_tensors, write_state_dict

_UNWRAPPED = ("the oldest files", "EDSR-PyTorch")  # styles of programs that expect no `params` in a .pth


def load_torch(
    path: str | Path,
    residual_scale: float | None = None,
    mean: bool = True,
    say: Callable[[str], None] = lambda line: None,
    say_choice: Callable[[str], None] = report,
) -> keras.Model:
    """Builds a generator from a file of PyTorch weights, which determine the architecture.

    Args:
        path: a safetensors or `torch.save` file with any extension, with a state dict or a checkpoint.
        residual_scale: residual scale of EDSR, which files do not contain; None is the paper's value.
        mean: whether EDSR subtracts the mean colour, for files that do not contain the mean.
        say: called with a line on options that were assumed.
        say_choice: called with a line on the selected network if a file contains several; prints to standard error by
            default.

    Raises:
        UserError: the file is unreadable, unsafe, incomplete or contradictory, its network is unknown, or its weights
            are not finite floating-point numbers.
    """
    model = load_torch_network(path, residual_scale, mean, say, say_choice)
    if not recognise_model(model).family.is_generator:
        raise UserError(f"{path}: {describe(model)}; that is a discriminator, not a generator")
    return model


def load_torch_network(
    path: str | Path,
    residual_scale: float | None = None,
    mean: bool = True,
    say: Callable[[str], None] = lambda line: None,
    say_choice: Callable[[str], None] = report,
    discriminator: bool = False,
) -> keras.Model:
    """As `load_torch`, but also opens discriminators.

    Args:
        discriminator: prefer a discriminator to a generator in the same file.
    """
    architecture, state = read_network(open_tensors(path), str(path), say_choice, discriminator)
    for name, tensor in state.items():
        if tensor.dtype != np.float32:
            raise UserError(f"{path}: {name} holds {tensor.dtype}; weights must be floating-point numbers")
    _check_finite(state, path)
    _check_constants(state, architecture, path)
    mapping = architecture.family.mapping
    if residual_scale is not None or not mean:
        if not hasattr(mapping, "with_given_facts"):
            raise UserError(f"{path}: {architecture}; --residual_scale and --nomean are for EDSR")
        try:
            options, state = mapping.with_given_facts(
                architecture.options, architecture.style, state, residual_scale, mean
            )
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        architecture = dataclasses.replace(architecture, options=options)
    elif hasattr(mapping, "describe_assumptions"):
        say(f"note: {mapping.describe_assumptions(architecture.options, architecture.style)}")
    return build(architecture, to_keras(architecture, state))


def describe(model: keras.Model) -> str:
    """A line with a network's architecture, scale, sizes, parameters and channels."""
    try:
        return str(recognise_model(model))
    except UserError:
        return f"a Keras model of unknown architecture, {model.count_params():,} parameters"


def save_torch(model: keras.Model, path: str | Path) -> Architecture:
    """Writes a network's weights for PyTorch; the file appears at `path` only after a successful comparison.

    Tensors have the names that most programs read, `style_to_write` of the network's family. In a `.pth`, tensors are
    under the key `params`, as BasicSR and Real-ESRGAN expect. Styles of programs without this key have no key.

    Args:
        path: `.safetensors` or `.pth`.

    Returns:
        The written architecture, with its style of names.

    Raises:
        UserError: the architecture is unknown, or readers of PyTorch files would recognise another architecture.
    """
    path = Path(path)
    architecture = recognise_model(model)
    styled = architecture.styled(architecture.style_to_write)
    state = to_torch(styled, {v.path: np.asarray(v) for v in model.weights})
    _check_finite(state, model.name)
    check_function(model, architecture)
    try:
        read_as = str(recognise({name: tensor.shape for name, tensor in state.items()}, "it"))
    except UserError as error:
        read_as = f"nothing: {error}"
    if read_as != str(styled):
        raise UserError(
            f"{path}: PyTorch tools read only names and shapes, from which {styled} is recognised as {read_as}"
        )

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as staging:
        write_state_dict(state, staging, None if styled.style in _UNWRAPPED else "params")
        try:
            _, written = read_network(open_tensors(staging), str(path), say=lambda line: None)
        except UserError as error:
            raise RuntimeError(f"{path} does not read back as it was written: {error}") from error
        different = [name for name in state if not np.array_equal(written[name], state[name])]
        if different or len(written) != len(state):
            raise RuntimeError(f"{path} does not read back as it was written: {listed(different, 3)}")
    return styled


def _check_finite(state, where):
    broken = [name for name, tensor in state.items() if not np.isfinite(tensor).all()]
    if broken:
        raise UserError(f"{where}: values that are not finite in {listed(broken, 3)}")


def _check_constants(state, architecture, path):
    """Checks a file's constants, with a tolerance of bfloat16's rounding."""
    for name, numbers in architecture.constants.items():
        if not np.allclose(state[name], numbers, rtol=2**-8, atol=0):
            held, expected = (", ".join(f"{number:g}" for number in array.flat) for array in (state[name], numbers))
            raise UserError(f"{path}: {name} holds {held}; {architecture.options.title} supports only {expected}")
