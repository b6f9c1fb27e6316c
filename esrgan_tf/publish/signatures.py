"""What every published file computes, whatever its format: a generator of images in [0, 255]."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from esrgan_tf.errors import UserError
from esrgan_tf.models.build_targets import BuildTarget, build_for
from esrgan_tf.publish.export_formats import SIGNATURES
from esrgan_tf.weights.architecture import build, computes_the_same, recognise_model


@dataclass(frozen=True)
class Servable:
    """A generator to be published.

    Attributes:
        network: computes what the generator does, of operations that other runtimes have.
        enlarge: float32 `[B, H, W, C]` in [0, 255] to float32 `[B, scale * H, scale * W, C]`, not clipped.
        signatures: those of `SIGNATURES` by name: the same to `{"super_resolution": …}`, and uint8 to uint8, clipped
            and rounded.
    """

    network: keras.Model
    enlarge: Callable
    signatures: dict[str, Any]


def servable(model: keras.Model, tile: int | None = None) -> Servable:
    """The generator `model`, of float32 RGB in [0, 1], as it is published.

    Args:
        tile: the width and height of all images, which then come one by one; None is for any B, H, W.

    Raises:
        UserError: `model` is a discriminator.
    """
    network = _for_export(model)
    channels = model.inputs[0].shape[-1]
    shape = (None, None, None, channels) if tile is None else (1, tile, tile, channels)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="image")], autograph=False)
    def enlarge(image):
        """Float32 in [0, 255], enlarged, not clipped."""
        return 255.0 * network(image / 255.0, training=False)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="image")], autograph=False)
    def serving_default(image):
        return {"super_resolution": enlarge(image)}

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8, name="image")], autograph=False)
    def uint8(image):
        upscaled = enlarge(tf.cast(image, tf.float32))
        return {"super_resolution": tf.cast(tf.round(tf.clip_by_value(upscaled, 0.0, 255.0)), tf.uint8)}

    return Servable(network, enlarge, dict(zip(SIGNATURES, (serving_default, uint8), strict=True)))


def _for_export(model):
    """The network built anew for export; `model` itself where that computes something else, or is none of ours."""
    try:
        architecture = recognise_model(model)
    except UserError:
        return model
    if not architecture.family.is_generator:
        raise UserError(f"{architecture}; that is a discriminator, where a generator is wanted")
    with build_for(BuildTarget.EXPORT):
        network = build(architecture, {v.path: np.asarray(v) for v in model.weights})
    return network if computes_the_same(network, model) else model
