"""Options of RRDBNet."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.models.family import GeneratorOptions, Inferred, Positive
from esrgan_tf.schema import OneOf

SCALES = (1, 2, 4, 8, 16)
UNSHUFFLES = (1, 2, 4)


@dataclass(frozen=True)
class RRDB(GeneratorOptions):
    """Of `rrdb_generator`, which explains them."""

    name: ClassVar[str] = "rrdb"
    label: ClassVar[str] = "RRDBNet"
    origin: ClassVar[str] = "ESRGAN's"

    filters: Annotated[Positive, "channels between the blocks"] = 64
    growth: Annotated[Positive, "channels that each convolution of a dense block adds"] = 32
    blocks: Annotated[Positive, "of three residual dense blocks each"] = 23
    scale: Annotated[int, "times larger", OneOf(*SCALES)] = 4
    unshuffle: Annotated[
        int | None,
        OneOf(None, *UNSHUFFLES),
        "packs 2x2 or 4x4 input pixels into channels; null: Real-ESRGAN's, 4 / scale",
    ] = None
    plus: Annotated[bool, "ESRGAN+ (arXiv 2001.08073): residuals inside the dense blocks"] = False
    in_channels: Annotated[int, Inferred] = 3
    out_channels: Annotated[int, Inferred] = 3

    def __post_init__(self):
        if self.unshuffle == usual_unshuffle(self.scale):  # said in one way only, so that equal networks are equal
            object.__setattr__(self, "unshuffle", None)

    @property
    def title(self) -> str:
        return "RRDBNet of ESRGAN+" if self.plus else "RRDBNet"

    @property
    def channels_in_and_out(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels

    @property
    def packing(self) -> int:
        return self.unshuffle or usual_unshuffle(self.scale)

    def sizes(self) -> list[str]:
        return [*super().sizes(), f"growth {self.growth}"]


def usual_unshuffle(scale: int) -> int:
    """Real-ESRGAN's rule: small scales work at a quarter of the output's size, like the others."""
    return max(1, 4 // scale)
