"""EDSR in PyTorch: names of its tensors, and options from their shapes."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from esrgan_tf.errors import UserError
from esrgan_tf.models.edsr.options import EDSR, SCALES
from esrgan_tf.models.rgb_mean import mean_tensors
from esrgan_tf.models.torch_tensors import Tensors, conv, kernel_shape, numbered


@dataclass(frozen=True)
class Style:
    """A style of layer names. `{i}` is a block, `{blocks}` the number of blocks, `{n}` an upsampling convolution.

    PyTorch numbers upsampling as a list with pixel shuffles at odd numbers: `{n}` is 0, and at ×4 also 2.
    """

    first: str
    conv1: str
    conv2: str
    body: str
    up: str
    last: str


def _keras(first):
    return Style(first, "body_{i}_conv1", "body_{i}_conv2", "conv_after_body", "upsample_{n}", "conv_last")


_OFFICIAL = Style("head.0", "body.{i}.body.0", "body.{i}.body.2", "body.{blocks}", "tail.0.{n}", "tail.1")
STYLES = {
    "EDSR-PyTorch": _OFFICIAL,
    "EDSR-PyTorch, no mean": _OFFICIAL,  # the network subtracts the mean nevertheless
    "BasicSR": Style("conv_first", "body.{i}.conv1", "body.{i}.conv2", "conv_after_body", "upsample.{n}", "conv_last"),
    "Keras": _keras("conv_first"),
    "Keras, no mean": _keras("conv_first_no_mean"),
}


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The style that matches the names of the residual blocks and of the convolutions before and after them."""
    for name, style in STYLES.items():
        blocks = numbered(shapes, style.conv1)
        layers = [style.first, style.body.format(blocks=1 + max((i for (i,) in blocks), default=0))]
        layers += ["sub_mean"] if name == "EDSR-PyTorch" else []
        if blocks and all(f"{layer}.weight" in shapes for layer in layers):
            return name
    return None


def style_to_write(options: EDSR) -> str:
    """The authors' style; without a mean BasicSR's style, because its files do not contain the mean."""
    return "EDSR-PyTorch" if options.mean else "BasicSR"


def infer_options(shapes: dict[str, tuple[int, ...]], style_name: str, in_channels: int | None = None) -> EDSR:
    """Options of `edsr_generator` that give these tensors, from the first convolution and the upsampling.

    Raises:
        UserError: a necessary tensor is missing, or is not a convolution's kernel.
    """
    style = STYLES[style_name]
    blocks = 1 + max(i for (i,) in numbered(shapes, style.conv1))
    if blocks > len(shapes):
        raise UserError(f"it has tensors of block {blocks - 1}, but the tensors of earlier blocks are missing")
    filters, _ = kernel_shape(shapes, style.first)
    stages = 0
    while f"{style.up.format(n=2 * stages)}.weight" in shapes:
        stages += 1
    outputs, _ = kernel_shape(shapes, style.up.format(n=0))
    scale = math.isqrt(outputs // filters) if stages == 1 else 2**stages
    if scale not in SCALES:
        raise UserError(f"it upscales by {scale} in {stages} upsampling stages, and EDSR supports {SCALES}")
    return EDSR(scale=scale, filters=filters, blocks=blocks, mean=style_name != "Keras, no mean")


def describe_assumptions(options: EDSR, style_name: str) -> str:
    """A message about options that the tensors do not determine."""
    mean = "" if style_name == "EDSR-PyTorch" else ", and the mean colour of DIV2K is subtracted"
    scale = f"the residual scale is assumed to be {options.residual_scale:g}"
    return f"{scale}{mean}; change this with --residual_scale and --nomean"


def with_given_facts(
    options: EDSR, style_name: str, state: dict[str, np.ndarray], residual_scale: float | None, mean: bool
) -> tuple[EDSR, dict[str, np.ndarray]]:
    """Applies a user's options that the tensors do not determine.

    Another residual scale is multiplied into the blocks' last convolutions, with equal results.

    Raises:
        UserError: `mean` is False, but the tensors contain the mean.
    """
    style = STYLES[style_name]
    if not mean and style_name == "EDSR-PyTorch":
        raise UserError("it contains the mean colour in sub_mean and add_mean; --nomean is for files without it")
    if residual_scale is not None:
        factor = np.float32(residual_scale / options.residual_scale)
        layers = [style.conv2.format(i=i) for i in range(options.blocks)]
        state = state | {f"{n}.{kind}": factor * state[f"{n}.{kind}"] for n in layers for kind in ("weight", "bias")}
    return dataclasses.replace(options, mean=mean), state


def torch_tensors(options: EDSR, style_name: str) -> Tensors:
    """Every tensor of the network: `{name in PyTorch: (Keras variable's path, shape in PyTorch)}`."""
    style, filters = STYLES[style_name], options.filters
    result = mean_tensors() if style_name == "EDSR-PyTorch" else {}
    result |= conv(style.first, "conv_first" if options.mean else "conv_first_no_mean", filters, 3, 3)
    for i in range(options.blocks):
        for number, name in ((1, style.conv1), (2, style.conv2)):
            result |= conv(name.format(i=i), f"body_{i}_conv{number}", filters, filters, 3)
    result |= conv(style.body.format(blocks=options.blocks), "conv_after_body", filters, filters, 3)
    for n, r in _stages(options).items():
        result |= conv(style.up.format(n=n), f"upsample_{n}", r * r * filters, filters, 3)
    return result | conv(style.last, "conv_last", 3, filters, 3)


def shuffled_axes(options: EDSR) -> dict[str, tuple[int, int, int]]:
    """Axes that PyTorch shuffles in another order: `{variable's path: (axis in PyTorch, channels, factor)}`."""
    return {
        f"upsample_{n}/{kind}": (0, options.filters, r)
        for n, r in _stages(options).items()
        for kind in ("kernel", "bias")
    }


def _stages(options):
    """`{number of an upsampling convolution: upscaling factor}`."""
    return {0: 2, 2: 2} if options.scale == 4 else {0: options.scale}
