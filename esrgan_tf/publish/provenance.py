"""What a published file says of itself: facts by name, all of them words."""

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
    """The facts of the generator `model`, published as `name`.

    Args:
        origin: its licence and source, as `origin_of` tells them, or others.
        tile: the width and height of all images, where the file takes no other.
        signatures: those that the file has.
    """
    network, taken, made = describe(model), model.inputs[0].shape[-1], model.outputs[0].shape[-1]
    scale = model(keras.ops.zeros((1, 8, 8, taken))).shape[1] // 8
    return {
        "name": name,
        "description": f"{name}: enlarges images {scale} times. {network}",
        "network": network,
        "scale": str(scale),
        "image": f"{_shape(tile, 1, taken)}, values from 0 to 255, channels last{', RGB' if taken == 3 else ''}",
        "super_resolution": f"{_shape(tile, scale, made)}, values from 0 to 255",
        "signatures": "; ".join(f"{name}: {_KINDS[name]}" for name in signatures),
        **(origin or {}),
        "made_by": f"esrgan-tf {esrgan_tf.__version__}",
    }


def _shape(tile, scale, channels):
    if tile is not None:
        return f"[1, {scale * tile}, {scale * tile}, {channels}]"
    times = "" if scale == 1 else f"{scale} * "
    return f"[B, {times}H, {times}W, {channels}]"


def origin_of(model: str | Path) -> dict[str, str]:
    """Licence and source of what `--model` was given, as far as they are known. Of a file, its name is the source."""
    if Path(model).exists():
        for bundled in bundled_models().values():
            if bundled.path == Path(model):
                return _of_bundled(bundled)
        return {"source": Path(model).name}
    found = find_by_name(str(model))
    if isinstance(found, Bundled):
        return _of_bundled(found)
    return {**({"licence": found.licence} if found.licence else {}), "source": f"{found.author}, {found.url}"}


def _of_bundled(model):
    return {"licence": model.facts["licence"], "source": f"packaged with esrgan-tf, made for {model.facts['made_for']}"}
