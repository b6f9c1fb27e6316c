"""Options of RRDBNet."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.models.family import GeneratorOptions, Inferred, Positive
from esrgan_tf.schema import OneOf

SCALES = (1, 2, 4, 8, 16)
UNSHUFFLES = (1, 2, 4)


@dataclass(frozen=True)
class RRDB(GeneratorOptions):
    """Arguments of `rrdb_generator`."""

    name: ClassVar[str] = "rrdb"
    label: ClassVar[str] = "RRDBNet"
    origin: ClassVar[str] = "ESRGAN's"

    filters: Annotated[Positive, "channels between the blocks"] = 64
    growth: Annotated[Positive, "channels that each convolution of a dense block adds"] = 32
    blocks: Annotated[Positive, "RRDBs of three residual dense blocks"] = 23
    scale: Annotated[int, "upscaling factor", OneOf(*SCALES)] = 4
    unshuffle: Annotated[
        int | None,
        "pixel unshuffle of the input",
        OneOf(None, *UNSHUFFLES),
        "null is Real-ESRGAN's, 4 / scale",
    ] = None
    plus: Annotated[bool, "ESRGAN+ (arXiv 2001.08073): residuals inside the dense blocks"] = False
    in_channels: Annotated[int, Inferred] = 3
    out_channels: Annotated[int, Inferred] = 3

    def __post_init__(self):
        if self.unshuffle == usual_unshuffle(self.scale):  # so that equal networks compare equal
            object.__setattr__(self, "unshuffle", None)

    @property
    def title(self) -> str:
        return "RRDBNet of ESRGAN+" if self.plus else "RRDBNet"

    @property
    def channels_in_and_out(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels

    @property
    def size_multiple(self) -> int:
        return self.unshuffle or usual_unshuffle(self.scale)

    @property
    def receptive_field(self) -> float:
        # Convolutions after the unshuffle: first, 15 per block, body, one per doubling. Two more at the output's size.
        doublings = int(math.log2(self.scale * self.size_multiple))
        body = 2 + 15 * self.blocks + sum(0.5**n for n in range(1, 1 + doublings))
        return self.size_multiple * body + 2 / self.scale

    @property
    def peak_channels(self) -> float:
        dense = (self.filters + 4 * self.growth) / self.size_multiple**2
        return max(dense, self.filters * self.scale**2)

    def sizes(self) -> list[str]:
        return [*super().sizes(), f"growth {self.growth}"]


def usual_unshuffle(scale: int) -> int:
    """Real-ESRGAN's rule: all scales up to 4 compute at a quarter of the output's size."""
    return max(1, 4 // scale)
