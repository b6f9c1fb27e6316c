"""Options of Real-ESRGAN's discriminator."""

from dataclasses import dataclass
from typing import ClassVar

from esrgan_tf.models.family import DiscriminatorOptions


@dataclass(frozen=True)
class UNetSN(DiscriminatorOptions):
    """Arguments of `unet_sn_discriminator`."""

    name: ClassVar[str] = "unet_sn"
    label: ClassVar[str] = "UNetDiscriminatorSN"
    origin: ClassVar[str] = "Real-ESRGAN's U-Net, one logit per pixel"
    multiple: ClassVar[int] = 8
