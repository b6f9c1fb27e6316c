"""The interface of engines: a generator as a function of NumPy arrays."""

import abc

import numpy as np

from esrgan_tf.inference.network_facts import NetworkFacts

PRECISIONS = ("float32", "bfloat16", "auto")


class Runner(abc.ABC):
    """A generator on an engine; upscales float32 `[B, h, w, C]` in [0, 1] to float32 `[B, scale * h, scale * w, C']`.

    Results are not clipped. Threads may share a runner.

    Attributes:
        facts: properties of the network, such as its receptive field and memory.
        scale: the upscaling factor.
        out_channels: C' of the results.
        engine: the engine's name.
        precision: the precision for 8-bit images, `float32` or `bfloat16`.
        device: `CPU` or `GPU`, which determines the tile size.
    """

    facts: NetworkFacts
    scale: int
    out_channels: int
    engine: str
    precision: str
    device: str = "CPU"

    @abc.abstractmethod
    def __call__(self, images: np.ndarray, full_precision: bool = False) -> np.ndarray:
        """Upscales images.

        Args:
            images: float32 `[B, h, w, C]` in [0, 1], without a noise level.
            full_precision: compute in float32 instead of `precision`; for images of more than 8 bits.

        Raises:
            MemoryError: the images are too large for the memory.
        """
