"""ESRGAN's discriminator in PyTorch: its layers named as in BasicSR's `VGGStyleDiscriminator`, and so are ours."""

from esrgan_tf.errors import UserError
from esrgan_tf.models.torch_tensors import Tensors, batch_norm, conv, dense, kernel_shape, side_of
from esrgan_tf.models.vgg_style.options import VGG

_HALVINGS = 5


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The style of names."""
    return "BasicSR" if {"conv4_1.weight", "linear1.weight"} <= shapes.keys() else None


def style_to_write(options: VGG) -> str:
    """There is only one."""
    return "BasicSR"


def options(shapes: dict[str, tuple[int, ...]], style_name: str, in_channels: int | None = None) -> VGG:
    """What `vgg_discriminator` takes to have these tensors, as the first layer and the dense one tell.

    Raises:
        UserError: one of these is missing, or their shapes do not make an image; or it is BasicSR's for 256x256.
    """
    if "conv5_0.weight" in shapes:
        raise UserError("it has a sixth stage, for images of 256x256, and ours have five")
    filters, _ = kernel_shape(shapes, "conv0_0")
    return VGG(image_size=2**_HALVINGS * side_of(shapes, "linear1", 8 * filters), filters=filters)


def tensors(options: VGG, style_name: str) -> Tensors:
    """Every tensor of the network: `{its name: (the Keras variable's path, its shape in PyTorch)}`."""
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


def packed(options: VGG) -> dict[str, tuple[int, int, int]]:
    """Nothing is counted in another order: the network itself flattens as PyTorch does."""
    return {}
