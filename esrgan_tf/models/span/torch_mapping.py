"""SPAN in PyTorch: what its tensors are called, what their shapes tell, and the branches that files hold.

Each 3x3 convolution is stored as those that it was trained as: a 1x1 (`sk`) beside a sequence of 1x1, 3x3 and 1x1
(`conv.0` … `conv.2`, of twice as many channels). All are linear, so one 3x3 convolution computes the same. Files hold
that too (`eval_conv`), though not always the newest, and readers merge the branches again.
"""

import math

import numpy as np

from esrgan_tf.errors import UserError
from esrgan_tf.models.span.options import SPAN
from esrgan_tf.models.torch_tensors import BRANCH, Tensors, branches, constant, conv, kernel_shape, numbered

STYLES = ("SPAN", "SPAN, no mean", "Keras", "Keras, no mean")


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The authors' names, or ours; each with a mean colour or without."""
    if {"conv_1.sk.weight", "block_1.c1_r.sk.weight", "conv_cat.weight"} <= shapes.keys():
        return "SPAN, no mean" if "no_norm" in shapes else "SPAN"
    if {"block_1_c1.weight", "conv_cat.weight"} <= shapes.keys():
        return "Keras" if "conv_1.weight" in shapes else "Keras, no mean"
    return None


def style_to_write(options: SPAN) -> str:
    """The authors' own, which spandrel reads too."""
    return "SPAN" if options.mean else "SPAN, no mean"


def options(shapes: dict[str, tuple[int, ...]], style_name: str, in_channels: int | None = None) -> SPAN:
    """What `span_generator` takes to have these tensors.

    Raises:
        UserError: tensors are missing, or do not make a scale.
    """
    authors = style_name.startswith("SPAN")
    layer = "block_{i}.c1_r.sk" if authors else "block_{i}_c1"
    blocks = max(i for (i,) in numbered(shapes, layer))
    if blocks > len(shapes):
        raise UserError(f"it has tensors of block {blocks} but not of all before it")
    mean = not style_name.endswith("no mean")
    first = "conv_1.sk" if authors else "conv_1" if mean else "conv_1_no_mean"
    filters, channels = kernel_shape(shapes, first)
    outputs, _ = kernel_shape(shapes, "upsampler.0" if authors else "upsampler")
    scale = math.isqrt(outputs // channels)
    if scale not in (1, 2, 3, 4) or scale**2 * channels != outputs:
        raise UserError(f"it makes {outputs} channels of {channels}, which no scale of 1, 2, 3 or 4 does")
    return SPAN(scale=scale, filters=filters, blocks=blocks, channels=channels, mean=mean)


def tensors(options: SPAN, style_name: str) -> Tensors:
    """Every tensor of the network: `{its name: (the Keras variable's path or what stands for it, shape)}`."""
    authors, filters, channels = style_name.startswith("SPAN"), options.filters, options.channels
    result = constant("no_norm", (0.0,), (1,)) if style_name == "SPAN, no mean" else {}
    for theirs, ours, inputs in _convolutions(options):
        if not authors:
            result |= conv(ours, ours, filters, inputs, 3)
            continue
        result |= branches(f"{theirs}.sk", filters, inputs, 1)
        result |= branches(f"{theirs}.conv.0", 2 * inputs, inputs, 1)
        result |= branches(f"{theirs}.conv.1", 2 * filters, 2 * inputs, 3)
        result |= branches(f"{theirs}.conv.2", filters, 2 * filters, 1)
        result |= conv(f"{theirs}.eval_conv", ours, filters, inputs, 3)
    result |= conv("conv_cat", "conv_cat", filters, 4 * filters, 1)
    return result | conv(
        "upsampler.0" if authors else "upsampler", "upsampler", channels * options.scale**2, filters, 3
    )


def packed(options: SPAN) -> dict[str, tuple[int, int, int]]:
    """Where PyTorch counts a pixel's channels in another order: `{variable's path: (its axis there, channels, r)}`."""
    return {f"upsampler/{kind}": (0, options.channels, options.scale) for kind in ("kernel", "bias")}


def merged(options: SPAN, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state with every `eval_conv` computed from its branches, in float64."""
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
        # Zeros are put around the image before the first of the three, so its bias is there at every place.
        bias = parts["conv.1.bias"] + np.einsum("mnij,n->m", middle, parts["conv.0.bias"])
        bias = after[..., 0, 0] @ bias + parts["conv.2.bias"] + parts["sk.bias"]
        state[f"{name}.eval_conv.weight"] = kernel.astype(np.float32)
        state[f"{name}.eval_conv.bias"] = bias.astype(np.float32)
    return state


def branched(options: SPAN, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state with branches that merge to its convolutions exactly: the 3x3 one between identities, the rest zero."""
    state = dict(state)
    for name, (kind, shape) in tensors(options, style_to_write(options)).items():
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
    """Those of branches: `(name in PyTorch, our layer's, channels in)`."""
    yield "conv_1", "conv_1" if options.mean else "conv_1_no_mean", options.channels
    for i in range(1, 1 + options.blocks):
        for j in (1, 2, 3):
            yield f"block_{i}.c{j}_r", f"block_{i}_c{j}", options.filters
    yield "conv_2", "conv_2", options.filters
