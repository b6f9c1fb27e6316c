"""Options of the bundled models' network."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.models.family import GeneratorOptions, Inferred, Positive
from esrgan_tf.schema import AtLeast, OneOf

NotNegative = Annotated[int, AtLeast(0)]


@dataclass(frozen=True)
class CompactResNet(GeneratorOptions):
    """Arguments of `compact_resnet_generator`."""

    name: ClassVar[str] = "compact_resnet"
    label: ClassVar[str] = "Compact ResNet"
    origin: ClassVar[str] = "the bundled models'"

    filters: Annotated[Positive, "channels between the blocks"] = 64
    blocks: Annotated[Positive, "residual blocks of two convolutions"] = 9
    scale: Annotated[int, "upscaling factor", OneOf(1, 2, 3, 4, 8, 16)] = 4
    tail: Annotated[
        NotNegative,
        "channels at the output's size before a final convolution; 0 makes the pixel shuffle the last layer",
    ] = 0
    channels: Annotated[int, Inferred] = 3

    @property
    def title(self) -> str:
        return "Compact ResNet"

    def sizes(self) -> list[str]:
        return super().sizes() + ([f"{self.tail} at the output's size"] if self.tail else [])

    @property
    def receptive_field(self) -> float:
        return 2 * self.blocks + 3 + (1 / self.scale if self.tail else 0)  # 3x3 convolutions

    @property
    def peak_channels(self) -> float:
        return max(self.filters, max(self.tail, self.channels) * self.scale**2)
