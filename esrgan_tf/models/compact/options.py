"""Options of Real-ESRGAN's compact network."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.models.family import GeneratorOptions, Inferred, Positive
from esrgan_tf.schema import OneOf


@dataclass(frozen=True)
class Compact(GeneratorOptions):
    """Arguments of `compact_generator`."""

    name: ClassVar[str] = "compact"
    label: ClassVar[str] = "SRVGGNetCompact"
    origin: ClassVar[str] = "Real-ESRGAN's"

    filters: Annotated[Positive, "channels between the convolutions"] = 64
    blocks: Annotated[Positive, "convolutions between the first and the last; 16 or 32 in Real-ESRGAN's files"] = 16
    scale: Annotated[int, "upscaling factor", OneOf(1, 2, 3, 4, 8, 16)] = 4
    channels: Annotated[int, Inferred] = 3

    @property
    def receptive_field(self) -> float:
        return self.blocks + 2  # 3x3 convolutions

    @property
    def peak_channels(self) -> float:
        return max(self.filters, self.channels * self.scale**2)
