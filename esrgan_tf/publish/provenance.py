"""Metadata of exported files as texts by name: network, shapes, licence and source."""

from collections.abc import Sequence
from pathlib import Path

import keras

import esrgan_tf
from esrgan_tf.publish.export_formats import SIGNATURES
from esrgan_tf.weights.bundled import Bundled, bundled_models
from esrgan_tf.weights.model_names import find_by_name
from esrgan_tf.weights.torch_files import describe

_KINDS = {"serving_default": "float32 to float32, not clipped", "uint8": "uint8 to uint8, clipped and rounded"}


def facts_of(
    model: keras.Model,
    name: str,
    origin: dict[str, str] | None = None,
    tile: int | None = None,
    signatures: Sequence[str] = SIGNATURES,
) -> dict[str, str]:
    """The metadata of the generator `model`, exported as `name`.

    Args:
        model: a generator.
        name: the name in the file.
        origin: the licence and the source, such as those of `origin_of`.
        tile: the width and height of all images if the file has fixed sizes; else None.
        signatures: the file's signatures.
    """
    network, inputs, outputs = describe(model), model.inputs[0].shape[-1], model.outputs[0].shape[-1]
    scale = model(keras.ops.zeros((1, 8, 8, inputs))).shape[1] // 8
    return {
        "name": name,
        "description": f"{name}: upscales images by a factor of {scale}. {network}",
        "network": network,
        "scale": str(scale),
        "image": f"{_shape(tile, 1, inputs)}, values from 0 to 255, channels last{', RGB' if inputs == 3 else ''}",
        "super_resolution": f"{_shape(tile, scale, outputs)}, values from 0 to 255",
        "signatures": "; ".join(f"{name}: {_KINDS[name]}" for name in signatures),
        **(origin or {}),
        "made_by": f"esrgan-tf {esrgan_tf.__version__}",
    }


def _shape(tile, scale, channels):
    if tile is not None:
        return f"[1, {scale * tile}, {scale * tile}, {channels}]"
    factor = "" if scale == 1 else f"{scale} * "
    return f"[B, {factor}H, {factor}W, {channels}]"


def origin_of(model: str | Path) -> dict[str, str]:
    """The licence and the source of a model by name; for a file, only the source, which is the file's name."""
    if Path(model).exists():
        for bundled in bundled_models().values():
            if bundled.path == Path(model):
                return _origin_of_bundled(bundled)
        return {"source": Path(model).name}
    found = find_by_name(str(model))
    if isinstance(found, Bundled):
        return _origin_of_bundled(found)
    return {**({"licence": found.licence} if found.licence else {}), "source": f"{found.author}, {found.url}"}


def _origin_of_bundled(model):
    return {"licence": model.facts["licence"], "source": f"bundled with esrgan-tf, made for {model.facts['made_for']}"}
