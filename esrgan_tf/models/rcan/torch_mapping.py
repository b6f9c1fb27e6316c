"""RCAN in PyTorch: what its tensors are called, and what their shapes tell."""

import math
from dataclasses import dataclass

from esrgan_tf.errors import UserError
from esrgan_tf.models.rcan.options import RCAN, STAGES
from esrgan_tf.models.rgb_mean import mean_tensors
from esrgan_tf.models.torch_tensors import Tensors, conv, kernel_shape, numbered


@dataclass(frozen=True)
class Style:
    """One way of naming the layers: `{g}` is a group and `{groups}` how many there are, `{b}` a block, `{blocks}`.

    `{n}` is an up-sampling convolution: 0, 2, 4. `mean` tells whether the network subtracts the mean colour.
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


def _authors(first, mean=True):
    block = "body.{g}.body.{b}.body"
    return Style(
        first, f"{block}.0", f"{block}.2", f"{block}.3.conv_du.0", f"{block}.3.conv_du.2", "body.{g}.body.{blocks}",
        "body.{groups}", "tail.0.{n}", "tail.1", mean,
    )  # fmt: skip


def _ours(first, mean=True):
    block = "body_{g}_{b}"
    return Style(
        first, f"{block}_conv1", f"{block}_conv2", f"{block}_squeeze", f"{block}_excite", "body_{g}_conv",
        "conv_after_body", "upsample_{n}", "conv_last", mean,
    )  # fmt: skip


_BASICSR = "body.{g}.residual_group.{b}"
STYLES = {
    "RCAN": _authors("head.0"),
    "RCAN, no mean": _authors("head.0", mean=False),
    "RCAN, pixel-unshuffled": _authors("head.1"),
    "RCAN, pixel-unshuffled, no mean": _authors("head.1", mean=False),
    "BasicSR": Style(
        "conv_first", f"{_BASICSR}.rcab.0", f"{_BASICSR}.rcab.2", f"{_BASICSR}.rcab.3.attention.1",
        f"{_BASICSR}.rcab.3.attention.3", "body.{g}.conv", "conv_after_body", "upsample.{n}", "conv_last",
    ),
    "Keras": _ours("conv_first"),
    "Keras, no mean": _ours("conv_first_no_mean", mean=False),
}  # fmt: skip


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The style whose attention is among the tensors' names, and whose first convolution and mean are."""
    for name, style in STYLES.items():
        authors = name.startswith("RCAN")
        attention = f"{style.squeeze.format(g=0, b=0)}.weight" in shapes
        if attention and f"{style.first}.weight" in shapes:
            if authors and style.mean != ("sub_mean.weight" in shapes):
                continue
            return name
    return None


def style_to_write(options: RCAN) -> str:
    """The authors' own, which spandrel reads too."""
    unshuffled = ", pixel-unshuffled" if options.unshuffle > 1 else ""
    return f"RCAN{unshuffled}{'' if options.mean else ', no mean'}"


def options(shapes: dict[str, tuple[int, ...]], style_name: str, in_channels: int | None = None) -> RCAN:
    """What `rcan_generator` takes to have these tensors.

    Args:
        in_channels: of the images, where that is known.

    Raises:
        UserError: tensors that are needed for that are missing, or do not make a scale.
    """
    style = STYLES[style_name]
    found = numbered(shapes, style.squeeze)
    groups, blocks = (1 + max(numbers) for numbers in zip(*found, strict=True))
    if groups * blocks > len(shapes):
        raise UserError("it has a group or block of a high number, but not all before it")
    filters, packed = kernel_shape(shapes, style.first)
    narrow, _ = kernel_shape(shapes, style.squeeze.format(g=0, b=0))
    channels, _ = kernel_shape(shapes, style.last)
    stages = 0
    while f"{style.up.format(n=2 * stages)}.weight" in shapes:
        stages += 1
    total = 2**stages
    if stages == 1:
        outputs, _ = kernel_shape(shapes, style.up.format(n=0))
        total = math.isqrt(outputs // filters)
    unshuffle = math.isqrt(packed // channels)
    if total not in STAGES or total % unshuffle or unshuffle**2 * channels != packed:
        raise UserError(
            f"it packs {channels} channels into {packed} and enlarges {total} times by {stages} up-sampling stages, "
            "which no RCAN does"
        )
    return RCAN(
        scale=total // unshuffle, filters=filters, groups=groups, blocks=blocks, reduction=filters // narrow,
        channels=channels, mean=style.mean, unshuffle=unshuffle,
    )  # fmt: skip


def tensors(options: RCAN, style_name: str) -> Tensors:
    """Every tensor of the network: `{its name: (the Keras variable's path or a constant, its shape in PyTorch)}`."""
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


def packed(options: RCAN) -> dict[str, tuple[int, int, int]]:
    """Where PyTorch counts a pixel's channels in another order: `{variable's path: (its axis there, channels, r)}`."""
    result = {
        f"upsample_{n}/{kind}": (0, options.filters, r) for n, r in _stages(options) for kind in ("kernel", "bias")
    }
    if options.unshuffle > 1:
        first = "conv_first" if options.mean else "conv_first_no_mean"
        result[f"{first}/kernel"] = (1, options.channels, options.unshuffle)
    return result


def _stages(options):
    """`(number of an up-sampling convolution, by how much it enlarges)`."""
    return [(2 * n, r) for n, r in enumerate(STAGES[options.scale * options.unshuffle])]
