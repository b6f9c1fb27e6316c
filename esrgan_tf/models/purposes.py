"""What a network is built for. Layers that Keras can keep are not the fastest, nor those that other runtimes know."""

import contextlib
import contextvars
import enum
from collections.abc import Iterator

from keras import layers, ops
from keras.initializers import Constant


class Purpose(enum.Enum):
    """What becomes of a network, which decides by which operations it computes the same."""

    KEEPING = "a functional model of Keras' own layers, in a file that opens without this package"
    RUNNING = "this process alone: of few passes over memory"
    EXPORTING = "SavedModel, LiteRT, ONNX: of operations that the readers of those have"


_PURPOSE = contextvars.ContextVar("purpose", default=Purpose.KEEPING)


@contextlib.contextmanager
def building_for(purpose: Purpose) -> Iterator[None]:
    """Networks that are built meanwhile are built for that."""
    token = _PURPOSE.set(purpose)
    try:
        yield
    finally:
        _PURPOSE.reset(token)


def built_for(purpose: Purpose) -> bool:
    """Whether what is being built is built for that."""
    return _PURPOSE.get() is purpose


def prelu(shared_axes: list[int], name: str) -> layers.PReLU:
    """PReLU as PyTorch begins it, its slopes shared along `shared_axes`."""
    kind = _PReLU if built_for(Purpose.RUNNING) else layers.PReLU  # readers of exports know the pattern of Keras'
    return kind(Constant(0.25), shared_axes=shared_axes, name=name)


class _PReLU(layers.PReLU):
    """In two passes over memory and a mask, where Keras' takes five: half the time."""

    def call(self, inputs):
        return inputs * ops.where(inputs > 0, ops.ones_like(self.alpha), self.alpha)
