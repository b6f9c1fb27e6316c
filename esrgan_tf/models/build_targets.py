"""Targets of building a network. Keras' own layers are neither the fastest nor supported by all runtimes."""

import contextlib
import contextvars
import enum
from collections.abc import Iterator

from keras import layers, ops
from keras.initializers import Constant


class BuildTarget(enum.Enum):
    """The use of a network, which selects among operations with equal results."""

    SAVE = "a functional model of Keras' own layers, which opens without this package"
    INFERENCE = "operations with few passes over memory, for this process only"
    EXPORT = "operations that readers of SavedModel, LiteRT and ONNX support"


_BUILD_TARGET = contextvars.ContextVar("build_target", default=BuildTarget.SAVE)


@contextlib.contextmanager
def build_for(target: BuildTarget) -> Iterator[None]:
    """Context manager: networks inside it are built for `target`."""
    token = _BUILD_TARGET.set(target)
    try:
        yield
    finally:
        _BUILD_TARGET.reset(token)


def built_for(target: BuildTarget) -> bool:
    """Whether networks are now built for `target`."""
    return _BUILD_TARGET.get() is target


def prelu(shared_axes: list[int], name: str) -> layers.PReLU:
    """PReLU with PyTorch's initial slopes, which are shared along `shared_axes`."""
    kind = _PReLU if built_for(BuildTarget.INFERENCE) else layers.PReLU  # exports need Keras' pattern
    return kind(Constant(0.25), shared_axes=shared_axes, name=name)


class _PReLU(layers.PReLU):
    """Computes in two passes over memory and a mask; Keras' layer takes five passes and twice the time."""

    def call(self, inputs):
        return inputs * ops.where(inputs > 0, ops.ones_like(self.alpha), self.alpha)
