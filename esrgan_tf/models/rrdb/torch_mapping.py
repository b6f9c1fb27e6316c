"""RRDBNet in PyTorch: what its tensors are called, and what their shapes tell."""

import math
import re
from dataclasses import dataclass

from esrgan_tf.errors import UserError, listed
from esrgan_tf.models.rrdb.options import RRDB, SCALES, UNSHUFFLES
from esrgan_tf.models.torch_tensors import Tensors, conv, kernel_shape, numbered

_MAX_STAGES = int(math.log2(max(SCALES) * max(UNSHUFFLES)))


@dataclass(frozen=True)
class Style:
    """One way of naming the layers. `{i}` is a block, `{j}` and `{k}` count from 1, `{n}` is an up-sampling stage."""

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
    """The style whose dense blocks are among the tensors' names."""
    for name, style in STYLES.items():
        if numbered(shapes, style.dense):
            return name
    return None


def style_to_write(options: RRDB) -> str:
    """BasicSR's names wherever BasicSR has the network, as most tools know them; the oldest, which fit all, else."""
    return "the oldest files" if options.plus or _stages(options) != 2 else "BasicSR"


def options(shapes: dict[str, tuple[int, ...]], style_name: str, in_channels: int | None = None) -> RRDB:
    """What `rrdb_generator` takes to have these tensors, as the first block and the ends tell.

    Args:
        in_channels: of the images, where that is known.

    Raises:
        UserError: one that is needed for that is missing, or has not a convolution's shape.
    """
    style = STYLES[style_name]
    blocks = 1 + max(i for i, *_ in numbered(shapes, style.dense))
    stages = _count_stages(shapes, style)
    if stages > _MAX_STAGES:
        raise UserError(f"it has an up-sampling stage number {stages}, and scale 16 takes 4")
    if blocks > len(shapes):
        raise UserError(f"it has tensors of block {blocks - 1} but not of all before it")
    layer = _layer_names(style, blocks, stages)
    filters, inputs = kernel_shape(shapes, layer["conv_first"])
    growth, _ = kernel_shape(shapes, layer["body_0_rdb1_conv1"])
    out_channels, _ = kernel_shape(shapes, layer["conv_last"])
    # Four or sixteen times as many channels in as out is how readers everywhere tell a pixel-unshuffled input.
    of_images = in_channels or out_channels
    unshuffle = next((r for r in UNSHUFFLES[1:] if inputs == r**2 * of_images and r <= 2**stages), 1)
    if 2**stages // unshuffle not in SCALES:
        raise UserError(f"it enlarges {2**stages // unshuffle} times, and RRDBNet is built for {listed(SCALES)}")
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


def tensors(options: RRDB, style_name: str) -> Tensors:
    """Every tensor of the network: `{its name: (the Keras variable's path, its shape in PyTorch)}`."""
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


def packed(options: RRDB) -> dict[str, tuple[int, int, int]]:
    """Where PyTorch counts a pixel's channels in another order: `{variable's path: (its axis there, channels, r)}`."""
    return {"conv_first/kernel": (1, options.in_channels, options.size_multiple)}


def _stages(options):
    return int(math.log2(options.scale * options.size_multiple))


def _layer_names(style, blocks, stages):
    """`{our layer: the style's}`, in the order of the network."""
    names = {"conv_first": style.first}
    for i in range(blocks):
        for j in (1, 2, 3):
            names[f"body_{i}_rdb{j}_conv1x1"] = style.conv1x1.format(i=i, j=j)
            names |= {f"body_{i}_rdb{j}_conv{k}": style.dense.format(i=i, j=j, k=k) for k in (1, 2, 3, 4, 5)}
    names["conv_body"] = style.body.format(blocks=blocks)
    # The oldest files number a flat list: up-sampling, convolution and activation of each stage count.
    names |= {f"conv_up{n}": style.up.format(n=n, up=3 * n) for n in range(1, 1 + stages)}
    names["conv_hr"] = style.hr.format(hr=3 * stages + 2)
    names["conv_last"] = style.last.format(last=3 * stages + 4)
    return names


def _count_stages(shapes, style):
    if "{n}" in style.up:
        return max((n for (n,) in numbered(shapes, style.up)), default=0)
    last = max((n for (n,) in numbered(shapes, style.last)), default=0)
    return max(0, math.ceil((last - 4) / 3))
