"""The page as static files for any web server: the page, LiteRT.js and bundled models.

    python -m esrgan_tf.web.browser_page site/try web/node_modules

`web/package.json` has the version of LiteRT.js; `npm ci --prefix web` installs it in `web/node_modules`.
"""

import hashlib
import json
import math
import shutil
import sys
from pathlib import Path

from esrgan_tf.errors import UserError
from esrgan_tf.files import check_new, replacing
from esrgan_tf.inference.network_facts import network_facts
from esrgan_tf.publish.litert import export_litert
from esrgan_tf.publish.provenance import facts_of, origin_of
from esrgan_tf.weights.bundled import DEFAULT, TIMES_2, bundled_models
from esrgan_tf.weights.loading import load_blend, load_generator

PAGE = Path(__file__).with_name("page")
TILE = 192  # pixels per side: overlaps waste most of smaller tiles, and larger tiles delay the progress display
BLENDED = {0.0: "faithful", 0.5: "half way", 1.0: "sharp"}
_RUNTIME = {  # path in node_modules: path in the page's folder runtime
    "@litertjs/core/dist/index.js": "core.js",
    "@litertjs/wasm-utils/dist/index.js": "wasm-utils.js",
    **{
        f"@litertjs/core/wasm/litert_wasm{kind}_internal.{extension}": f"wasm/litert_wasm{kind}_internal.{extension}"
        for kind in ("", "_threaded", "_compat")
        for extension in ("js", "wasm")
    },
}


def build_site(folder: str | Path, packages: str | Path) -> None:
    """Writes the page and all files that it loads into `folder`.

    Args:
        folder: the new folder.
        packages: npm's folder `node_modules`, with `@litertjs/core`.

    Raises:
        UserError: `folder` exists, or LiteRT.js is not in `packages`.
    """
    folder, packages = Path(folder), Path(packages)
    check_new(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing(folder) as staging:
        shutil.copytree(PAGE, staging)
        copy_runtime(packages, staging / "runtime")
        (staging / "models").mkdir()
        records = browser_models()
        for record in records:
            write_browser_model(record, staging / record["file"])
        (staging / "models.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        worker = staging / "offline.js"
        worker.write_text(worker.read_text(encoding="utf-8").replace("VERSION", _version(staging)), encoding="utf-8")


def browser_models() -> list[dict]:
    """The models for inference in the browser, as records of `models.json`."""
    records: list[dict] = [
        {"kind": "photo", "file": f"models/{name}.tflite", "label": name} for name in (DEFAULT, TIMES_2)
    ]
    for alpha, label in BLENDED.items():
        records.append({"kind": "clean", "alpha": alpha, "file": f"models/clean_{alpha:g}.tflite", "label": label})
    for record in records:
        network = _load_network(record)
        record["scale"] = bundled_models()[_bundled_name(record)].scale
        record["tile"], record["overlap"] = TILE, math.ceil(min(network_facts(network).receptive_field, TILE // 3))
    return records


def write_browser_model(record: dict, path: Path) -> None:
    """Writes the LiteRT file for a record of `browser_models`."""
    origin = origin_of(_bundled_name(record))
    if record["kind"] == "clean":
        parts = f"{1 - record['alpha']:g} faithful, {record['alpha']:g} sharp"
        origin = {**origin, "source": f"bundled with esrgan-tf, {parts}"}
    model = _load_network(record)
    export_litert(model, path, "float16", record["tile"], facts_of(model, path.stem, origin, record["tile"]))


def _bundled_name(record):
    """The name of the record's bundled model, or of a blend's first model."""
    return record["label"] if record["kind"] == "photo" else "faithful"


def _load_network(record):
    return load_generator(record["label"]) if record["kind"] == "photo" else load_blend(record["alpha"])


def _version(folder):
    """A hash of the names and contents of all files in the folder."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()[:16]


def copy_runtime(packages: Path, folder: Path) -> None:
    """Copies the files of LiteRT.js that a browser loads.

    Raises:
        UserError: LiteRT.js is not in `packages`.
    """
    for source, target in _RUNTIME.items():
        if not (packages / source).is_file():
            raise UserError(f"no {packages / source}; first run npm ci --prefix web")
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(packages / source, folder / target)
    core = folder / "core.js"  # a browser's worker resolves only URLs, not names of packages
    core.write_text(
        core.read_text(encoding="utf-8").replace('"@litertjs/wasm-utils"', '"./wasm-utils.js"'), encoding="utf-8"
    )


if __name__ == "__main__":
    try:
        build_site(sys.argv[1], sys.argv[2])
    except UserError as error:
        sys.exit(f"esrgan-tf: {error}")
