"""The page's backend on the serving computer: upscaling, the list of models, and the page's files."""

import functools
import json
import threading
from pathlib import Path

from esrgan_tf.errors import UserError
from esrgan_tf.inference.image_files import upscale_file
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.publish.export_formats import LITERT
from esrgan_tf.runs.loading import load_model
from esrgan_tf.web.browser_page import PAGE, browser_models, copy_runtime, write_browser_model
from esrgan_tf.web.jobs import Progress
from esrgan_tf.web.server import File
from esrgan_tf.weights.bundled import bundled_models
from esrgan_tf.weights.downloadable import downloadable_models, models_folder
from esrgan_tf.weights.model_names import find_model

MAX_PIXELS = 2**29  # of a result: 1.6 GB without compression
_EXPORT_LOCK = threading.Lock()  # one export at a time
_PACKAGES = Path(__file__).parents[2] / "web" / "node_modules"  # exists in a clone after npm ci


class Backend:
    """Upscales with the models of this computer and keeps the two models used last in memory.

    Args:
        own: further models, in the forms that `load_model` accepts.
        models_dir: the folder of downloaded models.
    """

    def __init__(self, own: list[str], models_dir: str | None = None):
        self._own, self._models_dir = own, models_dir
        self._upscaler = functools.lru_cache(maxsize=2)(self._load_upscaler)

    def enlarge(self, model: str, source: Path, target: Path, progress: Progress) -> None:
        """Upscales an image file to a PNG file.

        Args:
            model: the model's name.
            source: the image file.
            target: the PNG file.
            progress: is called with the number of finished input pixels and the number of all input pixels.

        Raises:
            UserError: the image or the model cannot be read, or the result would have more than `MAX_PIXELS` pixels.
        """
        upscaler = self._upscaler(model)

        def check_size(done, total):
            pixels = total * upscaler.scale**2
            if pixels > MAX_PIXELS:
                raise UserError(
                    f"the result would have {pixels / 1e6:,.0f} megapixels, and the page's limit is "
                    f"{MAX_PIXELS / 1e6:,.0f}; use `esrgan-tf upscale`"
                )
            progress(done, total)

        upscale_file(source, target, upscaler, extension=".png", progress=check_size)

    def models(self) -> list[dict]:
        """The records of `models.json`: own models, bundled models, downloaded models and downloadable models."""
        folder = models_folder(self._models_dir)
        bundled: dict[str, int | None] = {name: model.scale for name, model in bundled_models().items()}
        groups: dict[str, dict[str, int | None]] = {"your own": dict.fromkeys(self._own), "bundled": bundled}
        groups["downloaded"], groups["downloaded at first use"] = {}, {}
        for model in downloadable_models().values():
            is_downloaded = (folder / model.file).is_file()
            if (model.in_channels, model.out_channels) == (3, 3) and (is_downloaded or not model.is_manual):
                groups["downloaded" if is_downloaded else "downloaded at first use"][model.name] = model.scale
        return [
            {"kind": "computer", "label": name, "group": group, "scale": scale}
            for group, names in groups.items()
            for name, scale in names.items()
        ]

    def _load_upscaler(self, name):
        # The default precision of `esrgan-tf upscale`.
        return Upscaler(load_model(find_model(name, self._models_dir)), precision="auto")


def page_files(backend: Backend, folder: Path) -> dict[str, File]:
    """The page's files by name.

    The files include the browser's models if LiteRT.js and LiteRT, which checks exported models, are installed.

    Args:
        backend: lists the models of this computer.
        folder: a folder for generated files, which are written at their first request.
    """
    files: dict[str, File] = {path.name: functools.partial(Path, path) for path in PAGE.iterdir()}
    records = backend.models()
    if (_PACKAGES / "@litertjs").is_dir() and LITERT.is_there:
        copy_runtime(_PACKAGES, folder / "runtime")
        for path in (folder / "runtime").rglob("*"):
            if path.is_file():
                files[path.relative_to(folder).as_posix()] = functools.partial(Path, path)
        (folder / "models").mkdir()
        for record in (browser := browser_models()):
            files[record["file"]] = functools.partial(_export_once, record, folder / record["file"])
        records = browser + records
    (folder / "models.json").write_text(json.dumps(records), encoding="utf-8")
    files["models.json"] = functools.partial(Path, folder / "models.json")
    return files


def _export_once(record, path):
    with _EXPORT_LOCK:
        if not path.exists():
            write_browser_model(record, path)
    return path
