"""RCAN in PyTorch: names of its tensors, and options from their shapes."""

import math
from dataclasses import dataclass

from esrgan_tf.errors import UserError
from esrgan_tf.models.rcan.options import RCAN, STAGES
from esrgan_tf.models.rgb_mean import mean_tensors
from esrgan_tf.models.torch_tensors import Tensors, conv, kernel_shape, numbered


@dataclass(frozen=True)
class Style:
    """A style of layer names. `{g}` is a group, `{b}` a block; `{groups}` and `{blocks}` are counts.

    `{n}` is the even number of an upsampling convolution, from 0 to 4. `mean` is whether the network subtracts the mean
    colour.
    """

    first: str
    conv1: str
    conv2: str
    squeeze: str
    excite: str
    group: str
    body: str
    up: str
    last: str
    mean: bool = True


def _official(first, mean=True):
    block = "body.{g}.body.{b}.body"
    return Style(
        first, f"{block}.0", f"{block}.2", f"{block}.3.conv_du.0", f"{block}.3.conv_du.2", "body.{g}.body.{blocks}",
        "body.{groups}", "tail.0.{n}", "tail.1", mean,
    )  # fmt: skip


def _keras(first, mean=True):
    block = "body_{g}_{b}"
    return Style(
        first, f"{block}_conv1", f"{block}_conv2", f"{block}_squeeze", f"{block}_excite", "body_{g}_conv",
        "conv_after_body", "upsample_{n}", "conv_last", mean,
    )  # fmt: skip


_BASICSR = "body.{g}.residual_group.{b}"
STYLES = {
    "RCAN": _official("head.0"),
    "RCAN, no mean": _official("head.0", mean=False),
    "RCAN, pixel-unshuffled": _official("head.1"),
    "RCAN, pixel-unshuffled, no mean": _official("head.1", mean=False),
    "BasicSR": Style(
        "conv_first", f"{_BASICSR}.rcab.0", f"{_BASICSR}.rcab.2", f"{_BASICSR}.rcab.3.attention.1",
        f"{_BASICSR}.rcab.3.attention.3", "body.{g}.conv", "conv_after_body", "upsample.{n}", "conv_last",
    ),
    "Keras": _keras("conv_first"),
    "Keras, no mean": _keras("conv_first_no_mean", mean=False),
}  # fmt: skip


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The style that matches the names of the attention, the first convolution and the mean."""
    for name, style in STYLES.items():
        authors = name.startswith("RCAN")
        attention = f"{style.squeeze.format(g=0, b=0)}.weight" in shapes
        if attention and f"{style.first}.weight" in shapes:
            if authors and style.mean != ("sub_mean.weight" in shapes):
                continue
            return name
    return None


def style_to_write(options: RCAN) -> str:
    """The authors' style, which spandrel reads too."""
    unshuffled = ", pixel-unshuffled" if options.unshuffle > 1 else ""
    return f"RCAN{unshuffled}{'' if options.mean else ', no mean'}"


def infer_options(shapes: dict[str, tuple[int, ...]], style_name: str, in_channels: int | None = None) -> RCAN:
    """Options of `rcan_generator` that give these tensors.

    Args:
        in_channels: number of image channels, if known.

    Raises:
        UserError: necessary tensors are missing, or their shapes fit no scale.
    """
    style = STYLES[style_name]
    found = numbered(shapes, style.squeeze)
    groups, blocks = (1 + max(numbers) for numbers in zip(*found, strict=True))
    if groups * blocks > len(shapes):
        raise UserError("it has tensors of a group or block, but the tensors of earlier groups or blocks are missing")
    filters, unshuffled = kernel_shape(shapes, style.first)
    narrow, _ = kernel_shape(shapes, style.squeeze.format(g=0, b=0))
    channels, _ = kernel_shape(shapes, style.last)
    stages = 0
    while f"{style.up.format(n=2 * stages)}.weight" in shapes:
        stages += 1
    total = 2**stages
    if stages == 1:
        outputs, _ = kernel_shape(shapes, style.up.format(n=0))
        total = math.isqrt(outputs // filters)
    unshuffle = math.isqrt(unshuffled // channels)
    if total not in STAGES or total % unshuffle or unshuffle**2 * channels != unshuffled:
        raise UserError(
            f"it unshuffles {channels} channels into {unshuffled} and upscales by {total} in {stages} "
            "upsampling stages, which RCAN does not support"
        )
    return RCAN(
        scale=total // unshuffle, filters=filters, groups=groups, blocks=blocks, reduction=filters // narrow,
        channels=channels, mean=style.mean, unshuffle=unshuffle,
    )  # fmt: skip


def torch_tensors(options: RCAN, style_name: str) -> Tensors:
    """Every tensor of the network: `{name in PyTorch: (Keras variable's path or constant, shape in PyTorch)}`."""
    style, filters = STYLES[style_name], options.filters
    result = mean_tensors() if style.mean and style_name.startswith("RCAN") else {}
    first = "conv_first" if options.mean else "conv_first_no_mean"
    result |= conv(style.first, first, filters, options.channels * options.unshuffle**2, 3)
    narrow = filters // options.reduction
    for g in range(options.groups):
        for b in range(options.blocks):
            path = f"body_{g}_{b}"
            for part, name, outputs, inputs, size in (
                ("conv1", style.conv1, filters, filters, 3),
                ("conv2", style.conv2, filters, filters, 3),
                ("squeeze", style.squeeze, narrow, filters, 1),
                ("excite", style.excite, filters, narrow, 1),
            ):
                result |= conv(name.format(g=g, b=b), f"{path}_{part}", outputs, inputs, size)
        result |= conv(style.group.format(g=g, blocks=options.blocks), f"body_{g}_conv", filters, filters, 3)
    result |= conv(style.body.format(groups=options.groups), "conv_after_body", filters, filters, 3)
    for n, r in _stages(options):
        result |= conv(style.up.format(n=n), f"upsample_{n}", r * r * filters, filters, 3)
    return result | conv(style.last, "conv_last", options.channels, filters, 3)


def shuffled_axes(options: RCAN) -> dict[str, tuple[int, int, int]]:
    """Axes that PyTorch shuffles in another order: `{variable's path: (axis in PyTorch, channels, factor)}`."""
    result = {
        f"upsample_{n}/{kind}": (0, options.filters, r) for n, r in _stages(options) for kind in ("kernel", "bias")
    }
    if options.unshuffle > 1:
        first = "conv_first" if options.mean else "conv_first_no_mean"
        result[f"{first}/kernel"] = (1, options.channels, options.unshuffle)
    return result


def _stages(options):
    """`(number, upscaling factor)` of each upsampling convolution."""
    return [(2 * n, r) for n, r in enumerate(STAGES[options.scale * options.unshuffle])]
