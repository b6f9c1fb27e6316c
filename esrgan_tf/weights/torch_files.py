"""Weights from and to PyTorch: any published network of the family as a Keras model, and back, bit for bit."""

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

_BARE = ("the oldest files", "EDSR-PyTorch")  # styles whose programs expect the tensors of a .pth without a wrapper


def load_torch(
    path: str | Path,
    residual_scale: float | None = None,
    mean: bool = True,
    say: Callable[[str], None] = lambda line: None,
    say_choice: Callable[[str], None] = report,
) -> keras.Model:
    """Builds the generator whose PyTorch weights `path` holds; everything about it is inferred from them.

    Args:
        path: a file of safetensors or `torch.save`, with any extension: a state dict, or a checkpoint that holds one.
        residual_scale: of EDSR, which no file tells; None is the published one.
        mean: whether an EDSR whose file does not tell subtracts the mean colour.
        say: is given a line on what was assumed of what no file tells.
        say_choice: is given a line on which network of several was taken; else it goes to standard error.

    Raises:
        UserError: unreadable, unsafe, no network of ours, incomplete, contradictory, or with weights that are not
            finite floating-point numbers.
    """
    model = load_torch_network(path, residual_scale, mean, say, say_choice)
    if not recognise_model(model).family.is_generator:
        raise UserError(f"{path}: {describe(model)}; that is a discriminator, where a generator is wanted")
    return model


def load_torch_network(
    path: str | Path,
    residual_scale: float | None = None,
    mean: bool = True,
    say: Callable[[str], None] = lambda line: None,
    say_choice: Callable[[str], None] = report,
    discriminator: bool = False,
) -> keras.Model:
    """As `load_torch`, and discriminators too: SRGAN's and Real-ESRGAN's.

    Args:
        discriminator: prefer it to a generator in the same file.
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
    """One line on a network: architecture, scale, sizes, parameters, channels."""
    try:
        return str(recognise_model(model))
    except UserError:
        return f"a Keras model that is none of ours, {model.count_params():,} parameters"


def save_torch(model: keras.Model, path: str | Path) -> Architecture:
    """Writes a network's weights for PyTorch, reads them back and compares, and only then puts them at `path`.

    The names are those by which most programs know the network (`style_to_write` of its family), and the tensors of a
    `.pth` lie under `params` as BasicSR's and Real-ESRGAN's programs expect, or bare where those that know the names
    expect that.

    Args:
        path: `.safetensors` or `.pth`.

    Returns:
        What was written, with its style of names.

    Raises:
        UserError: no network of ours, or one that PyTorch's readers would take for another.
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
            f"{path}: from names and shapes, which are all that PyTorch's tools see, {styled} reads as {read_as}"
        )

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as staging:
        write_state_dict(state, staging, None if styled.style in _BARE else "params")
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
    """What the network has without a variable, the file must hold too, rounded as bfloat16 does or less."""
    for name, numbers in architecture.constants.items():
        if not np.allclose(state[name], numbers, rtol=2**-8, atol=0):
            held, expected = (", ".join(f"{number:g}" for number in array.flat) for array in (state[name], numbers))
            raise UserError(f"{path}: {name} holds {held}; {architecture.options.title} is built for {expected} only")
