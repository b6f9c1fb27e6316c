"""Options of the packaged models' network."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.models.family import GeneratorOptions, Inferred, Positive
from esrgan_tf.schema import AtLeast, OneOf

NotNegative = Annotated[int, AtLeast(0)]


@dataclass(frozen=True)
class CompactResNet(GeneratorOptions):
    """Of `compact_resnet_generator`, which explains them."""

    name: ClassVar[str] = "compact_resnet"
    label: ClassVar[str] = "Compact ResNet"
    origin: ClassVar[str] = "the packaged models'"

    filters: Annotated[Positive, "channels between the blocks"] = 64
    blocks: Annotated[Positive, "of two convolutions each"] = 9
    scale: Annotated[int, "times larger", OneOf(1, 2, 3, 4, 8, 16)] = 4
    tail: Annotated[
        NotNegative, "channels at the output's size, before a last convolution there; 0: the pixel shuffle is last"
    ] = 0
    channels: Annotated[int, Inferred] = 3

    @property
    def title(self) -> str:
        return "Compact ResNet"

    def sizes(self) -> list[str]:
        return super().sizes() + ([f"{self.tail} at the output's size"] if self.tail else [])
