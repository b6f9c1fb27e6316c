"""What the page may ask this computer for: its models, and enlarging with them; and the files that it loads."""

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

MAX_PIXELS = 2**29  # of a result: 1.6 GB before it is compressed
_MAKING = threading.Lock()  # one network at a time
_PACKAGES = Path(__file__).parents[2] / "web" / "node_modules"  # of a clone, once npm has been there


class Backend:
    """Enlarges with the models of this computer, the last two of which stay loaded.

    Args:
        own: models beside those that go by name, as `load_model` takes them.
        models_dir: where downloaded models lie.
    """

    def __init__(self, own: list[str], models_dir: str | None = None):
        self._own, self._models_dir = own, models_dir
        self._upscaler = functools.lru_cache(maxsize=2)(self._loaded)

    def enlarge(self, model: str, source: Path, target: Path, progress: Progress) -> None:
        """Enlarges an image file to a PNG; `progress` is called with the pixels done and all there are.

        Raises:
            UserError: what cannot be read or enlarged; a result of more than `MAX_PIXELS`.
        """
        upscaler = self._upscaler(model)

        def checked(done, total):
            pixels = total * upscaler.scale**2
            if pixels > MAX_PIXELS:
                raise UserError(
                    f"the result would have {pixels / 1e6:,.0f} megapixels, and the page makes up to "
                    f"{MAX_PIXELS / 1e6:,.0f}; `esrgan-tf upscale` makes larger ones"
                )
            progress(done, total)

        upscale_file(source, target, upscaler, extension=".png", progress=checked)

    def models(self) -> list[dict]:
        """Records as `models.json` has them: own models, packaged ones, published ones that are here, and others."""
        folder = models_folder(self._models_dir)
        bundled: dict[str, int | None] = {name: model.scale for name, model in bundled_models().items()}
        groups: dict[str, dict[str, int | None]] = {"your own": dict.fromkeys(self._own), "bundled": bundled}
        groups["downloaded"], groups["downloaded when first used"] = {}, {}
        for model in downloadable_models().values():
            there = (folder / model.file).is_file()
            if (model.in_channels, model.out_channels) == (3, 3) and (there or not model.is_manual):
                groups["downloaded" if there else "downloaded when first used"][model.name] = model.scale
        return [
            {"kind": "computer", "label": name, "group": group, "scale": scale}
            for group, names in groups.items()
            for name, scale in names.items()
        ]

    def _loaded(self, name):
        return Upscaler(load_model(find_model(name, self._models_dir)), precision="auto")  # as `upscale`


def page_files(computing: Backend, folder: Path) -> dict[str, File]:
    """The page's files by name, those that are made, in `folder`, when they are first asked for.

    A browser's own networks are among them where LiteRT.js is, and LiteRT to check them.
    """
    files: dict[str, File] = {path.name: functools.partial(Path, path) for path in PAGE.iterdir()}
    records = computing.models()
    if (_PACKAGES / "@litertjs").is_dir() and LITERT.is_there:
        copy_runtime(_PACKAGES, folder / "runtime")
        for path in (folder / "runtime").rglob("*"):
            if path.is_file():
                files[path.relative_to(folder).as_posix()] = functools.partial(Path, path)
        (folder / "models").mkdir()
        for record in (browser := browser_models()):
            files[record["file"]] = functools.partial(_made, record, folder / record["file"])
        records = browser + records
    (folder / "models.json").write_text(json.dumps(records), encoding="utf-8")
    files["models.json"] = functools.partial(Path, folder / "models.json")
    return files


def _made(record, path):
    with _MAKING:
        if not path.exists():
            write_browser_model(record, path)
    return path
