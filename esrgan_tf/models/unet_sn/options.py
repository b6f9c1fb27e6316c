"""Options of Real-ESRGAN's discriminator."""

from dataclasses import dataclass
from typing import ClassVar

from esrgan_tf.models.family import DiscriminatorOptions


@dataclass(frozen=True)
class UNetSN(DiscriminatorOptions):
    """Of `unet_sn_discriminator`, which explains them."""

    name: ClassVar[str] = "unet_sn"
    label: ClassVar[str] = "UNetDiscriminatorSN"
    origin: ClassVar[str] = "Real-ESRGAN's: a U-Net, a logit a pixel"
    multiple: ClassVar[int] = 8
