"""Options of RCAN."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.errors import UserError
from esrgan_tf.models.family import GeneratorOptions, Inferred, Positive, reach_of_stages
from esrgan_tf.schema import OneOf

# Upscaling factor of each stage, by scale.
STAGES: dict[int, tuple[int, ...]] = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}


@dataclass(frozen=True)
class RCAN(GeneratorOptions):
    """Arguments of `rcan_generator`."""

    name: ClassVar[str] = "rcan"
    label: ClassVar[str] = "RCAN"
    origin: ClassVar[str] = "RCAN's"

    filters: Annotated[Positive, "channels between the blocks"] = 64
    groups: Annotated[Positive, "residual groups"] = 10
    blocks: Annotated[Positive, "blocks per group, of two convolutions and a channel attention"] = 20
    reduction: Annotated[Positive, "factor by which the attention reduces the channels"] = 16
    scale: Annotated[int, "upscaling factor", OneOf(*STAGES)] = 4
    channels: Annotated[int, Inferred] = 3
    mean: Annotated[bool, Inferred] = True
    unshuffle: Annotated[int, Inferred] = 1

    @property
    def size_multiple(self) -> int:
        return self.unshuffle

    @property
    def receptive_field(self) -> float:
        # Convolutions after the unshuffle: first, two per block, one per group, body, one per stage. Then the last.
        body = 2 + self.groups * (2 * self.blocks + 1)
        upsampling = reach_of_stages(STAGES[self.scale * self.unshuffle])
        return self.unshuffle * (body + upsampling) + 1 / self.scale

    @property
    def has_global_pooling(self) -> bool:
        return True  # in the channel attention

    @property
    def peak_channels(self) -> float:
        return self.filters * max(self.scale**2, 1 / self.unshuffle**2)

    def sizes(self) -> list[str]:
        parts = [f"{self.filters} filters, {self.groups} groups of {self.blocks} blocks, reduction {self.reduction}"]
        return parts if self.mean else [*parts, "no mean colour"]

    def check(self) -> None:
        if self.reduction > self.filters:
            raise UserError(
                f"generator.reduction: {self.reduction} leaves no channel of generator.filters {self.filters}"
            )
