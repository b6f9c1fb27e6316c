"""Export of a generator as an ONNX file, for runtimes such as ONNX Runtime and OpenVINO."""

from collections.abc import Mapping
from pathlib import Path

import keras

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.files import check_absent, replacing
from esrgan_tf.publish.export_formats import ONNX, SIGNATURES
from esrgan_tf.publish.signatures import servable
from esrgan_tf.publish.verification import Run, fidelity, verify_signatures

OPSET = 18  # of December 2022, supported by all current runtimes


def export_onnx(
    model: keras.Model,
    path: str | Path,
    signature: str = "serving_default",
    tile: int | None = None,
    facts: Mapping[str, str] | None = None,
) -> float:
    """Writes `model` as an ONNX file at `path`, after a comparison of the file's results with the model's.

    The file maps `image`, `[B, H, W, 3]` (or the model's number of channels), to `super_resolution`,
    `[B, scale * H, scale * W, 3]`, channels last. A file holds one signature.

    Args:
        model: a generator of float32 RGB in [0, 1].
        signature: `serving_default`, float32 in [0, 255] to float32, not clipped; or `uint8`, uint8 pixels to uint8
            pixels, clipped and rounded.
        tile: the width and height of all images, one image per call; None is for any sizes.
        facts: the file's metadata, such as description, name, licence and source.

    Returns:
        The PSNR in dB between the file's result and the model's result of a photo.

    Raises:
        UserError: `path` exists, the model cannot be converted, or a package is missing
            (`pip install 'esrgan-tf[onnx]'`).
        RuntimeError: the file's results differ from the model's; nothing is left at `path`.
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
    except Exception as error:  # unsupported operations raise various exceptions
        if published.network is not model:  # a network of this package must be convertible
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
    """A function that runs the file in ONNX Runtime: the signature's name and an image `[B, H, W, C]` to the upscaled
    image.

    Raises:
        UserError: a package is missing; the message has the command that installs it.
    """
    session = ONNX.load(path)["onnxruntime"].InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda name, image: session.run(["super_resolution"], {"image": image})[0]
