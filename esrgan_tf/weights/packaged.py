"""The trained networks that travel in the package: a weights file and a card each. Imports no TensorFlow."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

DEFAULT = "photo"  # what people enlarge is noisy and compressed; docs/box has the reasons
DOUBLING = "photo-x2"  # instead of DEFAULT, where twice as large is enough
DIAL = ("faithful", "sharp")  # between which alpha blends, from 0 to 1
_FOLDER = Path(__file__).with_name("packaged")


@dataclass(frozen=True)
class Packaged:
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


def packaged_models() -> dict[str, Packaged]:
    """All of them by name."""
    models = {}
    for path in sorted(_FOLDER.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            models[path.stem] = Packaged(path.stem, path, path.with_suffix(".md"), file.metadata() or {})
    return models


def default_model(times: float | None = None) -> Packaged:
    """What enlarges when nobody names a network; None is as many times as the network will."""
    return packaged_models()[DOUBLING if times is not None and times <= 2 else DEFAULT]
