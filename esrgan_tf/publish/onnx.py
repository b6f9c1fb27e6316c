"""A generator as an ONNX file, for everybody else's runtime."""

from collections.abc import Mapping
from pathlib import Path

import keras

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.files import check_absent, replacing
from esrgan_tf.publish.export_formats import ONNX, SIGNATURES
from esrgan_tf.publish.signatures import servable
from esrgan_tf.publish.verification import Run, fidelity, verify_signatures

OPSET = 18  # of December 2022, which every runtime of today has


def export_onnx(
    model: keras.Model,
    path: str | Path,
    signature: str = "serving_default",
    tile: int | None = None,
    facts: Mapping[str, str] | None = None,
) -> float:
    """Writes `model` as an ONNX file, runs it in ONNX Runtime, compares it, and only then puts it at `path`.

    It maps `image` to `super_resolution`, channels last, as the SavedModel does. A file holds one signature.

    Args:
        model: a generator of float32 RGB in [0, 1].
        signature: `serving_default`, float32 in [0, 255] to float32, not clipped; or `uint8`, pixels to pixels.
        tile: the width and height of all images, which then come one by one; None is for any B, H, W.
        facts: what the file says of itself beside its description: name, licence, source …

    Returns:
        The PSNR, in dB, of what the file makes of a photo to what `model` makes of it.

    Raises:
        UserError: `path` exists, the model cannot be converted, or
            what is needed is not installed (`pip install 'esrgan-tf[onnx]'`).
        RuntimeError: what was written does not compute what `model` computes; nothing is left at `path`.
    """
    path = Path(path)
    if signature not in SIGNATURES:
        raise UserError(f"signature {signature!r}: must be one of {', '.join(SIGNATURES)}")
    check_absent(path)
    modules = ONNX.load(path)
    published = servable(model, tile)
    function = published.signatures[signature]
    try:
        content, _ = modules["tf2onnx"].convert.from_function(
            function, input_signature=function.input_signature, opset=OPSET
        )
    except Exception as error:  # it raises whatever an operation without a counterpart leads to
        if published.network is not model:  # of ours, this is our mistake
            raise
        raise UserError(f"{model.name} has operations that ONNX lacks: {first_line(error)}") from error
    facts = dict(facts or {})
    content.doc_string = facts.get("description", "")
    content.producer_name = "esrgan_tf"
    modules["onnx"].helper.set_model_props(content, facts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as staging:
        modules["onnx"].save_model(content, str(staging))
        run = run_onnx(staging)
        verify_signatures(model, run, [signature], tile)
        return fidelity(model, run, tile, signature)


def run_onnx(path: str | Path) -> Run:
    """The file: the name of its signature and an image `[B, H, W, C]` to its enlargement, in ONNX Runtime.

    Raises:
        UserError: what is needed is not installed.
    """
    session = ONNX.load(path)["onnxruntime"].InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda name, image: session.run(["super_resolution"], {"image": image})[0]
