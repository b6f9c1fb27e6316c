"""The bundled models: trained networks in the package, each a weights file and a card. Imports no TensorFlow."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

DEFAULT = "photo"  # users' images are mostly noisy and compressed; docs/bundled has the reasons
TIMES_2 = "photo-x2"  # replaces DEFAULT if ×2 is enough
BLENDED = ("faithful", "sharp")  # the models at alpha 0 and 1
_FOLDER = Path(__file__).with_name("bundled_weights")


@dataclass(frozen=True)
class Bundled:
    """A bundled model.

    Attributes:
        name: the value of `--model`.
        path: the weights file, `.safetensors` in float16.
        card: the model card in Markdown, with training data, duration and metrics.
        facts: the metadata of the weights file: `architecture`, `scale`, `parameters`, `licence`, `made_for`.
    """

    name: str
    path: Path
    card: Path
    facts: dict[str, str]

    @property
    def scale(self) -> int:
        """The upscaling factor."""
        return int(self.facts["scale"])


def bundled_models() -> dict[str, Bundled]:
    """All bundled models by name."""
    models = {}
    for path in sorted(_FOLDER.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            models[path.stem] = Bundled(path.stem, path, path.with_suffix(".md"), file.metadata() or {})
    return models


def default_model(times: float | None = None) -> Bundled:
    """The model that upscales by default; `times` is the wanted factor, or None for the model's own scale."""
    return bundled_models()[TIMES_2 if times is not None and times <= 2 else DEFAULT]
