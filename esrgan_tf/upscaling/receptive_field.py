"""How far a network looks: what the surroundings of a tile are chosen by."""

import math

import keras
from keras import layers

# What computes a pixel from the pixels at its own place, or moves whole pixels as packing and shuffling do.
_POINTWISE = {
    *("InputLayer", "Identity", "Activation", "ReLU", "LeakyReLU", "PReLU", "BatchNormalization", "Rescaling"),
    *("Add", "Concatenate", "Split", "Take", "GetItem"),
}


def receptive_field(model: keras.Model, most: int) -> int:
    """The number of input pixels on each side of a pixel that its enlargement depends on, or a few more.

    Where the network packs pixels, on each side of an aligned square of 4x4 pixels. Read from its layers: windows add
    up along the deepest path. Behind a pixel shuffle they count as if before it, which is never too little.

    Args:
        model: a functional model of images `[B, H, W, C]` of any size, enlarged by a whole number.
        most: no more than this is told, for networks that look farther and for layers that are not known.
    """
    reach: dict[int, float] = {}  # by tensor: input pixels on each side
    rate: dict[int, float] = {}  # and pixels of the tensor for each of the input
    for operation in model.operations:
        outputs = operation.output if isinstance(operation.output, list) else [operation.output]
        if all(keras.backend.standardize_dtype(tensor.dtype).startswith("int") for tensor in outputs):
            continue  # indices of lines, counted
        before = [id(tensor) for tensor in _tensors(operation.input) if id(tensor) in reach]
        far, fine = (
            max((of[tensor] for tensor in before), default=default) for of, default in ((reach, 0.0), (rate, 1.0))
        )
        if isinstance(operation, layers.Conv2D):
            spans = zip(operation.kernel_size, operation.dilation_rate, strict=True)
            far += max((size - 1) * dilation // 2 + (size - 1) * dilation % 2 for size, dilation in spans) / fine
            fine /= max(operation.strides)
        elif isinstance(operation, layers.AveragePooling2D):
            far += (max(operation.pool_size) - 1) / fine
            fine /= max(operation.strides)
        elif isinstance(operation, layers.UpSampling2D):
            far += (0 if operation.interpolation == "nearest" else 2) / fine
            fine *= max(operation.size)
        elif type(operation).__name__ == "ExtractPatches":
            fine /= operation.size[0]
        elif type(operation).__name__ not in _POINTWISE:
            return most
        reach |= {id(tensor): far for tensor in outputs}
        rate |= {id(tensor): fine for tensor in outputs}
    return min(most, math.ceil(max(reach[id(tensor)] for tensor in model.outputs) - 1e-6))


def _tensors(inputs):
    return inputs if isinstance(inputs, list | tuple) else [inputs]
