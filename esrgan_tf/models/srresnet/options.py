"""Options of SRResNet and MSRResNet."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.errors import UserError
from esrgan_tf.models.family import GeneratorOptions, Inferred, Positive
from esrgan_tf.schema import OneOf

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
