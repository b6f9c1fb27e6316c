"""EDSR in PyTorch: what its tensors are called, and what their shapes tell."""

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
    """One way of naming the layers. `{i}` is a block, `{blocks}` how many there are, `{n}` an up-sampling convolution.

    PyTorch numbers up-sampling as a list, whose odd layers are pixel shuffles: `{n}` is 0, and at x4 also 2.
    """

    first: str
    conv1: str
    conv2: str
    body: str
    up: str
    last: str


def _ours(first):
    return Style(first, "body_{i}_conv1", "body_{i}_conv2", "conv_after_body", "upsample_{n}", "conv_last")


_OFFICIAL = Style("head.0", "body.{i}.body.0", "body.{i}.body.2", "body.{blocks}", "tail.0.{n}", "tail.1")
STYLES = {
    "EDSR-PyTorch": _OFFICIAL,
    "EDSR-PyTorch, no mean": _OFFICIAL,  # the network has it all the same
    "BasicSR": Style("conv_first", "body.{i}.conv1", "body.{i}.conv2", "conv_after_body", "upsample.{n}", "conv_last"),
    "Keras": _ours("conv_first"),
    "Keras, no mean": _ours("conv_first_no_mean"),
}


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The style whose residual blocks are among the tensors' names, and the convolutions before and behind them."""
    for name, style in STYLES.items():
        blocks = numbered(shapes, style.conv1)
        layers = [style.first, style.body.format(blocks=1 + max((i for (i,) in blocks), default=0))]
        layers += ["sub_mean"] if name == "EDSR-PyTorch" else []
        if blocks and all(f"{layer}.weight" in shapes for layer in layers):
            return name
    return None


def style_to_write(options: EDSR) -> str:
    """The authors' own; BasicSR's where there is no mean, as those files say nothing of it."""
    return "EDSR-PyTorch" if options.mean else "BasicSR"


def options(shapes: dict[str, tuple[int, ...]], style_name: str, in_channels: int | None = None) -> EDSR:
    """What `edsr_generator` takes to have these tensors, as the first convolution and the up-sampling tell.

    Raises:
        UserError: one that is needed for that is missing, or has not a convolution's shape.
    """
    style = STYLES[style_name]
    blocks = 1 + max(i for (i,) in numbered(shapes, style.conv1))
    if blocks > len(shapes):
        raise UserError(f"it has tensors of block {blocks - 1} but not of all before it")
    filters, _ = kernel_shape(shapes, style.first)
    stages = 0
    while f"{style.up.format(n=2 * stages)}.weight" in shapes:
        stages += 1
    outputs, _ = kernel_shape(shapes, style.up.format(n=0))
    scale = math.isqrt(outputs // filters) if stages == 1 else 2**stages
    if scale not in SCALES:
        raise UserError(f"it enlarges {scale} times by {stages} up-sampling stages, and it is built for {SCALES}")
    return EDSR(scale=scale, filters=filters, blocks=blocks, mean=style_name != "Keras, no mean")


def describe_assumptions(options: EDSR, style_name: str) -> str:
    """What the tensors do not tell, as a message says it."""
    mean = "" if style_name == "EDSR-PyTorch" else ", and the mean colour of DIV2K to be subtracted"
    scale = f"the residual scale is taken to be {options.residual_scale:g}"
    return f"{scale}{mean}; --residual_scale and --nomean say otherwise"


def with_given_facts(
    options: EDSR, style_name: str, state: dict[str, np.ndarray], residual_scale: float | None, mean: bool
) -> tuple[EDSR, dict[str, np.ndarray]]:
    """The network and its tensors as a user knows them, who knows more than the tensors tell.

    Another residual scale goes into the convolutions that it multiplies, which is the same network.

    Raises:
        UserError: the tensors tell that there is a mean.
    """
    style = STYLES[style_name]
    if not mean and style_name == "EDSR-PyTorch":
        raise UserError("it holds the mean colour in sub_mean and add_mean; --nomean is for files that hold none")
    if residual_scale is not None:
        factor = np.float32(residual_scale / options.residual_scale)
        layers = [style.conv2.format(i=i) for i in range(options.blocks)]
        state = state | {f"{n}.{kind}": factor * state[f"{n}.{kind}"] for n in layers for kind in ("weight", "bias")}
    return dataclasses.replace(options, mean=mean), state


def tensors(options: EDSR, style_name: str) -> Tensors:
    """Every tensor of the network: `{its name: (the Keras variable's path, its shape in PyTorch)}`."""
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


def packed(options: EDSR) -> dict[str, tuple[int, int, int]]:
    """Where PyTorch counts a pixel's channels in another order: `{variable's path: (its axis there, channels, r)}`."""
    return {
        f"upsample_{n}/{kind}": (0, options.filters, r)
        for n, r in _stages(options).items()
        for kind in ("kernel", "bias")
    }


def _stages(options):
    """`{number of an up-sampling stage: by how much it enlarges}`."""
    return {0: 2, 2: 2} if options.scale == 4 else {0: options.scale}
