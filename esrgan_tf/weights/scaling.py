"""From a network of one scale to the same network of another."""

import dataclasses
from typing import cast

import keras

from esrgan_tf.models.family import GeneratorOptions
from esrgan_tf.weights.architecture import Architecture, check_function


def at_scale(model: keras.Model, architecture: Architecture, scale: int) -> tuple[keras.Model, list[str]]:
    """The network for another scale, and its layers that begin anew: those that make more pixels.

    The other weights are those of `model`, as networks for x3 and x4 have long been begun from one for x2 (EDSR, Lim et
    al., arXiv 1707.02921, section 3.2).

    Raises:
        UserError: the network cannot have that scale, or `model` computes something else than its weights tell.
    """
    options = dataclasses.replace(cast(GeneratorOptions, architecture.options), scale=scale)
    if options == architecture.options:
        return model, []
    check_function(model, architecture)
    result = architecture.family.build(**options.arguments)
    given = {v.path: v for v in model.weights}
    fresh = []
    for v in result.weights:
        if v.path in given and given[v.path].shape == v.shape:
            v.assign(given[v.path])
        else:
            fresh.append(v.path.rpartition("/")[0])
    return result, list(dict.fromkeys(fresh))
