"""Compact ResNet of the bundled models, in PyTorch's file formats.

The names follow BasicSR's style. Other PyTorch tools do not support the network.
"""

import math

from esrgan_tf.errors import UserError
from esrgan_tf.models.compact_resnet.options import CompactResNet
from esrgan_tf.models.torch_tensors import Tensors, conv, kernel_shape, numbered

STYLES = {"esrgan_tf": "body.{i}.", "Keras": "body_{i}_"}
_WITH_RELU = ("body.{i}.conv1", "body_{i}_conv1")  # as of version 0.1.0


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The style that matches blocks, first and last layer; an empty string for blocks with a ReLU."""
    if not all(f"{name}.weight" in shapes for name in ("conv_first", "conv_body", "conv_last")):
        return None
    if any(numbered(shapes, layer) for layer in _WITH_RELU):
        return ""
    return next((style for style in STYLES if numbered(shapes, f"{STYLES[style]}0")), None)


def style_to_write(options: CompactResNet) -> str:
    """The only style of names."""
    return "esrgan_tf"


def infer_options(shapes: dict[str, tuple[int, ...]], style: str, in_channels: int | None = None) -> CompactResNet:
    """Options of `compact_resnet_generator` that give these tensors, from the first and the last convolution.

    Raises:
        UserError: a convolution is missing, the shapes fit no scale, or the blocks have a ReLU.
    """
    if not style:
        raise UserError("its blocks have a ReLU, as in esrgan-tf 0.1.0; open it with that version")
    blocks = 1 + max(i for (i,) in numbered(shapes, f"{STYLES[style]}0"))
    if blocks > len(shapes):
        raise UserError(f"it has tensors of block {blocks - 1}, but the tensors of earlier blocks are missing")
    filters, channels = kernel_shape(shapes, "conv_first")
    shuffled, (outputs, inputs) = "conv_last", kernel_shape(shapes, "conv_last")
    tail, mixed = 0, channels  # channels after the pixel shuffle
    if "conv_up.weight" in shapes:
        tail = mixed = inputs
        shuffled, (outputs, _) = "conv_up", kernel_shape(shapes, "conv_up")
    scale = math.isqrt(outputs // mixed)
    if scale < 1 or mixed * scale**2 != outputs:
        raise UserError(f"{shuffled}.weight has {outputs} outputs; expected {mixed} channels times a squared scale")
    return CompactResNet(scale=scale, filters=filters, blocks=blocks, tail=tail, channels=channels)


def torch_tensors(options: CompactResNet, style: str) -> Tensors:
    """Every tensor of the network: `{name in PyTorch: (Keras variable's path, shape in PyTorch)}`."""
    filters, channels = options.filters, options.channels
    result = conv("conv_first", "conv_first", filters, channels, 3)
    for i in range(options.blocks):
        for n in (0, 2):  # number 1 is LeakyReLU
            result |= conv(f"{STYLES[style].format(i=i)}{n}", f"body_{i}_{n}", filters, filters, 3)
    result |= conv("conv_body", "conv_body", filters, filters, 3)
    if options.tail:
        result |= conv("conv_up", "conv_up", options.tail * options.scale**2, filters, 3)
        return result | conv("conv_last", "conv_last", channels, options.tail, 3)
    return result | conv("conv_last", "conv_last", channels * options.scale**2, filters, 3)


def shuffled_axes(options: CompactResNet) -> dict[str, tuple[int, int, int]]:
    """Axes that PyTorch shuffles in another order: `{variable's path: (axis in PyTorch, channels, factor)}`."""
    layer, channels = ("conv_up", options.tail) if options.tail else ("conv_last", options.channels)
    return {f"{layer}/{kind}": (0, channels, options.scale) for kind in ("kernel", "bias")}
