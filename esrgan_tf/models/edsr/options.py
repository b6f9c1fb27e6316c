"""Options of EDSR."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.models.family import GeneratorOptions, Inferred, Positive, reach_of_stages
from esrgan_tf.schema import OneOf

STAGES = {2: (2,), 3: (3,), 4: (2, 2)}  # upscaling factor of each stage, by scale
SCALES = tuple(STAGES)


@dataclass(frozen=True)
class EDSR(GeneratorOptions):
    """Arguments of `edsr_generator`.

    Options that weights do not show are not keys, so that weights identify every network of a configuration.
    """

    name: ClassVar[str] = "edsr"
    label: ClassVar[str] = "EDSR"
    origin: ClassVar[str] = "EDSR's"

    filters: Annotated[Positive, "channels between the blocks; 256 sets the residual scale to 0.1"] = 64
    blocks: Annotated[Positive, "residual blocks of two convolutions"] = 16
    scale: Annotated[int, "upscaling factor", OneOf(*SCALES)] = 4
    mean: Annotated[bool, Inferred] = True

    @property
    def residual_scale(self) -> float:
        """The paper's values. The network with 256 filters does not train with a residual scale of 1."""
        return 0.1 if self.filters == 256 else 1.0

    @property
    def arguments(self) -> dict:
        return {**super().arguments, "residual_scale": self.residual_scale}

    def sizes(self) -> list[str]:
        mean = "" if self.mean else ", no mean colour"
        return [*super().sizes(), f"residual scale {self.residual_scale:g}{mean}"]

    @property
    def receptive_field(self) -> float:
        # Convolutions: first, two per block, body, one per stage. The last is at the output's size.
        return 2 * self.blocks + 2 + reach_of_stages(STAGES[self.scale]) + 1 / self.scale

    @property
    def peak_channels(self) -> float:
        return self.filters * self.scale**2
