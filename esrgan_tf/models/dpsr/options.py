"""Options of DPSR's network."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.models.family import GeneratorOptions, Positive, reach_of_stages
from esrgan_tf.schema import OneOf

STAGES = {2: (2,), 3: (3,), 4: (2, 2)}  # upscaling factor of each stage, by scale


@dataclass(frozen=True)
class DPSR(GeneratorOptions):
    """Arguments of `dpsr_generator`."""

    name: ClassVar[str] = "dpsr"
    label: ClassVar[str] = "DPSR's SRResNet+"
    origin: ClassVar[str] = "DPSR's"

    filters: Annotated[Positive, "channels between the blocks"] = 96
    blocks: Annotated[Positive, "residual blocks of two convolutions"] = 16
    scale: Annotated[int, "upscaling factor", OneOf(*STAGES)] = 4

    @property
    def channels_in_and_out(self) -> tuple[int, int]:
        """RGB and the noise level in, RGB out."""
        return 4, 3

    @property
    def receptive_field(self) -> float:
        # Convolutions: first, two per block, body, one per stage. Two more at the output's size.
        return 2 * self.blocks + 2 + reach_of_stages(STAGES[self.scale]) + 2 / self.scale

    @property
    def peak_channels(self) -> float:
        return self.filters * self.scale**2
