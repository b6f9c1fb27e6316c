"""Compact ResNet of the packaged models, in files of PyTorch's kinds.

The names are ours, after BasicSR's fashion: PyTorch's tools do not know the network.
"""

import math

from esrgan_tf.errors import UserError
from esrgan_tf.models.compact_resnet.options import CompactResNet
from esrgan_tf.models.torch_tensors import Tensors, conv, kernel_shape, numbered

STYLES = {"esrgan_tf": "body.{i}.", "Keras": "body_{i}_"}
_WITH_RELU = ("body.{i}.conv1", "body_{i}_conv1")  # as of version 0.1.0


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The style of names, if there are residual blocks and the ends; an empty one of blocks that have a ReLU."""
    if not all(f"{name}.weight" in shapes for name in ("conv_first", "conv_body", "conv_last")):
        return None
    if any(numbered(shapes, layer) for layer in _WITH_RELU):
        return ""
    return next((style for style in STYLES if numbered(shapes, f"{STYLES[style]}0")), None)


def style_to_write(options: CompactResNet) -> str:
    """There is only one."""
    return "esrgan_tf"


def options(shapes: dict[str, tuple[int, ...]], style: str, in_channels: int | None = None) -> CompactResNet:
    """What `compact_resnet_generator` takes to have these tensors, as the first and the last convolution tell.

    Raises:
        UserError: one of these is missing, their shapes do not make a scale, or it is another network's.
    """
    if not style:
        raise UserError("its blocks have a ReLU, as those of esrgan-tf 0.1.0 had; that version opens it")
    blocks = 1 + max(i for (i,) in numbered(shapes, f"{STYLES[style]}0"))
    if blocks > len(shapes):
        raise UserError(f"it has tensors of block {blocks - 1} but not of all before it")
    filters, channels = kernel_shape(shapes, "conv_first")
    shuffled, (outputs, inputs) = "conv_last", kernel_shape(shapes, "conv_last")
    tail, mixed = 0, channels  # channels that the pixel shuffle leaves
    if "conv_up.weight" in shapes:
        tail = mixed = inputs
        shuffled, (outputs, _) = "conv_up", kernel_shape(shapes, "conv_up")
    scale = math.isqrt(outputs // mixed)
    if scale < 1 or mixed * scale**2 != outputs:
        raise UserError(
            f"{shuffled}.weight has {outputs} outputs, which is not its {mixed} channels times a scale squared"
        )
    return CompactResNet(scale=scale, filters=filters, blocks=blocks, tail=tail, channels=channels)


def tensors(options: CompactResNet, style: str) -> Tensors:
    """Every tensor of the network: `{its name: (the Keras variable's path, its shape in PyTorch)}`."""
    filters, channels = options.filters, options.channels
    result = conv("conv_first", "conv_first", filters, channels, 3)
    for i in range(options.blocks):
        for n in (0, 2):  # between them is LeakyReLU
            result |= conv(f"{STYLES[style].format(i=i)}{n}", f"body_{i}_{n}", filters, filters, 3)
    result |= conv("conv_body", "conv_body", filters, filters, 3)
    if options.tail:
        result |= conv("conv_up", "conv_up", options.tail * options.scale**2, filters, 3)
        return result | conv("conv_last", "conv_last", channels, options.tail, 3)
    return result | conv("conv_last", "conv_last", channels * options.scale**2, filters, 3)


def packed(options: CompactResNet) -> dict[str, tuple[int, int, int]]:
    """Where PyTorch counts a pixel's channels in another order: `{variable's path: (its axis there, channels, r)}`."""
    layer, channels = ("conv_up", options.tail) if options.tail else ("conv_last", options.channels)
    return {f"{layer}/{kind}": (0, channels, options.scale) for kind in ("kernel", "bias")}
