"""Options of SRResNet and MSRResNet."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.errors import UserError
from esrgan_tf.models.family import GeneratorOptions, Inferred, Positive, reach_of_stages
from esrgan_tf.schema import OneOf

STAGES = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}  # upscaling factor of each stage, by scale
SCALES = (2, 4, 8)
SCALES_WITHOUT_BATCH_NORM = (2, 3, 4)


@dataclass(frozen=True)
class SRResNet(GeneratorOptions):
    """Arguments of `srresnet_generator`."""

    name: ClassVar[str] = "srresnet"
    label: ClassVar[str] = "SRResNet or MSRResNet"
    origin: ClassVar[str] = "SRGAN's"

    filters: Annotated[Positive, "channels between the blocks"] = 64
    blocks: Annotated[Positive, "residual blocks of two convolutions"] = 16
    scale: Annotated[int, "upscaling factor", OneOf(2, 3, 4, 8), "3 requires batch_norm: false, 8 requires true"] = 4
    batch_norm: Annotated[bool, "false builds BasicSR's MSRResNet"] = True
    channels: Annotated[int, Inferred] = 3

    @property
    def title(self) -> str:
        return "SRResNet" if self.batch_norm else "MSRResNet"

    def check(self) -> None:
        scales = SCALES if self.batch_norm else SCALES_WITHOUT_BATCH_NORM
        if self.scale not in scales:
            raise UserError(
                f"generator.scale: srresnet {'with' if self.batch_norm else 'without'} batch_norm upscales by one of "
                f"{', '.join(map(str, scales))}, not {self.scale}"
            )

    @property
    def receptive_field(self) -> float:
        stages = STAGES[self.scale]
        if self.batch_norm:  # 9x9 first and last; two per block, body, one per stage
            return 4 + 2 * self.blocks + 1 + reach_of_stages(stages) + 4 / self.scale
        return 1 + 2 * self.blocks + reach_of_stages(stages) + 2 / self.scale  # two convolutions at the output's size

    @property
    def peak_channels(self) -> float:
        return self.filters * self.scale**2
