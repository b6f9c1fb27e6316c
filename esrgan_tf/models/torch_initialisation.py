"""Layers with PyTorch's initialisation, padding and normalisation, which the papers' recipes and weights assume."""

import math

from keras import layers
from keras.initializers import RandomUniform, VarianceScaling


def conv(filters: int, inputs: int, size: int, name: str, padding: str = "same", **kwargs) -> layers.Conv2D:
    """A convolution of `inputs` channels; by default zero-padded to keep the size, and with bias."""
    return layers.Conv2D(filters, size, padding=padding, name=name, **_initializers(size**2 * inputs), **kwargs)


def conv3x3(filters: int, inputs: int, name: str, **kwargs) -> layers.Conv2D:
    """A 3x3 convolution of `inputs` channels, zero-padded to keep the size, with bias."""
    return conv(filters, inputs, 3, name, **kwargs)


def dense(units: int, inputs: int, name: str, **kwargs) -> layers.Dense:
    """A dense layer of `inputs` values, with bias."""
    return layers.Dense(units, name=name, **_initializers(inputs), **kwargs)


def batch_norm(name: str) -> layers.BatchNormalization:
    """Batch normalisation over all replicas of a distributed step. PyTorch's momentum 0.1 is Keras' 0.9."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=True, name=name)


def he_normal(scale: float) -> VarianceScaling:
    """He's normal distribution (variance 2 / fan in) times `scale`, as BasicSR initialises residual networks."""
    return VarianceScaling(2.0 * scale**2, mode="fan_in", distribution="untruncated_normal")


def uniform(fan_in: int) -> RandomUniform:
    """PyTorch's default for kernels and biases: uniform within 1 / sqrt(fan in)."""
    bound = 1 / math.sqrt(fan_in)
    return RandomUniform(-bound, bound)


def _initializers(fan_in):
    return {"kernel_initializer": uniform(fan_in), "bias_initializer": uniform(fan_in)}
