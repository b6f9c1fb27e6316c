"""Names and shapes of a layer's tensors in PyTorch, and the Keras variables of these tensors."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from esrgan_tf.errors import UserError


@dataclass(frozen=True)
class Constant:
    """A tensor with the same numbers in every file and no Keras variable; the numbers are in the tensor's order."""

    numbers: tuple[float, ...]


class Branch:
    """A part of a merged convolution; the mapping's `merge_branches` and `split_branches` convert it."""


BRANCH = Branch()

# {name in PyTorch: (Keras variable's path, constant or branch, shape in PyTorch)}
Tensors = dict[str, tuple[str | Constant | Branch, tuple[int, ...]]]


def conv(name: str, path: str, outputs: int, inputs: int, size: int, bias: bool = True) -> Tensors:
    """A convolution's kernel and its optional bias."""
    result: Tensors = {f"{name}.weight": (f"{path}/kernel", (outputs, inputs, size, size))}
    return result | ({f"{name}.bias": (f"{path}/bias", (outputs,))} if bias else {})


def batch_norm(name: str, path: str, channels: int) -> Tensors:
    """Batch normalisation, without PyTorch's unused count of batches."""
    parts = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    return {f"{name}.{part}": (f"{path}/{ours}", (channels,)) for part, ours in parts.items()}


def dense(name: str, path: str, outputs: int, inputs: int) -> Tensors:
    """A dense layer's kernel and bias."""
    return {f"{name}.weight": (f"{path}/kernel", (outputs, inputs)), f"{name}.bias": (f"{path}/bias", (outputs,))}


def spectral_conv(name: str, path: str, outputs: int, inputs: int, size: int) -> Tensors:
    """A convolution without bias, and the singular vectors of its spectral normalisation."""
    return {
        f"{name}.weight_orig": (f"{path}/kernel", (outputs, inputs, size, size)),
        f"{name}.weight_u": (f"{path}_sn/vector_u", (outputs,)),
        f"{name}.weight_v": (f"{path}_sn/vector_v", (inputs * size**2,)),
    }


def constant(name: str, numbers: tuple[float, ...], shape: tuple[int, ...]) -> Tensors:
    """A tensor that has the same numbers in every file; a file with other numbers raises an error."""
    return {name: (Constant(numbers), shape)}


def branches(name: str, outputs: int, inputs: int, size: int) -> Tensors:
    """The kernel and the bias of a convolution that is a branch of a merged convolution."""
    return {f"{name}.weight": (BRANCH, (outputs, inputs, size, size)), f"{name}.bias": (BRANCH, (outputs,))}


def numbered(shapes: Iterable[str], layer: str) -> list[tuple[int, ...]]:
    """The numbers in the names of kernels that match `layer`, such as `body.{i}.conv1`, as a tuple per kernel."""
    pattern = re.compile(re.sub(r"\\{\w+\\}", r"(\\d{1,6})", re.escape(layer)) + r"\.weight")
    return [tuple(map(int, match.groups())) for match in map(pattern.fullmatch, shapes) if match]


def kernel_shape(shapes: Mapping[str, tuple[int, ...]], layer: str) -> tuple[int, int]:
    """Outputs and inputs of a convolution.

    Raises:
        UserError: the kernel is missing, or is not a convolution's.
    """
    name = f"{layer}.weight"
    if name not in shapes:
        raise UserError(f"there is no {name}")
    if len(shapes[name]) != 4 or 0 in shapes[name]:
        raise UserError(f"{name} has the shape {shapes[name]}, which no convolution has")
    outputs, inputs, _, _ = shapes[name]
    return outputs, inputs


def side_of(shapes: Mapping[str, tuple[int, ...]], layer: str, channels: int) -> int:
    """The side of the square feature map with `channels` channels that a dense layer takes.

    Raises:
        UserError: the layer is missing, or its input is not a square feature map.
    """
    name = f"{layer}.weight"
    if name not in shapes:
        raise UserError(f"there is no {name}")
    inputs = shapes[name][1] if len(shapes[name]) == 2 else 0
    side = math.isqrt(inputs // channels)
    if side < 1 or channels * side**2 != inputs:
        raise UserError(f"{name} has the shape {shapes[name]}, which no square image of {channels} channels makes")
    return side
