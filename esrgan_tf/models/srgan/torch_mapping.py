"""SRGAN's discriminator in PyTorch, with the layer numbers of github.com/Lornatang/SRGAN-PyTorch."""

from collections.abc import Iterator

from esrgan_tf.models.srgan.options import SRGAN
from esrgan_tf.models.torch_tensors import Tensors, batch_norm, conv, dense, kernel_shape, side_of


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The style of the tensors' names; None if no style fits."""
    for style, first, last in (
        ("SRGAN-PyTorch", "features.0", "classifier.2"),
        ("Keras", "conv3_1", "linear2"),
    ):
        shape = shapes.get(f"{first}.weight", ())
        if len(shape) == 4 and shape[2:] == (3, 3) and f"{last}.weight" in shapes:
            return style
    return None


def style_to_write(options: SRGAN) -> str:
    """The only style of names in PyTorch."""
    return "SRGAN-PyTorch"


def infer_options(shapes: dict[str, tuple[int, ...]], style: str, in_channels: int | None = None) -> SRGAN:
    """Options of `srgan_discriminator` that give these tensors, from the first and the dense layer.

    Raises:
        UserError: a layer is missing, or the shapes fit no image size.
    """
    first, linear = ("features.0", "classifier.0") if style == "SRGAN-PyTorch" else ("conv0_0", "linear1")
    filters, _ = kernel_shape(shapes, first)
    return SRGAN(image_size=16 * side_of(shapes, linear, 8 * filters), filters=filters)


def torch_tensors(options: SRGAN, style: str) -> Tensors:
    """Every tensor of the network: `{name in PyTorch: (Keras variable's path, shape in PyTorch)}`."""
    filters, side = options.filters, options.image_size // 16
    torch = style == "SRGAN-PyTorch"
    result: Tensors = {}
    inputs = 3
    for number, (stage, outputs) in zip((0, 2, 5, 8, 11, 14, 17, 20), _layers(filters), strict=True):
        name = f"features.{number}" if torch else f"conv{stage}"
        result |= conv(name, f"conv{stage}", outputs, inputs, 3, bias=number == 0)
        if number:
            name = f"features.{number + 1}" if torch else f"bn{stage}"
            result |= batch_norm(name, f"bn{stage}", outputs)
        inputs = outputs
    for number, outputs, inputs in ((1, 1024, 8 * filters * side**2), (2, 1, 1024)):
        name = f"classifier.{2 * (number - 1)}" if torch else f"linear{number}"
        result |= dense(name, f"linear{number}", outputs, inputs)
    return result


def shuffled_axes(options: SRGAN) -> dict[str, tuple[int, int, int]]:
    """No axes: the network flattens in PyTorch's order."""
    return {}


def _layers(filters) -> Iterator[tuple[str, int]]:
    for stage, outputs in enumerate((filters, 2 * filters, 4 * filters, 8 * filters)):
        yield from ((f"{stage}_0", outputs), (f"{stage}_1", outputs))
