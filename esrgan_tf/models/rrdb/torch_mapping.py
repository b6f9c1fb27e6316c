"""RRDBNet in PyTorch: names of its tensors, and options from their shapes."""

import math
import re
from dataclasses import dataclass

from esrgan_tf.errors import UserError, listed
from esrgan_tf.models.rrdb.options import RRDB, SCALES, UNSHUFFLES
from esrgan_tf.models.torch_tensors import Tensors, conv, kernel_shape, numbered

_MAX_STAGES = int(math.log2(max(SCALES) * max(UNSHUFFLES)))


@dataclass(frozen=True)
class Style:
    """A style of layer names. `{i}` is a block, `{n}` an upsampling stage, `{j}` and `{k}` count from 1."""

    first: str
    dense: str
    conv1x1: str
    body: str
    up: str
    hr: str
    last: str


STYLES = {
    "BasicSR": Style(
        "conv_first", "body.{i}.rdb{j}.conv{k}", "body.{i}.rdb{j}.conv1x1", "conv_body", "conv_up{n}", "conv_hr",
        "conv_last",
    ),
    "the ESRGAN repository": Style(
        "conv_first", "RRDB_trunk.{i}.RDB{j}.conv{k}", "RRDB_trunk.{i}.RDB{j}.conv1x1", "trunk_conv", "upconv{n}",
        "HRconv", "conv_last",
    ),
    "the oldest files": Style(
        "model.0", "model.1.sub.{i}.RDB{j}.conv{k}.0", "model.1.sub.{i}.RDB{j}.conv1x1", "model.1.sub.{blocks}",
        "model.{up}", "model.{hr}", "model.{last}",
    ),
    "Keras": Style(
        "conv_first", "body_{i}_rdb{j}_conv{k}", "body_{i}_rdb{j}_conv1x1", "conv_body", "conv_up{n}", "conv_hr",
        "conv_last",
    ),
}  # fmt: skip


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The style that matches the names of the dense blocks."""
    for name, style in STYLES.items():
        if numbered(shapes, style.dense):
            return name
    return None


def style_to_write(options: RRDB) -> str:
    """BasicSR's style, which most tools read, for its networks; else the oldest style, which fits all networks."""
    return "the oldest files" if options.plus or _stages(options) != 2 else "BasicSR"


def infer_options(shapes: dict[str, tuple[int, ...]], style_name: str, in_channels: int | None = None) -> RRDB:
    """Options of `rrdb_generator` that give these tensors, from the first block and the first and last convolution.

    Args:
        in_channels: number of image channels, if known.

    Raises:
        UserError: a necessary tensor is missing, or is not a convolution's kernel.
    """
    style = STYLES[style_name]
    blocks = 1 + max(i for i, *_ in numbered(shapes, style.dense))
    stages = _count_stages(shapes, style)
    if stages > _MAX_STAGES:
        raise UserError(f"it has an upsampling stage number {stages}, and scale 16 takes 4")
    if blocks > len(shapes):
        raise UserError(f"it has tensors of block {blocks - 1}, but the tensors of earlier blocks are missing")
    layer = _layer_names(style, blocks, stages)
    filters, inputs = kernel_shape(shapes, layer["conv_first"])
    growth, _ = kernel_shape(shapes, layer["body_0_rdb1_conv1"])
    out_channels, _ = kernel_shape(shapes, layer["conv_last"])
    # Other programs also recognise a pixel-unshuffled input by 4 or 16 times as many input as output channels.
    image_channels = in_channels or out_channels
    unshuffle = next((r for r in UNSHUFFLES[1:] if inputs == r**2 * image_channels and r <= 2**stages), 1)
    if 2**stages // unshuffle not in SCALES:
        raise UserError(f"it upscales by {2**stages // unshuffle}, and RRDBNet supports {listed(SCALES)}")
    return RRDB(
        scale=2**stages // unshuffle,
        filters=filters,
        blocks=blocks,
        growth=growth,
        in_channels=inputs // unshuffle**2,
        out_channels=out_channels,
        unshuffle=unshuffle,
        plus=bool(numbered(shapes, style.conv1x1)),
    )


def torch_tensors(options: RRDB, style_name: str) -> Tensors:
    """Every tensor of the network: `{name in PyTorch: (Keras variable's path, shape in PyTorch)}`."""
    filters, growth = options.filters, options.growth
    inputs = options.in_channels * options.size_multiple**2
    names = _layer_names(STYLES[style_name], options.blocks, _stages(options))
    result: Tensors = {}
    for layer, name in names.items():
        dense = re.fullmatch(r"body_\d+_rdb\d_conv(\d)(x1)?", layer)
        if dense and dense[2]:
            if options.plus:
                result[f"{name}.weight"] = (f"{layer}/kernel", (growth, filters, 1, 1))
            continue
        if dense:
            k = int(dense[1])
            shape = (growth if k < 5 else filters, filters + (k - 1) * growth)
        else:
            outputs = options.out_channels if layer == "conv_last" else filters
            shape = (outputs, inputs if layer == "conv_first" else filters)
        result |= conv(name, layer, *shape, 3)
    return result


def shuffled_axes(options: RRDB) -> dict[str, tuple[int, int, int]]:
    """Axes that PyTorch shuffles in another order: `{variable's path: (axis in PyTorch, channels, factor)}`."""
    return {"conv_first/kernel": (1, options.in_channels, options.size_multiple)}


def _stages(options):
    return int(math.log2(options.scale * options.size_multiple))


def _layer_names(style, blocks, stages):
    """`{Keras layer: name in the style}`, in the network's order."""
    names = {"conv_first": style.first}
    for i in range(blocks):
        for j in (1, 2, 3):
            names[f"body_{i}_rdb{j}_conv1x1"] = style.conv1x1.format(i=i, j=j)
            names |= {f"body_{i}_rdb{j}_conv{k}": style.dense.format(i=i, j=j, k=k) for k in (1, 2, 3, 4, 5)}
    names["conv_body"] = style.body.format(blocks=blocks)
    # The oldest files number a flat list that includes each stage's upsampling, convolution and activation.
    names |= {f"conv_up{n}": style.up.format(n=n, up=3 * n) for n in range(1, 1 + stages)}
    names["conv_hr"] = style.hr.format(hr=3 * stages + 2)
    names["conv_last"] = style.last.format(last=3 * stages + 4)
    return names


def _count_stages(shapes, style):
    if "{n}" in style.up:
        return max((n for (n,) in numbered(shapes, style.up)), default=0)
    last = max((n for (n,) in numbered(shapes, style.last)), default=0)
    return max(0, math.ceil((last - 4) / 3))
