"""SPAN in PyTorch: names of its tensors, options from their shapes, and the branches in files.

Files store each 3x3 convolution as the branches of its training. A 1x1 convolution (`sk`) is parallel to a sequence of
1x1, 3x3 and 1x1 convolutions (`conv.0` … `conv.2`) with twice as many channels. All are linear, so they merge to a
single 3x3 convolution. Files also store the merged convolution (`eval_conv`), but it can be outdated, so readers merge
the branches again.
"""

import math

import numpy as np

from esrgan_tf.errors import UserError
from esrgan_tf.models.span.options import SPAN
from esrgan_tf.models.torch_tensors import BRANCH, Tensors, branches, constant, conv, kernel_shape, numbered

STYLES = ("SPAN", "SPAN, no mean", "Keras", "Keras, no mean")


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The authors' style or Keras' style, each with or without a mean colour."""
    if {"conv_1.sk.weight", "block_1.c1_r.sk.weight", "conv_cat.weight"} <= shapes.keys():
        return "SPAN, no mean" if "no_norm" in shapes else "SPAN"
    if {"block_1_c1.weight", "conv_cat.weight"} <= shapes.keys():
        return "Keras" if "conv_1.weight" in shapes else "Keras, no mean"
    return None


def style_to_write(options: SPAN) -> str:
    """The authors' style, which spandrel reads too."""
    return "SPAN" if options.mean else "SPAN, no mean"


def infer_options(shapes: dict[str, tuple[int, ...]], style_name: str, in_channels: int | None = None) -> SPAN:
    """Options of `span_generator` that give these tensors.

    Raises:
        UserError: tensors are missing, or their shapes fit no scale.
    """
    authors = style_name.startswith("SPAN")
    layer = "block_{i}.c1_r.sk" if authors else "block_{i}_c1"
    blocks = max(i for (i,) in numbered(shapes, layer))
    if blocks > len(shapes):
        raise UserError(f"it has tensors of block {blocks}, but the tensors of earlier blocks are missing")
    mean = not style_name.endswith("no mean")
    first = "conv_1.sk" if authors else "conv_1" if mean else "conv_1_no_mean"
    filters, channels = kernel_shape(shapes, first)
    outputs, _ = kernel_shape(shapes, "upsampler.0" if authors else "upsampler")
    scale = math.isqrt(outputs // channels)
    if scale not in (1, 2, 3, 4) or scale**2 * channels != outputs:
        raise UserError(
            f"its upsampler has {outputs} outputs; expected {channels} channels times the square of a scale up to 4"
        )
    return SPAN(scale=scale, filters=filters, blocks=blocks, channels=channels, mean=mean)


def torch_tensors(options: SPAN, style_name: str) -> Tensors:
    """Every tensor of the network: `{name in PyTorch: (Keras variable's path, constant or branch, shape)}`."""
    authors, filters, channels = style_name.startswith("SPAN"), options.filters, options.channels
    result = constant("no_norm", (0.0,), (1,)) if style_name == "SPAN, no mean" else {}
    for name, path, inputs in _convolutions(options):
        if not authors:
            result |= conv(path, path, filters, inputs, 3)
            continue
        result |= branches(f"{name}.sk", filters, inputs, 1)
        result |= branches(f"{name}.conv.0", 2 * inputs, inputs, 1)
        result |= branches(f"{name}.conv.1", 2 * filters, 2 * inputs, 3)
        result |= branches(f"{name}.conv.2", filters, 2 * filters, 1)
        result |= conv(f"{name}.eval_conv", path, filters, inputs, 3)
    result |= conv("conv_cat", "conv_cat", filters, 4 * filters, 1)
    return result | conv(
        "upsampler.0" if authors else "upsampler", "upsampler", channels * options.scale**2, filters, 3
    )


def shuffled_axes(options: SPAN) -> dict[str, tuple[int, int, int]]:
    """Axes that PyTorch shuffles in another order: `{variable's path: (axis in PyTorch, channels, factor)}`."""
    return {f"upsampler/{kind}": (0, options.channels, options.scale) for kind in ("kernel", "bias")}


def merge_branches(options: SPAN, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the state with every `eval_conv` computed from its branches in float64."""
    state = dict(state)
    for name, _, _ in _convolutions(options):
        parts = {
            f"{branch}.{kind}": state[f"{name}.{branch}.{kind}"].astype(np.float64)
            for branch in ("sk", "conv.0", "conv.1", "conv.2")
            for kind in ("weight", "bias")
        }
        before, middle, after = (parts[f"conv.{i}.weight"] for i in range(3))
        kernel = np.einsum("om,mnij,nc->ocij", after[..., 0, 0], middle, before[..., 0, 0])
        kernel[:, :, 1, 1] += parts["sk.weight"][..., 0, 0]
        # The image is zero-padded before the first convolution, so the first bias applies everywhere.
        bias = parts["conv.1.bias"] + np.einsum("mnij,n->m", middle, parts["conv.0.bias"])
        bias = after[..., 0, 0] @ bias + parts["conv.2.bias"] + parts["sk.bias"]
        state[f"{name}.eval_conv.weight"] = kernel.astype(np.float32)
        state[f"{name}.eval_conv.bias"] = bias.astype(np.float32)
    return state


def split_branches(options: SPAN, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the state with branches that merge exactly: the 3x3 kernel between identities, and zeros."""
    state = dict(state)
    for name, (kind, shape) in torch_tensors(options, style_to_write(options)).items():
        if kind is BRANCH:
            state[name] = np.zeros(shape, np.float32)
    for name, _, inputs in _convolutions(options):
        kernel, bias = state[f"{name}.eval_conv.weight"], state[f"{name}.eval_conv.bias"]
        outputs = len(kernel)
        state[f"{name}.conv.0.weight"][:inputs, :, 0, 0] = np.eye(inputs)
        state[f"{name}.conv.1.weight"][:outputs, :inputs] = kernel
        state[f"{name}.conv.2.weight"][:, :outputs, 0, 0] = np.eye(outputs)
        state[f"{name}.conv.2.bias"] = bias.copy()
    return state


def _convolutions(options):
    """Convolutions that files store as branches: `(name in PyTorch, Keras layer, input channels)`."""
    yield "conv_1", "conv_1" if options.mean else "conv_1_no_mean", options.channels
    for i in range(1, 1 + options.blocks):
        for j in (1, 2, 3):
            yield f"block_{i}.c{j}_r", f"block_{i}_c{j}", options.filters
    yield "conv_2", "conv_2", options.filters
