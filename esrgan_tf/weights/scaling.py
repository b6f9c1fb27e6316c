"""Conversion of a network to another scale."""

import dataclasses
from typing import cast

import keras

from esrgan_tf.models.family import GeneratorOptions
from esrgan_tf.weights.architecture import Architecture, check_function


def at_scale(model: keras.Model, architecture: Architecture, scale: int) -> tuple[keras.Model, list[str]]:
    """The network for another scale, and its newly initialised layers, which upsample.

    The other weights are those of `model`. The paper on EDSR (Lim et al., arXiv 1707.02921, section 3.2) likewise
    initialises ×3 and ×4 networks from a ×2 network.

    Raises:
        UserError: the network does not support the scale, or the function of `model` is not that of its architecture.
    """
    options = dataclasses.replace(cast(GeneratorOptions, architecture.options), scale=scale)
    if options == architecture.options:
        return model, []
    check_function(model, architecture)
    result = architecture.family.build(**options.arguments)
    existing = {v.path: v for v in model.weights}
    initialised = []
    for v in result.weights:
        if v.path in existing and existing[v.path].shape == v.shape:
            v.assign(existing[v.path])
        else:
            initialised.append(v.path.rpartition("/")[0])
    return result, list(dict.fromkeys(initialised))
