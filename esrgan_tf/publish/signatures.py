"""The functions that all export formats share: a generator for images in [0, 255]."""

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
    """A generator for export.

    Attributes:
        network: an equivalent network of operations that other runtimes support.
        enlarge: float32 `[B, H, W, C]` in [0, 255] to float32 `[B, scale * H, scale * W, C]`, not clipped.
        signatures: functions by the names of `SIGNATURES`, which return `{"super_resolution": …}`. `serving_default`
            computes `enlarge`; `uint8` maps uint8 to uint8, clipped and rounded.
    """

    network: keras.Model
    enlarge: Callable
    signatures: dict[str, Any]


def servable(model: keras.Model, tile: int | None = None) -> Servable:
    """Builds the export functions of a generator.

    Args:
        model: a generator of float32 RGB in [0, 1].
        tile: the width and height of all images, one image per call; None is for any B, H, W.

    Raises:
        UserError: `model` is a discriminator.
    """
    network = _build_for_export(model)
    channels = model.inputs[0].shape[-1]
    shape = (None, None, None, channels) if tile is None else (1, tile, tile, channels)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="image")], autograph=False)
    def enlarge(image):
        """Upscales float32 in [0, 255]; the result is not clipped."""
        return 255.0 * network(image / 255.0, training=False)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="image")], autograph=False)
    def serving_default(image):
        return {"super_resolution": enlarge(image)}

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8, name="image")], autograph=False)
    def uint8(image):
        upscaled = enlarge(tf.cast(image, tf.float32))
        return {"super_resolution": tf.cast(tf.round(tf.clip_by_value(upscaled, 0.0, 255.0)), tf.uint8)}

    return Servable(network, enlarge, dict(zip(SIGNATURES, (serving_default, uint8), strict=True)))


def _build_for_export(model):
    """The network rebuilt for export; `model` itself if its architecture is unknown or the rebuilt network differs."""
    try:
        architecture = recognise_model(model)
    except UserError:
        return model
    if not architecture.family.is_generator:
        raise UserError(f"{architecture} is a discriminator; expected a generator")
    with build_for(BuildTarget.EXPORT):
        network = build(architecture, {v.path: np.asarray(v) for v in model.weights})
    return network if computes_the_same(network, model) else model
