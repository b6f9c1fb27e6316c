"""Facts of a network read from its Keras graph, which the facts of its options are compared with."""

import math

import keras
from keras import layers

# Operations that compute a pixel from pixels at its own place, or move whole pixels.
_POINTWISE = {
    *("InputLayer", "Identity", "Activation", "ReLU", "LeakyReLU", "PReLU", "BatchNormalization", "Rescaling"),
    *("Add", "Multiply", "Concatenate", "Split", "Take", "GetItem", "ExtractPatches"),
}


def receptive_field(model: keras.Model, most: int) -> int:
    """Input pixels on each side of a pixel that its result depends on, or one more.

    After a pixel unshuffle, on each side of an aligned square of 4x4 pixels. Windows add up along the deepest path;
    global pooling is left out. `most` stands for more, and for layers that are not known.
    """
    densities = pixel_densities(model)
    reach: dict[int, float] = {}  # by tensor: input pixels on each side
    for operation, before, outputs in _on_images(model):
        far = max((reach.get(id(tensor), 0.0) for tensor in before), default=0.0)
        fine = math.sqrt(max((densities[id(tensor)] for tensor in before), default=1.0))
        if isinstance(operation, layers.Conv2D):
            spans = zip(operation.kernel_size, operation.dilation_rate, strict=True)
            far += max((size - 1) * dilation // 2 + (size - 1) * dilation % 2 for size, dilation in spans) / fine
        elif isinstance(operation, layers.AveragePooling2D):
            far += (max(operation.pool_size) - 1) / fine
        elif isinstance(operation, layers.UpSampling2D):
            far += (0 if operation.interpolation == "nearest" else 2) / fine
        elif isinstance(operation, layers.GlobalAveragePooling2D):
            far = 0.0
        elif type(operation).__name__ not in _POINTWISE:
            return most
        reach |= {id(tensor): far for tensor in outputs}
    return min(most, math.ceil(max(reach[id(tensor)] for tensor in model.outputs) - 1e-6))


def has_global_pooling(model: keras.Model) -> bool:
    return any(isinstance(operation, layers.GlobalAveragePooling2D) for operation in model.operations)


def peak_channels(model: keras.Model) -> float:
    """Numbers per input pixel in the largest tensor."""
    densities = pixel_densities(model)
    tensors = (tensor for operation in model.operations for tensor in _tensors(operation.output))
    return max(densities[id(tensor)] * tensor.shape[-1] for tensor in tensors if len(tensor.shape) == 4)


def pixel_densities(model: keras.Model) -> dict[int, float]:
    """By `id` of each tensor of images in a functional model: how many pixels it has for each pixel of the input."""
    densities: dict[int, float] = {}
    for operation, before, outputs in _on_images(model):
        density = max((densities[id(tensor)] for tensor in before), default=1.0)
        if isinstance(operation, layers.Conv2D | layers.AveragePooling2D):
            density /= math.prod(operation.strides)
        elif isinstance(operation, layers.UpSampling2D):
            density *= math.prod(operation.size)
        elif type(operation).__name__ == "ExtractPatches":
            density /= math.prod(operation.size)
        elif isinstance(operation, layers.Concatenate) and operation.axis in (1, 2) and _is_shuffle(before):
            density *= len(before)
        densities |= {id(tensor): density for tensor in outputs}
    return densities


def _on_images(model):
    """Each operation in its order, but those that count lines, with the images that go into it and come out."""
    images = set()
    for operation in model.operations:
        outputs = _tensors(operation.output)
        if all(keras.backend.standardize_dtype(tensor.dtype).startswith("int") for tensor in outputs):
            continue
        yield operation, [tensor for tensor in _tensors(operation.input) if id(tensor) in images], outputs
        images |= {id(tensor) for tensor in outputs}


def _is_shuffle(parts):
    """Whether what is put together was one tensor's channels, as in `models.pixels.pixel_shuffle`."""
    sources = [tensor._keras_history.operation for tensor in parts]
    return type(sources[0]).__name__ == "Split" and all(source is sources[0] for source in sources)


def _tensors(inputs):
    return inputs if isinstance(inputs, list | tuple) else [inputs]
