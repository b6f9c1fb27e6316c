"""Conversion of Keras generators into OpenVINO graphs, and the files of these graphs.

OpenVINO's operations take `[B, C, H, W]`. A direct conversion avoids the transpositions around each convolution that
nearly double the time of Keras' own backend for OpenVINO.
"""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from esrgan_tf.errors import UserError
from esrgan_tf.models import GENERATORS
from esrgan_tf.models.family import GeneratorOptions

if TYPE_CHECKING:
    import keras

_AXES = (0, 2, 3, 1)  # OpenVINO's axis of each axis of Keras
_END = 2**31 - 1
_FACTS = "esrgan_tf"


def convert_generator(model: "keras.Model") -> ov.Model:
    """Converts a recognised generator: float32 `[B, C, H, W]` to float32 `[B, C', H', W']`, for any B, H, W.

    Raises:
        UserError: an unknown network, or a network that computes something else than its weights suggest.
    """
    from esrgan_tf.models.build_targets import BuildTarget, build_for
    from esrgan_tf.weights.architecture import build, check_function, recognise_model

    architecture = recognise_model(model)
    check_function(model, architecture)
    if not isinstance(architecture.options, GeneratorOptions):
        raise UserError(f"{architecture} is a discriminator; expected a generator")
    with build_for(BuildTarget.INFERENCE):
        model = build(architecture, {v.path: np.asarray(v) for v in model.weights})
    image = op.parameter([-1, model.inputs[0].shape[-1], -1, -1], np.float32, name="image")
    tensors = {id(model.inputs[0]): image.output(0)}
    for operation in model.operations:
        if type(operation).__name__ == "InputLayer":
            continue
        (node,) = operation._inbound_nodes
        result = _CONVERTERS[type(operation).__name__](operation, [tensors[id(x)] for x in node.input_tensors], node)
        tensors[id(node.output_tensors[0])] = result.output(0)
    graph = ov.Model([tensors[id(model.outputs[0])]], [image], model.name)
    facts = {
        "family": architecture.family.name,
        "options": dataclasses.asdict(architecture.options),
        "parameters": model.count_params(),
    }
    graph.set_rt_info(json.dumps(facts), _FACTS)
    return graph


def save_graph(graph: ov.Model, path: Path) -> None:
    """Writes a graph into `path` (`.xml`), and its weights in float16 beside it (`.bin`)."""
    ov.save_model(graph, path, compress_to_fp16=True)


def read_graph(path: Path) -> ov.Model:
    """Reads a file that `save_graph` wrote."""
    return core().read_model(path)


@functools.cache
def core() -> ov.Core:
    """OpenVINO's runtime, one per process."""
    return ov.Core()


def options_of(graph: ov.Model) -> tuple[GeneratorOptions, int]:
    """The network's options and its number of parameters."""
    facts = json.loads(graph.get_rt_info(_FACTS).value)
    options = GENERATORS[facts["family"]].options(**facts["options"])
    assert isinstance(options, GeneratorOptions)
    return options, facts["parameters"]


def interpolate_graphs(first: ov.Model, second: ov.Model, alpha: float) -> ov.Model:
    """Interpolates two graphs of one architecture weight by weight: 0 is `first`, 1 is `second`."""
    pairs = [
        (mine, other)
        for mine, other in zip(first.get_ordered_ops(), second.get_ordered_ops(), strict=True)
        if mine.get_type_name() == "Constant" and mine.get_element_type().is_real()
    ]
    for mine, other in pairs:
        weights = [np.asarray(node.data, np.float32) for node in (mine, other)]  # type: ignore[attr-defined]
        blended = op.constant((1 - np.float32(alpha)) * weights[0] + np.float32(alpha) * weights[1])
        for target in mine.output(0).get_target_inputs():
            widened = target.get_node()  # float16 weights are converted to float32 first
            ports = widened.output(0).get_target_inputs() if widened.get_type_name() == "Convert" else [target]
            for port in ports:
                port.replace_source_output(blended.output(0))
    return first


def _constant(values):
    return op.constant(np.asarray(values).astype(np.float32))


def _per_channel(values):
    return _constant(np.asarray(values).reshape(1, -1, 1, 1))


def _activate(x, name):
    functions = {"relu": op.relu, "sigmoid": op.sigmoid, "silu": op.swish}
    return x if name == "linear" else functions[name](x)


def _convolution(layer, inputs, node):
    kernel = np.transpose(np.asarray(layer.kernel), (3, 2, 0, 1))
    before = [(size - 1) // 2 for size in layer.kernel_size]
    after = [size - 1 - pad for size, pad in zip(layer.kernel_size, before, strict=True)]
    x = op.convolution(inputs[0], _constant(kernel), list(layer.strides), before, after, list(layer.dilation_rate))
    x = op.add(x, _per_channel(layer.bias)) if layer.use_bias else x
    return _activate(x, layer.activation.__name__)


def _batch_norm(layer, inputs, node):
    factor = np.asarray(layer.gamma) / np.sqrt(np.asarray(layer.moving_variance) + layer.epsilon)
    offset = np.asarray(layer.beta) - factor * np.asarray(layer.moving_mean)
    return op.add(op.multiply(inputs[0], _per_channel(factor)), _per_channel(offset))


def _prelu(layer, inputs, node):
    return op.prelu(inputs[0], _constant(np.asarray(layer.alpha).reshape(-1)))


def _concatenation(layer, inputs, node):
    return op.concat(inputs, _AXES[layer.axis])


def _reduced_pairs(function):
    def convert(layer, inputs, node):
        x = inputs[0]
        for other in inputs[1:]:
            x = function(x, other)
        return x

    return convert


def _rescaling(layer, inputs, node):
    return op.add(op.multiply(inputs[0], _per_channel(layer.scale)), _per_channel(layer.offset))


def _nearest(layer, inputs, node):
    factors, axes = op.constant(np.array(layer.size, np.float32)), op.constant(np.array([2, 3]))
    return op.interpolate(
        inputs[0], factors, "nearest", "scales", axes=axes, coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )  # fmt: skip


def _average_pooling(layer, inputs, node):
    return op.avg_pool(inputs[0], list(layer.strides), [0, 0], [0, 0], list(layer.pool_size), True)


def _slice(operation, inputs, node):
    """`x[:, a:b]` and the like, along rows and columns."""
    _, key = node.arguments.args
    result = inputs[0]
    for axis, part in enumerate(key):
        start, stop = part.start or 0, _END if part.stop is None else part.stop
        if (start, stop) != (0, _END):
            axes = op.constant([_AXES[axis]])
            result = op.slice(result, op.constant([start]), op.constant([stop]), op.constant([1]), axes)
    return result


def _size(x, factor=1):
    """Rows and columns of a tensor, times a factor."""
    sides = op.gather(op.shape_of(x), op.constant([2, 3]), op.constant(0))
    return op.multiply(sides, op.constant(np.array([factor, factor])))


def _first(x, size):
    """The first rows and columns, of a size that is known at run time."""
    return op.slice(x, op.constant([0, 0]), size, op.constant([1, 1]), op.constant([2, 3]))


def _pixel_unshuffle(layer, inputs, node):
    edge = op.constant([0, 0, layer.r - 1, layer.r - 1])
    x = op.pad(inputs[0], op.constant([0, 0, 0, 0]), edge, "edge")
    whole = op.divide(_size(x), op.constant(np.array([layer.r, layer.r])))
    x = _first(x, op.multiply(whole, op.constant(np.array([layer.r, layer.r]))))
    return op.space_to_depth(x, "blocks_first", layer.r)


_CONVERTERS: dict[str, Callable[[Any, list, Any], Any]] = {
    "Activation": lambda layer, inputs, node: _activate(inputs[0], layer.activation.__name__),
    "Add": _reduced_pairs(op.add),
    "AveragePooling2D": _average_pooling,
    "BatchNormalization": _batch_norm,
    "Concatenate": _concatenation,
    "Conv2D": _convolution,
    "CropToScale": lambda layer, inputs, node: _first(inputs[1], _size(inputs[0], layer.scale)),
    "GetItem": _slice,
    "GlobalAveragePooling2D": lambda layer, inputs, node: op.reduce_mean(inputs[0], op.constant([2, 3]), True),
    "LeakyReLU": lambda layer, inputs, node: op.prelu(inputs[0], _constant([layer.negative_slope])),
    "Multiply": _reduced_pairs(op.multiply),
    "PReLU": _prelu,
    "PixelShuffle": lambda layer, inputs, node: op.depth_to_space(inputs[0], "blocks_first", layer.r),
    "PixelUnshuffle": _pixel_unshuffle,
    "ReLU": lambda layer, inputs, node: op.relu(inputs[0]),
    "Rescaling": _rescaling,
    "UpSampling2D": _nearest,
    "_PReLU": _prelu,
}
