"""Real-ESRGAN's SRVGGNetCompact in PyTorch: names of its tensors, and options from their shapes."""

import math
import re

from esrgan_tf.errors import UserError
from esrgan_tf.models.compact.options import Compact
from esrgan_tf.models.torch_tensors import Tensors, conv

STYLES = {"Real-ESRGAN": "body.{i}", "Keras": "body_{i}"}


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The style with numbered layers that match all tensors' names."""
    for name in STYLES:
        if all(_index(tensor, name) is not None for tensor in shapes):
            return name
    return None


def style_to_write(options: Compact) -> str:
    """The only style of names in PyTorch."""
    return "Real-ESRGAN"


def infer_options(shapes: dict[str, tuple[int, ...]], style_name: str, in_channels: int | None = None) -> Compact:
    """Options of `compact_generator` that give these tensors, from the first and the last convolution.

    Args:
        in_channels: not used, because the first convolution determines it.

    Raises:
        UserError: a convolution is missing, or the shapes fit no scale.
    """
    layer = STYLES[style_name]
    last = max(_index(name, style_name) for name in shapes)
    if last > len(shapes):
        raise UserError(f"it has tensors of layer {last}, but the tensors of earlier layers are missing")
    ends = [f"{layer.format(i=i)}.weight" for i in (0, last)]
    for name in ends:
        if name not in shapes:
            raise UserError(f"there is no {name}")
    first_shape, last_shape = (shapes[name] for name in ends)
    for name, shape in zip(ends, (first_shape, last_shape), strict=True):
        if len(shape) != 4 or 0 in shape:
            raise UserError(f"{name} has the shape {shape}; the first and the last layer must be convolutions")
    if last < 2 or last % 2:
        raise UserError(f"the last layer has the number {last}; it must be even, and at least 2")
    filters, channels = first_shape[:2]
    scale = math.isqrt(last_shape[0] // channels)
    if channels * scale**2 != last_shape[0] or scale < 1:
        raise UserError(f"{ends[1]} has {last_shape[0]} outputs; expected {channels} channels times a squared scale")
    return Compact(scale=scale, filters=filters, blocks=last // 2 - 1, channels=channels)


def torch_tensors(options: Compact, style_name: str) -> Tensors:
    """Every tensor of the network: `{name in PyTorch: (Keras variable's path, shape in PyTorch)}`."""
    filters, channels = options.filters, options.channels
    last = 2 * (1 + options.blocks)
    result: Tensors = {}
    for i in range(1 + last):
        name, path = STYLES[style_name].format(i=i), f"body_{i}"
        if i % 2:
            result[f"{name}.weight"] = (f"{path}/alpha", (filters,))
            continue
        outputs = channels * options.scale**2 if i == last else filters
        result |= conv(name, path, outputs, channels if i == 0 else filters, 3)
    return result


def shuffled_axes(options: Compact) -> dict[str, tuple[int, int, int]]:
    """Axes that PyTorch shuffles in another order: `{variable's path: (axis in PyTorch, channels, factor)}`."""
    last = f"body_{2 * (1 + options.blocks)}"
    return {f"{last}/{kind}": (0, options.channels, options.scale) for kind in ("kernel", "bias")}


def _index(tensor, style_name):
    layer = re.escape(STYLES[style_name]).replace(r"\{i\}", r"(\d{1,6})")
    match = re.fullmatch(layer + r"\.(?:weight|bias)", tensor)
    return None if match is None else int(match[1])
