"""How far a network looks: what the surroundings of a tile are chosen by."""

import keras
import numpy as np
from keras import layers, ops

_BLOCK = 4  # networks that pack 2x2 or 4x4 pixels treat aligned squares of so many alike


def receptive_field(model: keras.Model, most: int) -> int:
    """The number of input pixels on each side of a pixel that its enlargement depends on, exactly.

    Where the network packs pixels, of an aligned square of 4x4 pixels. It is measured on a copy of the network whose
    convolutions say where, and not what: an output is 1 where anything in its window is, so nothing fades on the way.

    Args:
        model: a functional model of images `[B, H, W, C]` of any size, enlarged by a whole number.
        most: no more than this is told, for networks that look farther and for layers that are not known.
    """
    weighted = (layers.Conv2D, layers.PReLU, layers.BatchNormalization)
    if any(layer.weights and not isinstance(layer, weighted) for layer in model.layers) or _deepest(model) >= most:
        return most
    copy = keras.models.clone_model(model, clone_function=_where)
    side, begin = 2 * (most + 2 * _BLOCK), (most + 2 * _BLOCK) // _BLOCK * _BLOCK
    farthest = 0
    for axis in (1, 2):
        # A strip of an image, of which all but one block in the middle is 0.
        image = np.zeros((1, side, 2 * _BLOCK, model.inputs[0].shape[-1]), np.float32)
        image[:, begin : begin + _BLOCK] = 1
        result = np.asarray(copy(np.swapaxes(image, 1, axis)))
        scale = result.shape[axis] // side
        touched = np.flatnonzero(np.swapaxes(result, 1, axis).any(axis=(0, 2, 3))) // scale
        if touched.size:
            farthest = max(farthest, begin - touched[0], touched[-1] - (begin + _BLOCK - 1))
    return min(most, int(farthest))


def _deepest(model):
    """At least how far it looks, for a network so deep that copying it would take seconds: along its known layers."""
    reach, rate = {}, {}  # by tensor: pixels of the input; and pixels of the tensor for each of those
    for layer in model.layers:
        inputs = [id(tensor) for tensor in (layer.input if isinstance(layer.input, list) else [layer.input])]
        at = max(inputs, key=lambda tensor: reach.get(tensor, 0.0), default=None)
        far, fine = reach.get(at, 0.0), rate.get(at, 1.0)
        if isinstance(layer, layers.UpSampling2D):
            fine *= max(layer.size)
        elif isinstance(layer, layers.Conv2D):
            far += min((k - 1) // 2 for k in layer.kernel_size) / fine
            fine /= min(layer.strides)
        reach[id(layer.output)], rate[id(layer.output)] = far, fine
    return max(reach.values())


def _where(layer):
    """What takes a layer's place in the copy. No value is below 0, so ReLU and its relatives do nothing."""
    if isinstance(layer, layers.Conv2D):
        return _Window(layer)
    if isinstance(layer, layers.Rescaling | layers.Activation):
        return layers.Identity(name=layer.name)
    return type(layer).from_config(layer.get_config())


class _Window(layers.Layer):
    """1 in every channel where a convolution's window holds anything above 0, else 0."""

    def __init__(self, convolution):
        super().__init__(name=convolution.name)
        self._filters = convolution.filters
        spans = zip(convolution.kernel_size, convolution.dilation_rate, strict=True)
        self._window = {
            "pool_size": tuple((k - 1) * d + 1 for k, d in spans),
            "strides": convolution.strides,
            "padding": convolution.padding,
        }

    def call(self, x):
        anything = ops.cast(ops.any(x > 0, axis=-1, keepdims=True), "float32")
        return ops.repeat(ops.max_pool(anything, **self._window), self._filters, axis=-1)
