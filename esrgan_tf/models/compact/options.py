"""Options of Real-ESRGAN's compact network."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.models.family import GeneratorOptions, Inferred, Positive
from esrgan_tf.schema import OneOf


@dataclass(frozen=True)
class Compact(GeneratorOptions):
    """Of `compact_generator`, which explains them."""

    name: ClassVar[str] = "compact"
    known_as: ClassVar[str] = "SRVGGNetCompact"

    filters: Positive = 64
    blocks: Positive = 16
    scale: Annotated[int, OneOf(1, 2, 3, 4, 8, 16)] = 4
    channels: Annotated[int, Inferred] = 3
