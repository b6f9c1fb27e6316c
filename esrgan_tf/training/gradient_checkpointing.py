"""Gradient checkpointing: activations of residual blocks are computed again in the backward pass, for less memory."""

import itertools
from collections.abc import Callable

import keras
import tensorflow as tf

from esrgan_tf.errors import UserError


def checkpoint_gradients(generator: keras.Model) -> Callable[..., tf.Tensor]:
    """A forward pass that stores only the input of each residual block for the backward pass.

    The backward pass computes the other activations again (Chen et al., "Training deep nets with sublinear memory
    cost", arXiv 1604.06174, section 4). Losses and gradients do not change.

    Args:
        generator: a network with residual blocks; `body_0_add`, `body_1_add` … are their last layers.

    Returns:
        A function with the generator's call, `(images, training=True)`.

    Raises:
        UserError: the generator has no residual blocks, or blocks with batch statistics, which would be counted twice.
    """
    ends: list[keras.Layer] = []
    names = {layer.name for layer in generator.layers}
    while f"body_{len(ends)}_add" in names:
        ends.append(generator.get_layer(f"body_{len(ends)}_add"))
    if not ends:
        raise UserError(f"runtime.gradient_checkpointing=blocks: {generator.name} has no residual blocks; use none")
    image, output = generator.inputs[0], generator.outputs[0]
    tensors = [ends[0].input[0], *(layer.output for layer in ends)]
    head = keras.Model(image, tensors[0])
    blocks = [keras.Model(before, after) for before, after in itertools.pairwise(tensors)]
    tail = keras.Model([image, tensors[0], tensors[-1]], output)
    if any(isinstance(layer, keras.layers.BatchNormalization) for block in blocks for layer in block.layers):
        raise UserError(
            "runtime.gradient_checkpointing=blocks: the blocks have batch statistics, which would be counted twice; "
            "use none, or generator.batch_norm=false"
        )

    def forward(images, training=True):
        x = first = head(images, training=training)
        for block in blocks:
            x = tf.recompute_grad(lambda y, block=block: block(y, training=training))(x)
        return tail([images, first, x], training=training)

    return forward
