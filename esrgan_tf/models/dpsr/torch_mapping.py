"""SRResNet+ in PyTorch (KAIR's `network_dpsr.py`): names of its tensors, and options from their shapes."""

from esrgan_tf.errors import UserError
from esrgan_tf.models.dpsr.options import DPSR, STAGES
from esrgan_tf.models.torch_tensors import Tensors, conv, kernel_shape, numbered

# The first convolution of block i, which identifies a style.
STYLES = {"KAIR": "model.1.sub.{i}.res.0", "Keras": "body_{i}_conv1"}


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """KAIR's style, or Keras' style with a first convolution that takes 4 channels."""
    if numbered(shapes, STYLES["KAIR"]):
        return "KAIR"
    first = shapes.get("conv_first.weight", ())
    is_keras = (
        numbered(shapes, STYLES["Keras"]) and len(first) == 4 and first[1] == 4 and "conv_last.bias" not in shapes
    )
    return "Keras" if is_keras else None


def style_to_write(options: DPSR) -> str:
    """The only style of names in PyTorch."""
    return "KAIR"


def infer_options(shapes: dict[str, tuple[int, ...]], style_name: str, in_channels: int | None = None) -> DPSR:
    """Options of `dpsr_generator` that give these tensors.

    Args:
        in_channels: not used, because the network always takes 4 channels.

    Raises:
        UserError: tensors are missing, or their shapes fit no scale.
    """
    blocks = 1 + max(i for (i,) in numbered(shapes, STYLES[style_name]))
    if blocks > len(shapes):
        raise UserError(f"it has tensors of block {blocks - 1}, but the tensors of earlier blocks are missing")
    filters, _ = kernel_shape(shapes, "model.0" if style_name == "KAIR" else "conv_first")
    outputs, _ = kernel_shape(shapes, "model.2" if style_name == "KAIR" else "upconv1")
    twice = ("model.10" if style_name == "KAIR" else "upconv2") + ".weight" in shapes
    scale = 4 if twice else 3 if outputs == 9 * filters else 2
    return DPSR(scale=scale, filters=filters, blocks=blocks)


def torch_tensors(options: DPSR, style_name: str) -> Tensors:
    """Every tensor of the network: `{name in PyTorch: (Keras variable's path, shape in PyTorch)}`."""
    filters, stages = options.filters, STAGES[options.scale]
    paths = ["conv_first"]
    names = ["model.0"]
    for i in range(options.blocks):
        paths += [f"body_{i}_conv1", f"body_{i}_conv2"]
        names += [f"model.1.sub.{i}.res.0", f"model.1.sub.{i}.res.2"]
    paths += ["conv_body", *(f"upconv{n}" for n in range(1, 1 + len(stages))), "conv_hr", "conv_last"]
    tail = 2 + 3 * len(stages)  # KAIR's numbers include pixel shuffles and activations
    names += [f"model.1.sub.{options.blocks}", *(f"model.{n}" for n in range(2, tail, 3))]
    names += [f"model.{tail}", f"model.{tail + 2}"]
    outputs = {f"upconv{n}": r * r * filters for n, r in enumerate(stages, start=1)}
    result: Tensors = {}
    for path, name in zip(paths, names if style_name == "KAIR" else paths, strict=True):
        last = path == "conv_last"
        inputs = 4 if path == "conv_first" else filters
        result |= conv(name, path, 3 if last else outputs.get(path, filters), inputs, 3, bias=not last)
    return result


def shuffled_axes(options: DPSR) -> dict[str, tuple[int, int, int]]:
    """Axes that PyTorch shuffles in another order: `{variable's path: (axis in PyTorch, channels, factor)}`."""
    return {
        f"upconv{n}/{kind}": (0, options.filters, r)
        for n, r in enumerate(STAGES[options.scale], start=1)
        for kind in ("kernel", "bias")
    }
