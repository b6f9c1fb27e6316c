"""Which network a set of named tensors belongs to, and the way from the one to the other."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import keras
import numpy as np

from esrgan_tf.errors import UserError, listed
from esrgan_tf.interop import (
    compact,
    residual,
    rrdb,
    srgan_discriminator,
    srresnet,
    unet_discriminator,
    vgg_discriminator,
)
from esrgan_tf.models import DISCRIMINATORS, GENERATORS

_ARCHITECTURES = {
    "rrdb": rrdb, "compact": compact, "srresnet": srresnet, "residual": residual,
    "srgan": srgan_discriminator, "unet_sn": unet_discriminator, "vgg": vgg_discriminator,
}  # fmt: skip
_KNOWN = (
    "RRDBNet, SRVGGNetCompact, SRResNet, MSRResNet, the residual network of esrgan-tf, and the discriminators of "
    "SRGAN, ESRGAN and Real-ESRGAN"
)
_SUFFIXES = {  # of Keras' variables, and what PyTorch calls the same
    "kernel": "weight", "alpha": "weight", "gamma": "weight", "bias": "bias", "beta": "bias",
    "moving_mean": "running_mean", "moving_variance": "running_var", "vector_u": "weight_u", "vector_v": "weight_v",
}  # fmt: skip
_LOOKS = {
    "rrdb": "RRDBNet", "compact": "SRVGGNetCompact", "srresnet": "SRResNet",
    "residual": "the residual network", "srgan": "SRGAN's discriminator", "unet_sn": "UNetDiscriminatorSN",
    "vgg": "VGGStyleDiscriminator",
}  # fmt: skip
_NOT_TRAINED = ("running_mean", "running_var", "weight_u", "weight_v")


@dataclass(frozen=True)
class Architecture:
    """A network without its weights.

    Attributes:
        name: key of `esrgan_tf.models.GENERATORS` or `DISCRIMINATORS`.
        arguments: what its builder takes.
        style: whose names the tensors have.
    """

    name: str
    arguments: Mapping[str, int | bool] = field(hash=False)
    style: str

    @property
    def tensors(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """`{name: (path of the Keras variable, shape in PyTorch)}`, complete."""
        return _ARCHITECTURES[self.name].tensors(self.arguments, self.style)

    def styled(self, style: str) -> "Architecture":
        """The same network, its tensors named otherwise."""
        return Architecture(self.name, self.arguments, style)

    @property
    def style_to_write(self) -> str:
        """The names by which most of PyTorch's tools know it."""
        return _ARCHITECTURES[self.name].style_to_write(self.arguments)

    @property
    def is_generator(self) -> bool:
        """Whether it maps images to images."""
        return self.name in GENERATORS

    def __str__(self) -> str:
        values = self.arguments
        trained = {name: shape for name, (_, shape) in self.tensors.items() if not name.endswith(_NOT_TRAINED)}
        parameters = sum(math.prod(shape) for shape in trained.values())
        title = _ARCHITECTURES[self.name].title(values)
        if not self.is_generator:
            size = f", for {values['image_size']}x{values['image_size']} pixels" if "image_size" in values else ""
            return f"{title}: {values['filters']} filters, {parameters:,} parameters{size}"
        parts = [f"scale {values['scale']}", f"{values['filters']} filters", f"{values['blocks']} blocks"]
        parts += [f"growth {values['growth']}"] if "growth" in values else []
        parts += [f"{parameters:,} parameters"]
        channels = [values.get(f"{end}_channels", values.get("channels")) for end in ("in", "out")]
        parts += ["{} channels in, {} out".format(*channels)]
        if values.get("unshuffle", 1) > 1:
            parts += [f"input pixel-unshuffled by {values['unshuffle']}"]
        return f"{title}: {', '.join(parts)}"


def recognise(shapes: Mapping[str, tuple[int, ...]], where: str, in_channels: int | None = None) -> Architecture:
    """Infers the network from its tensors' names and shapes alone.

    Args:
        shapes: in PyTorch's layout.
        where: what the message of an error begins with, such as the file's name.
        in_channels: of the images, where that is known; a pixel-unshuffled input is inferred else.

    Raises:
        UserError: no network of ours, or tensors are missing, too many or of shapes that contradict one another.
    """
    found = [(name, module, module.style_of(shapes)) for name, module in _ARCHITECTURES.items()]
    found = [(name, module, style) for name, module, style in found if style is not None]
    if not found or not shapes:
        begin = f"begin with {listed(list(shapes), 3)}" if shapes else "are none"
        raise UserError(f"{where}: an unknown architecture; its {len(shapes)} tensors {begin}; known are {_KNOWN}")
    name, module, style = found[0]
    try:
        architecture = Architecture(name, module.arguments(shapes, style, in_channels), style)
    except UserError as error:
        raise UserError(f"{where}: it looks like {_LOOKS[name]}, but {error}") from error

    expected = {tensor: shape for tensor, (_, shape) in architecture.tensors.items()}
    for difference, problem in (
        ([tensor for tensor in expected if tensor not in shapes], "lacks"),
        ([tensor for tensor in shapes if tensor not in expected], "has beside it"),
    ):
        if difference:
            raise UserError(f"{where}: {architecture}; but the file {problem} {listed(difference, 3)}")
    for tensor, shape in expected.items():
        if shapes[tensor] != shape:
            raise UserError(f"{where}: {architecture}; but {tensor} is {shapes[tensor]}, not {shape}")
    return architecture


def recognise_variables(shapes: Mapping[str, tuple[int, ...]], where: str, in_channels: int) -> Architecture:
    """Infers the network from the paths and shapes of a Keras model's variables.

    Raises:
        UserError: as `recognise`.
    """
    return recognise(
        {_tensor_name(path): _torch_shape(path, shape) for path, shape in shapes.items()}, where, in_channels
    )


def recognise_model(model: keras.Model) -> Architecture:
    """Infers the network of a Keras model from its weights.

    Raises:
        UserError: none of ours.
    """
    shapes = {v.path: tuple(v.shape) for v in model.weights}
    return recognise_variables(shapes, f"the Keras model {model.name}", model.inputs[0].shape[-1])


def build(architecture: Architecture, weights: Mapping[str, np.ndarray]) -> keras.Model:
    """Builds the network, with the weights given as `{path of the Keras variable: array}`, in Keras' layout.

    It computes in float32 whatever the policy of the program, as a model from a file does.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        model = {**GENERATORS, **DISCRIMINATORS}[architecture.name](**architecture.arguments)
    finally:
        keras.config.set_dtype_policy(policy)
    model.set_weights([weights[v.path] for v in model.weights])
    return model


def to_keras(architecture: Architecture, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """PyTorch's tensors as `{path of the Keras variable: array}`.

    Kernels turn from OIHW to HWIO and from (out, in) to (in, out), slopes are shared over space, and packed pixels are
    counted (row, column, channel) where PyTorch counts (channel, row, column).
    """
    weights = {}
    packed = _ARCHITECTURES[architecture.name].packed(architecture.arguments)
    for name, (path, _) in architecture.tensors.items():
        tensor = state[name]
        if path in packed:
            axis, channels, r = packed[path]
            tensor = np.take(tensor, _pixel_order(channels, r), axis)
        if path.endswith("/kernel"):
            tensor = tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T
        elif path.endswith("/alpha"):
            tensor = tensor[np.newaxis, np.newaxis]
        elif path.endswith(("/vector_u", "/vector_v")):
            tensor = tensor[np.newaxis]
        weights[path] = tensor
    return weights


def to_torch(architecture: Architecture, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `to_keras`."""
    state = {}
    packed = _ARCHITECTURES[architecture.name].packed(architecture.arguments)
    for name, (path, _) in architecture.tensors.items():
        tensor = weights[path]
        if path.endswith("/kernel"):
            tensor = tensor.transpose(3, 2, 0, 1) if tensor.ndim == 4 else tensor.T
        elif path.endswith("/alpha"):
            tensor = tensor[0, 0]
        elif path.endswith(("/vector_u", "/vector_v")):
            tensor = tensor[0]
        if path in packed:
            axis, channels, r = packed[path]
            tensor = np.take(tensor, np.argsort(_pixel_order(channels, r)), axis)
        state[name] = tensor
    return state


def _pixel_order(channels, r):
    """PyTorch's number of each packed channel, in TensorFlow's order."""
    return np.arange(channels * r * r).reshape(channels, r * r).T.ravel()


def _tensor_name(path):
    layer, _, kind = path.rpartition("/")
    return f"{layer}.{_SUFFIXES.get(kind, kind)}"


def _torch_shape(path, shape):
    if len(shape) == 4:
        return tuple(shape[axis] for axis in (3, 2, 0, 1))
    return shape[::-1] if path.endswith("/kernel") else shape[-1:]
