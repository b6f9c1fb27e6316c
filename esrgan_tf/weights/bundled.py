"""The trained networks that travel in the package: a weights file and a card each. Imports no TensorFlow."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

DEFAULT = "photo"  # what people enlarge is noisy and compressed; docs/bundled has the reasons
TIMES_2 = "photo-x2"  # instead of DEFAULT, where twice as large is enough
BLENDED = ("faithful", "sharp")  # between which alpha blends, from 0 to 1
_FOLDER = Path(__file__).with_name("bundled_weights")


@dataclass(frozen=True)
class Bundled:
    """A trained network in the package.

    Attributes:
        name: as `--model` takes it.
        path: its weights, `.safetensors` in float16.
        card: what it was trained on, for how long, and how well it does, in Markdown.
        facts: what its file says of itself: `architecture`, `scale`, `parameters`, `licence`, `made_for`.
    """

    name: str
    path: Path
    card: Path
    facts: dict[str, str]

    @property
    def scale(self) -> int:
        """How many times larger it makes an image."""
        return int(self.facts["scale"])


def bundled_models() -> dict[str, Bundled]:
    """All of them by name."""
    models = {}
    for path in sorted(_FOLDER.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            models[path.stem] = Bundled(path.stem, path, path.with_suffix(".md"), file.metadata() or {})
    return models


def default_model(times: float | None = None) -> Bundled:
    """What enlarges when nobody names a network; None is as many times as the network will."""
    return bundled_models()[TIMES_2 if times is not None and times <= 2 else DEFAULT]
