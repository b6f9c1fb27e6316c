"""ESRGAN's discriminator, with the layer names of BasicSR's `VGGStyleDiscriminator` in PyTorch and in Keras."""

from esrgan_tf.errors import UserError
from esrgan_tf.models.torch_tensors import Tensors, batch_norm, conv, dense, kernel_shape, side_of
from esrgan_tf.models.vgg_style.options import VGG

_HALVINGS = 5


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The style of the tensors' names; None if no style fits."""
    return "BasicSR" if {"conv4_1.weight", "linear1.weight"} <= shapes.keys() else None


def style_to_write(options: VGG) -> str:
    """The only style of names."""
    return "BasicSR"


def infer_options(shapes: dict[str, tuple[int, ...]], style_name: str, in_channels: int | None = None) -> VGG:
    """Options of `vgg_discriminator` that give these tensors, from the first and the dense layer.

    Raises:
        UserError: a layer is missing, the shapes fit no image size, or the network is for 256x256 pixels.
    """
    if "conv5_0.weight" in shapes:
        raise UserError("it has a sixth stage, for images of 256x256 pixels; expected five stages")
    filters, _ = kernel_shape(shapes, "conv0_0")
    return VGG(image_size=2**_HALVINGS * side_of(shapes, "linear1", 8 * filters), filters=filters)


def torch_tensors(options: VGG, style_name: str) -> Tensors:
    """Every tensor of the network: `{name in PyTorch: (Keras variable's path, shape in PyTorch)}`."""
    filters = options.filters
    result: Tensors = {}
    inputs = 3
    for stage, factor in enumerate((1, 2, 4, 8, 8)):
        outputs = factor * filters
        for number, size, channels in ((0, 3, inputs), (1, 4, outputs)):
            name, first = f"{stage}_{number}", (stage, number) == (0, 0)
            result |= conv(f"conv{name}", f"conv{name}", outputs, channels, size, bias=first)
            result |= {} if first else batch_norm(f"bn{name}", f"bn{name}", outputs)
        inputs = outputs
    values = inputs * (options.image_size // 2**_HALVINGS) ** 2
    return result | dense("linear1", "linear1", 100, values) | dense("linear2", "linear2", 1, 100)


def shuffled_axes(options: VGG) -> dict[str, tuple[int, int, int]]:
    """No axes: the network flattens in PyTorch's order."""
    return {}
