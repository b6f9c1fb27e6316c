"""Real-ESRGAN's discriminator in PyTorch, with the layer names of BasicSR's `UNetDiscriminatorSN`."""

from esrgan_tf.models.torch_tensors import Tensors, conv, kernel_shape, spectral_conv
from esrgan_tf.models.unet_sn.options import UNetSN


def style_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The style of the tensors' names; None if no style fits."""
    markers = {"BasicSR": "conv1.weight_orig", "Keras": "conv1_sn.weight_u"}
    return next((style for style, name in markers.items() if name in shapes), None)


def style_to_write(options: UNetSN) -> str:
    """The only style of names in PyTorch."""
    return "BasicSR"


def infer_options(shapes: dict[str, tuple[int, ...]], style: str, in_channels: int | None = None) -> UNetSN:
    """Options of `unet_sn_discriminator` that give these tensors, from the first layer.

    Raises:
        UserError: the first layer is missing, or is no convolution.
    """
    return UNetSN(filters=kernel_shape(shapes, "conv0")[0])


def torch_tensors(options: UNetSN, style: str) -> Tensors:
    """Every tensor of the network: `{name in PyTorch: (Keras variable's path, shape in PyTorch)}`."""
    result = conv("conv0", "conv0", options.filters, 3, 3)
    for name, (outputs, inputs, size) in _spectral(options.filters).items():
        result |= spectral_conv(name, name, outputs, inputs, size)
    result |= conv("conv9", "conv9", 1, options.filters, 3)
    if style == "Keras":
        result = {name.replace(".weight_orig", ".weight"): entry for name, entry in result.items()}
        result = {name.replace(".weight_", "_sn.weight_"): entry for name, entry in result.items()}
    return result


def shuffled_axes(options: UNetSN) -> dict[str, tuple[int, int, int]]:
    """Right singular vectors: the order is (channel, row, column) in PyTorch, (row, column, channel) in Keras."""
    layers = _spectral(options.filters).items()
    return {f"{name}_sn/vector_v": (0, inputs, size) for name, (_, inputs, size) in layers}


def _spectral(f):
    """`{layer: (outputs, inputs, kernel size)}`."""
    return {
        "conv1": (2 * f, f, 4), "conv2": (4 * f, 2 * f, 4), "conv3": (8 * f, 4 * f, 4), "conv4": (4 * f, 8 * f, 3),
        "conv5": (2 * f, 4 * f, 3), "conv6": (f, 2 * f, 3), "conv7": (f, f, 3), "conv8": (f, f, 3),
    }  # fmt: skip
