"""Options of SRGAN's discriminator."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.models.family import DiscriminatorOptions, Inferred


@dataclass(frozen=True)
class SRGAN(DiscriminatorOptions):
    """Arguments of `srgan_discriminator`."""

    name: ClassVar[str] = "srgan"
    label: ClassVar[str] = "SRGAN's discriminator"
    origin: ClassVar[str] = "SRGAN's"
    multiple: ClassVar[int] = 16

    image_size: Annotated[int, Inferred] = 96
