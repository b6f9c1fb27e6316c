"""The convolution that the generators share, initialised as PyTorch initialises it."""

import math

from keras import layers
from keras.initializers import RandomUniform


def conv3x3(filters: int, inputs: int, name: str, **kwargs) -> layers.Conv2D:
    """A 3x3 convolution of `inputs` channels, zero-padded to keep the size, with bias."""
    return layers.Conv2D(
        filters,
        3,
        padding="same",
        kernel_initializer=uniform(9 * inputs),
        bias_initializer=uniform(9 * inputs),
        name=name,
        **kwargs,
    )


def uniform(fan_in: int) -> RandomUniform:
    """PyTorch's default for kernels and biases: uniform within 1 / sqrt(fan in)."""
    bound = 1 / math.sqrt(fan_in)
    return RandomUniform(-bound, bound)
