"""The files of a release beside the wheel: all bundled models in all formats, for three distribution sites.

    python -m esrgan_tf.publish.release release

The command writes these files:

    release/NAME.tar.gz, .tflite, .onnx, .safetensors    for a page of downloads; `hub.load` reads the .tar.gz over HTTP
    release/huggingface/NAME/                            these files, and a card with Hugging Face's front matter
    release/kaggle/NAME/                                 a folder per framework of Kaggle Models, and the card
    release/SHA256SUMS                                   the checksums of all files, for `sha256sum --check`
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml

from esrgan_tf.files import check_new
from esrgan_tf.publish.litert import export_litert
from esrgan_tf.publish.onnx import export_onnx
from esrgan_tf.publish.provenance import facts_of, origin_of
from esrgan_tf.publish.serving import archive, export_saved_model
from esrgan_tf.weights.bundled import Bundled, bundled_models
from esrgan_tf.weights.loading import load_generator

TILE = 128  # width and height of images in the file for phones and browsers, which need fixed sizes
_TAGS = ["super-resolution", "image-upscaling", "esrgan", "tensorflow", "keras", "litert", "onnx"]
_FILES = """
## Files

| | |
| --- | --- |
| `{name}.safetensors` | the weights, for `esrgan-tf` (`--model {name}.safetensors`) and PyTorch programs |
| `{name}.tar.gz` | a SavedModel, for `hub.load` and TensorFlow Serving |
| `{name}.tflite` | LiteRT, images of any size, both signatures |
| `{name}_{tile}.tflite` | LiteRT, images of {tile}x{tile} pixels, 8-bit weights, for phones and browsers |
| `{name}.onnx` | ONNX |

SavedModel, LiteRT and ONNX map `image`, `[B, H, W, 3]` from 0 to 255, to `super_resolution`,
`[B, {scale} * H, {scale} * W, 3]`.
"""


def build_release(
    folder: str | Path, names: Iterable[str] | None = None, say: Callable[[str], None] = lambda line: None
) -> None:
    """Writes the release of bundled models, and the checksums of all files in `folder`.

    Args:
        folder: the output folder, which may exist.
        names: the models' names; None is all bundled models.
        say: is called with a line per model.

    Raises:
        UserError: a file exists, or a runtime that checks the files is not installed.
    """
    folder = Path(folder)
    for name in bundled_models() if names is None else names:
        say(f"{name}: SavedModel, LiteRT, ONNX")
        _write_model(bundled_models()[name], folder)
    sums = folder / "SHA256SUMS"
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != sums)
    sums.write_text(
        "".join(f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files), encoding="utf-8"
    )


def _write_model(bundled: Bundled, folder: Path) -> None:
    name, model = bundled.name, load_generator(bundled.path)
    origin = origin_of(name)
    facts = facts_of(model, name, origin)
    files = [
        folder / f"{name}{extension}"
        for extension in (".safetensors", ".tar.gz", ".tflite", f"_{TILE}.tflite", ".onnx")
    ]
    weights, packed, any_size, one_size, onnx = files
    huggingface, kaggle = folder / "huggingface" / name, folder / "kaggle" / name
    for path in (*files, huggingface, kaggle):
        check_new(path)
    kaggle.mkdir(parents=True)
    huggingface.mkdir(parents=True)

    shutil.copyfile(bundled.path, weights)
    export_saved_model(model, kaggle / "tensorFlow2")
    archive(kaggle / "tensorFlow2", packed)
    export_litert(model, any_size, facts=facts)
    export_litert(model, one_size, "dynamic", TILE, facts_of(model, name, origin, TILE))
    export_onnx(model, onnx, facts=facts_of(model, name, origin, signatures=("serving_default",)))

    card = bundled.card.read_text(encoding="utf-8") + _FILES.format(name=name, tile=TILE, scale=bundled.scale)
    for path in files:
        shutil.copyfile(path, huggingface / path.name)
    (huggingface / "README.md").write_text(
        f"---\n{yaml.safe_dump(_front_matter(bundled), sort_keys=False)}---\n\n{card}", encoding="utf-8"
    )
    for framework, contents in (("tfLite", (any_size, one_size)), ("other", (weights, onnx))):
        (kaggle / framework).mkdir()
        for path in contents:
            shutil.copyfile(path, kaggle / framework / path.name)
    purpose = bundled.facts["made_for"].partition(":")[0]
    metadata = {
        "ownerSlug": "INSERT_OWNER_SLUG_HERE",  # Kaggle's placeholder for the owner's name
        "title": f"esrgan_tf {name}",
        "slug": f"esrgan-tf-{name}",
        "subtitle": f"Upscales images by {bundled.scale}; for {purpose}",  # 80 characters at most
        "isPrivate": True,
        "description": card,
        "publishTime": "",
        "provenanceSources": "",
    }
    (kaggle / "model-metadata.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")


def _front_matter(bundled):
    return {
        "license": bundled.facts["licence"].lower(),
        "pipeline_tag": "image-to-image",
        "tags": _TAGS,
    }


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    build_release(sys.argv[1], say=print)
