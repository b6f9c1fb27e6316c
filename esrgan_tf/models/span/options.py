"""Options of SPAN."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.models.family import GeneratorOptions, Inferred, Positive
from esrgan_tf.schema import OneOf


@dataclass(frozen=True)
class SPAN(GeneratorOptions):
    """Arguments of `span_generator`."""

    name: ClassVar[str] = "span"
    label: ClassVar[str] = "SPAN"
    origin: ClassVar[str] = "SPAN's"

    filters: Annotated[Positive, "channels of all convolutions; 48 or 52 in the authors' files"] = 48
    blocks: Annotated[Positive, "blocks of three convolutions; other programs read 6 only"] = 6
    scale: Annotated[int, "upscaling factor", OneOf(1, 2, 3, 4)] = 4
    channels: Annotated[int, Inferred] = 3
    mean: Annotated[bool, Inferred] = True

    def sizes(self) -> list[str]:
        return super().sizes() if self.mean else [*super().sizes(), "no mean colour"]

    @property
    def receptive_field(self) -> float:
        return 3 * self.blocks + 3  # 3x3 convolutions

    @property
    def peak_channels(self) -> float:
        return max(4 * self.filters, self.channels * self.scale**2)
