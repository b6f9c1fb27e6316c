"""What a network is built for. Layers that Keras can keep are not the fastest, nor those that other runtimes know."""

import contextlib
import contextvars
import enum
from collections.abc import Iterator

from keras import layers, ops
from keras.initializers import Constant


class BuildTarget(enum.Enum):
    """What becomes of a network, which decides by which operations it computes the same."""

    SAVE = "a functional model of Keras' own layers, in a file that opens without this package"
    INFERENCE = "this process alone: of few passes over memory"
    EXPORT = "SavedModel, LiteRT, ONNX: of operations that the readers of those have"


_BUILD_TARGET = contextvars.ContextVar("purpose", default=BuildTarget.SAVE)


@contextlib.contextmanager
def build_for(purpose: BuildTarget) -> Iterator[None]:
    """Networks that are built meanwhile are built for that."""
    token = _BUILD_TARGET.set(purpose)
    try:
        yield
    finally:
        _BUILD_TARGET.reset(token)


def built_for(purpose: BuildTarget) -> bool:
    """Whether what is being built is built for that."""
    return _BUILD_TARGET.get() is purpose


def prelu(shared_axes: list[int], name: str) -> layers.PReLU:
    """PReLU as PyTorch begins it, its slopes shared along `shared_axes`."""
    kind = _PReLU if built_for(BuildTarget.INFERENCE) else layers.PReLU  # readers of exports know the pattern of Keras'
    return kind(Constant(0.25), shared_axes=shared_axes, name=name)


class _PReLU(layers.PReLU):
    """In two passes over memory and a mask, where Keras' takes five: half the time."""

    def call(self, inputs):
        return inputs * ops.where(inputs > 0, ops.ones_like(self.alpha), self.alpha)
