"""SRResNet and BasicSR's MSRResNet in PyTorch: names of their tensors, and options from their shapes."""

import math
from dataclasses import dataclass

from esrgan_tf.errors import UserError
from esrgan_tf.models.srresnet.options import SCALES, SCALES_WITHOUT_BATCH_NORM, SRResNet
from esrgan_tf.models.torch_tensors import Tensors, batch_norm, conv, kernel_shape, numbered


@dataclass(frozen=True)
class Style:
    """A style of layer names. `{i}` is a block, `{n}` counts upsampling stages from 1, `{m}` from 0.

    MSRResNet has `hr`, but no normalisation and no PReLU.
    """

    first: str
    conv1: str
    conv2: str
    up: str
    last: str
    hr: str | None = None
    first_prelu: str | None = None
    bn1: str | None = None
    prelu: str | None = None
    bn2: str | None = None
    body: str | None = None
    bn_body: str | None = None
    up_prelu: str | None = None


def _srgan_pytorch(first, body, last):
    """The style of both generations of github.com/Lornatang/SRGAN-PyTorch, which number the layers per part."""
    block, up = "trunk.{i}.rcb", "upsampling.{m}.upsample_block"
    return Style(
        f"{first}.0", f"{block}.0", f"{block}.3", f"{up}.0", last, first_prelu=f"{first}.1", bn1=f"{block}.1",
        prelu=f"{block}.2", bn2=f"{block}.4", body=f"{body}.0", bn_body=f"{body}.1", up_prelu=f"{up}.2",
    )  # fmt: skip


STYLES = {
    "BasicSR": Style("conv_first", "body.{i}.conv1", "body.{i}.conv2", "upconv{n}", "conv_last", "conv_hr"),
    "SRGAN-PyTorch": _srgan_pytorch("conv1", "conv2", "conv3"),
    "SRGAN-PyTorch of 2021": _srgan_pytorch("conv_block1", "conv_block2", "conv_block3"),
    "Keras, no batch normalisation": Style(
        "conv_first", "body_{i}_conv1", "body_{i}_conv2", "upconv{n}", "conv_last", "conv_hr"
    ),
    "Keras": Style(
        "conv_first", "body_{i}_conv1", "body_{i}_conv2", "upconv{n}", "conv_last", first_prelu="conv_first_prelu",
        bn1="body_{i}_bn1", prelu="body_{i}_prelu", bn2="body_{i}_bn2", body="conv_body", bn_body="bn_body",
        up_prelu="upconv{n}_prelu",
    ),
}  # fmt: skip


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The style that matches the names of the residual blocks and of the first and last layers."""
    for name, style in STYLES.items():
        end = style.hr or style.bn_body
        if numbered(shapes, style.conv1) and f"{style.first}.weight" in shapes and f"{end}.weight" in shapes:
            return name
    return None


def style_to_write(options: SRResNet) -> str:
    """For both networks, the only style with downloadable weights."""
    return "SRGAN-PyTorch" if options.batch_norm else "BasicSR"


def infer_options(shapes: dict[str, tuple[int, ...]], style_name: str, in_channels: int | None = None) -> SRResNet:
    """Options of `srresnet_generator` that give these tensors, from the first and last layers and the upsampling.

    Raises:
        UserError: a necessary tensor is missing, or is not a convolution's kernel.
    """
    style = STYLES[style_name]
    blocks = 1 + max(i for (i,) in numbered(shapes, style.conv1))
    if blocks > len(shapes):
        raise UserError(f"it has tensors of block {blocks - 1}, but the tensors of earlier blocks are missing")
    filters, channels = kernel_shape(shapes, style.first)
    stages = 0
    while f"{style.up.format(n=stages + 1, m=stages)}.weight" in shapes:
        stages += 1
    if style.hr is None:
        scale, scales = 2**stages, SCALES
    else:
        outputs = kernel_shape(shapes, style.up.format(n=1, m=0))[0] if stages else 0
        scale, scales = (math.isqrt(outputs // filters) if stages == 1 else 2**stages), SCALES_WITHOUT_BATCH_NORM
    if scale not in scales:
        raise UserError(f"it upscales by {scale} in {stages} upsampling stages, and the network supports {scales}")
    return SRResNet(scale=scale, filters=filters, blocks=blocks, batch_norm=style.hr is None, channels=channels)


def torch_tensors(options: SRResNet, style_name: str) -> Tensors:
    """Every tensor of the network: `{name in PyTorch: (Keras variable's path, shape in PyTorch)}`."""
    style, filters, channels = STYLES[style_name], options.filters, options.channels
    normalised = options.batch_norm
    size = 9 if normalised else 3
    result = conv(style.first, "conv_first", filters, channels, size)
    if normalised:
        result |= _slope(style.first_prelu, "conv_first_prelu")
    for i in range(options.blocks):
        for number, name in ((1, style.conv1), (2, style.conv2)):
            result |= conv(name.format(i=i), f"body_{i}_conv{number}", filters, filters, 3, bias=not normalised)
        if normalised:
            result |= batch_norm(style.bn1.format(i=i), f"body_{i}_bn1", filters)
            result |= _slope(style.prelu.format(i=i), f"body_{i}_prelu")
            result |= batch_norm(style.bn2.format(i=i), f"body_{i}_bn2", filters)
    if normalised:
        result |= conv(style.body, "conv_body", filters, filters, 3, bias=False)
        result |= batch_norm(style.bn_body, "bn_body", filters)
    for n, r in enumerate(_stages(options), start=1):
        result |= conv(style.up.format(n=n, m=n - 1), f"upconv{n}", r * r * filters, filters, 3)
        if normalised:
            result |= _slope(style.up_prelu.format(n=n, m=n - 1), f"upconv{n}_prelu")
    if not normalised:
        result |= conv(style.hr, "conv_hr", filters, filters, 3)
    return result | conv(style.last, "conv_last", channels, filters, size)


def shuffled_axes(options: SRResNet) -> dict[str, tuple[int, int, int]]:
    """Axes that PyTorch shuffles in another order: `{variable's path: (axis in PyTorch, channels, factor)}`."""
    return {
        f"upconv{n}/{kind}": (0, options.filters, r)
        for n, r in enumerate(_stages(options), start=1)
        for kind in ("kernel", "bias")
    }


def _stages(options):
    """Upscaling factor of each upsampling stage."""
    scale = options.scale
    return (scale,) if scale == 3 else (2,) * int(math.log2(scale))


def _slope(name, path):
    return {f"{name}.weight": (f"{path}/alpha", (1,))}
