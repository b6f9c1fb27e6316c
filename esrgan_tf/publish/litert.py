"""Export of a generator as a LiteRT file (`.tflite`), for phones and for programs without TensorFlow."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.files import check_absent, replacing
from esrgan_tf.publish.export_formats import LITERT, SIGNATURES, WEIGHTS
from esrgan_tf.publish.serving import write_saved_model
from esrgan_tf.publish.signatures import servable
from esrgan_tf.publish.verification import Run, fidelity, verify_rounded, verify_signatures

METADATA = "esrgan_tf"  # the name of the metadata entry that holds `facts` as JSON


def export_litert(
    model: keras.Model,
    path: str | Path,
    weights: str = "float32",
    tile: int | None = None,
    facts: Mapping[str, str] | None = None,
) -> float:
    """Writes `model` as a LiteRT file at `path`, after a comparison of the file's results with the model's.

    The file has the signatures of the SavedModel, for any number and size of images:

    - `serving_default`: `image`, float32 `[B, H, W, 3]` (or the model's number of channels) in [0, 255], to
      `super_resolution`, float32 `[B, scale * H, scale * W, 3]`, not clipped;
    - `uint8`: uint8 pixels to uint8 pixels, clipped and rounded.

    Args:
        model: a generator of float32 RGB in [0, 1].
        weights: the stored type. `float16` halves the file's size and computes in float32. `dynamic` stores and
            multiplies 8-bit integers, a quarter of the size; it is faster and changes the result.
        tile: the width and height of all images, one image per call, for runtimes with fixed sizes; None is for any
            sizes.
        facts: the file's metadata, such as description, name, licence and source.

    Returns:
        The PSNR in dB between the file's result and the model's result of a photo.

    Raises:
        UserError: `path` exists, the model cannot be converted, or LiteRT is not installed
            (`pip install 'esrgan-tf[litert]'`).
        RuntimeError: the file's results differ from the model's; nothing is left at `path`.
    """
    path = Path(path)
    if weights not in WEIGHTS:
        raise UserError(f"weights {weights!r}: must be one of {', '.join(WEIGHTS)}")
    check_absent(path)
    LITERT.check(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as staging:
        staging.write_bytes(_add_metadata(_convert(model, weights, tile), dict(facts or {})))
        run = run_litert(staging)
        if weights == "float32":
            verify_signatures(model, run, SIGNATURES, tile)
        else:
            verify_rounded(model, run, tile)
        return fidelity(model, run, tile)


def run_litert(path: str | Path) -> Run:
    """A function that runs the file in LiteRT: a signature's name and an image `[B, H, W, C]` to the upscaled image.

    Raises:
        UserError: LiteRT is not installed.
    """
    interpreter = LITERT.load(path)["ai_edge_litert.interpreter"].Interpreter(str(path))
    interpreter.allocate_tensors()
    runners = {name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()}
    return lambda name, image: np.array(runners[name](image=image)["super_resolution"])


def read_facts(path: str | Path) -> dict[str, str]:
    """The metadata of a file that `export_litert` wrote; empty for other LiteRT files."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    for entry in model.metadata or []:
        if entry.name == METADATA.encode():
            return json.loads(bytes(model.buffers[entry.buffer].data))
    return {}


def _convert(model, weights, tile):
    published = servable(model, tile)
    with tempfile.TemporaryDirectory() as folder:  # the converter reads signatures only from a SavedModel
        write_saved_model(published, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(SIGNATURES))
        if weights != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if weights == "float16":
            converter.target_spec.supported_types = [tf.float16]
        try:
            return converter.convert()
        except Exception as error:  # the converter's exception classes are private
            if published.network is not model:  # a network of this package must be convertible
                raise
            raise UserError(f"{model.name} has operations that LiteRT lacks: {first_line(error)}") from error


def _add_metadata(content, facts):
    """The file's content with a description and a metadata entry."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(content)
    model.description = facts.get("description", "")
    buffer = schema.BufferT()
    buffer.data = list(json.dumps(facts).encode())
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
