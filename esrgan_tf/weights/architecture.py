"""Recognition of a network from its named tensors, and conversion between Keras and PyTorch.

Recognition needs only names and shapes. Functions that build or call a network import Keras.
"""

import math
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from esrgan_tf.errors import UserError, listed
from esrgan_tf.models import FAMILIES
from esrgan_tf.models.family import Family, Options
from esrgan_tf.models.torch_tensors import BRANCH, Constant, Tensors

if TYPE_CHECKING:
    import keras

_SUFFIXES = {  # suffixes of Keras' variables and of PyTorch's tensors
    "kernel": "weight", "alpha": "weight", "gamma": "weight", "bias": "bias", "beta": "bias",
    "moving_mean": "running_mean", "moving_variance": "running_var", "vector_u": "weight_u", "vector_v": "weight_v",
}  # fmt: skip
_NOT_TRAINED = ("running_mean", "running_var", "weight_u", "weight_v")
_BUILT: "weakref.WeakSet[keras.Model]" = weakref.WeakSet()


@dataclass(frozen=True)
class Architecture:
    """A network without its weights.

    Attributes:
        family: the network's family.
        options: arguments of the network's builder.
        style: the style of the tensors' names.
    """

    family: Family
    options: Options
    style: str

    @property
    def tensors(self) -> Tensors:
        """All tensors, `{name: (path of the Keras variable, constant or branch, shape in PyTorch)}`."""
        return self.family.mapping.torch_tensors(self.options, self.style)

    @property
    def variables(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """The tensors that are variables."""
        return {name: (path, shape) for name, (path, shape) in self.tensors.items() if isinstance(path, str)}

    @property
    def constants(self) -> dict[str, np.ndarray]:
        """The tensors with the same numbers in every file, in PyTorch's layout."""
        return {
            name: np.array(constant.numbers, np.float32).reshape(shape)
            for name, (constant, shape) in self.tensors.items()
            if isinstance(constant, Constant)
        }

    @property
    def has_branches(self) -> bool:
        """Whether files store convolutions of the network as branches that must be merged."""
        return any(kind is BRANCH for kind, _ in self.tensors.values())

    def styled(self, style: str) -> "Architecture":
        """The same network with another style of names."""
        return Architecture(self.family, self.options, style)

    @property
    def style_to_write(self) -> str:
        """The style of names that most PyTorch tools read."""
        return self.family.mapping.style_to_write(self.options)

    def __str__(self) -> str:
        trained = [shape for name, (_, shape) in self.variables.items() if not name.endswith(_NOT_TRAINED)]
        return self.options.description(sum(map(math.prod, trained)))


class UnknownArchitecture(UserError):
    """The tensors fit no known architecture."""


def recognise(shapes: Mapping[str, tuple[int, ...]], where: str, in_channels: int | None = None) -> Architecture:
    """Infers the network from its tensors' names and shapes.

    Args:
        shapes: the tensors' shapes in PyTorch's layout.
        where: the start of error messages, such as the file's name.
        in_channels: number of image channels, if known; else a pixel unshuffle of the input is inferred.

    Raises:
        UnknownArchitecture: no known architecture has these names.
        UserError: tensors are missing, surplus, or have contradictory shapes.
    """
    fitting, failures = [], []
    for family in FAMILIES.values():
        style = family.mapping.style_of(shapes) if shapes else None
        if style is None:
            continue
        try:
            architecture = Architecture(family, family.mapping.infer_options(shapes, style, in_channels), style)
        except UserError as error:
            failures.append((math.inf, f"it resembles {family.options.label}, but {error}"))
            continue
        differences = _differences(architecture, shapes)
        if differences:
            failures.append((len(differences), f"{architecture}; but {_describe_differences(differences)}"))
        else:
            fitting.append(architecture)
    if len(fitting) > 1:
        raise RuntimeError(f"{where}: its tensors fit {' and '.join(map(str, fitting))}")
    if fitting:
        return fitting[0]
    if failures:
        raise UserError(f"{where}: {min(failures, key=lambda failure: failure[0])[1]}")
    tensors = f"its {len(shapes)} tensors begin with {listed(list(shapes), 3)}" if shapes else "it has no tensors"
    known = ", ".join(family.options.label for family in FAMILIES.values())
    raise UnknownArchitecture(f"{where}: an unknown architecture; {tensors}. Known architectures are {known}")


def _differences(architecture, shapes):
    """`(tensor, shape in the file, shape in the architecture)` per difference; None for a missing tensor."""
    expected = {tensor: shape for tensor, (_, shape) in architecture.tensors.items()}
    return [
        (tensor, shapes.get(tensor), expected.get(tensor))
        for tensor in {**expected, **shapes}
        if shapes.get(tensor) != expected.get(tensor)
    ]


def _describe_differences(differences):
    lacking = [tensor for tensor, found, _ in differences if found is None]
    surplus = [tensor for tensor, _, expected in differences if expected is None]
    if lacking:
        return f"the file lacks {listed(lacking, 3)}"
    if surplus:
        return f"the file also has {listed(surplus, 3)}"
    tensor, found, expected = differences[0]
    return f"{tensor} is {found}, not {expected}"


def recognise_variables(shapes: Mapping[str, tuple[int, ...]], where: str, in_channels: int) -> Architecture:
    """Infers the network from the paths and shapes of a Keras model's variables.

    Raises:
        UserError: as `recognise`.
    """
    return recognise(
        {_tensor_name(path): _torch_shape(path, shape) for path, shape in shapes.items()}, where, in_channels
    )


def recognise_model(model: "keras.Model") -> Architecture:
    """Infers the network of a Keras model from its weights.

    Raises:
        UserError: as `recognise`.
    """
    shapes = {v.path: tuple(v.shape) for v in model.weights}
    return recognise_variables(shapes, f"the Keras model {model.name}", model.inputs[0].shape[-1])


def build(architecture: Architecture, weights: Mapping[str, np.ndarray], precision: str = "float32") -> "keras.Model":
    """Builds the network with weights `{path of the Keras variable: array}` in Keras' layout.

    The network computes in `precision`, a Keras policy, and not in the program's global policy. Models from files
    compute in float32.
    """
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = architecture.family.build(**architecture.options.arguments)
    finally:
        keras.config.set_dtype_policy(policy)
    model.set_weights([weights[v.path] for v in model.weights])
    _BUILT.add(model)
    return model


def check_function(model: "keras.Model", architecture: Architecture) -> None:
    """Checks that a model with this architecture's weights computes the same function as the architecture.

    Names and shapes do not show operations without weights, such as another residual scale.

    Raises:
        UserError: the functions differ.
    """
    if model in _BUILT:
        return
    rebuilt = build(architecture, {v.path: np.asarray(v) for v in model.weights})
    if not computes_the_same(model, rebuilt, (6, 5) if architecture.family.is_generator else (16, 8)):
        raise UserError(f"the Keras model {model.name} has the weights of {architecture}, but another function")


def computes_the_same(model: "keras.Model", other: "keras.Model", size: tuple[int, int] = (6, 5)) -> bool:
    """Whether two networks produce the same result for an image.

    Args:
        size: the image's height and width, if the networks accept any size; odd sizes test more cases.
    """
    height, width = (known or side for known, side in zip(model.inputs[0].shape[1:3], size, strict=True))
    image = np.random.default_rng(0).random((1, height, width, model.inputs[0].shape[-1]), dtype=np.float32)
    expected = np.asarray(other(image))
    return np.allclose(np.asarray(model(image)), expected, rtol=0, atol=1e-4 * max(1.0, float(np.abs(expected).max())))


def to_keras(architecture: Architecture, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Converts PyTorch's tensors to `{path of the Keras variable: array}`.

    Kernels are transposed from OIHW to HWIO and from (out, in) to (in, out); slopes are shared over space. The order of
    unshuffled pixels is (channel, row, column) in PyTorch and (row, column, channel) in Keras.
    """
    weights = {}
    if architecture.has_branches:
        state = architecture.family.mapping.merge_branches(architecture.options, state)
    shuffled = architecture.family.mapping.shuffled_axes(architecture.options)
    for name, (path, _) in architecture.variables.items():
        tensor = state[name]
        if path in shuffled:
            axis, channels, r = shuffled[path]
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
    """The inverse of `to_keras`, with constants and branches."""
    state = architecture.constants
    shuffled = architecture.family.mapping.shuffled_axes(architecture.options)
    for name, (path, _) in architecture.variables.items():
        tensor = weights[path]
        if path.endswith("/kernel"):
            tensor = tensor.transpose(3, 2, 0, 1) if tensor.ndim == 4 else tensor.T
        elif path.endswith("/alpha"):
            tensor = tensor[0, 0]
        elif path.endswith(("/vector_u", "/vector_v")):
            tensor = tensor[0]
        if path in shuffled:
            axis, channels, r = shuffled[path]
            tensor = np.take(tensor, np.argsort(_pixel_order(channels, r)), axis)
        state[name] = tensor
    if architecture.has_branches:
        state = architecture.family.mapping.split_branches(architecture.options, state)
    return state


def _pixel_order(channels, r):
    """PyTorch's numbers of a pixel shuffle's channels, in TensorFlow's order."""
    return np.arange(channels * r * r).reshape(channels, r * r).T.ravel()


def _tensor_name(path):
    layer, _, kind = path.rpartition("/")
    return f"{layer}.{_SUFFIXES.get(kind, kind)}"


def _torch_shape(path, shape):
    if len(shape) == 4:
        return tuple(shape[axis] for axis in (3, 2, 0, 1))
    return shape[::-1] if path.endswith("/kernel") else shape[-1:]
