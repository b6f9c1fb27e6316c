"""Options of ESRGAN's discriminator."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.models.family import DiscriminatorOptions, Inferred


@dataclass(frozen=True)
class VGG(DiscriminatorOptions):
    """Arguments of `vgg_discriminator`."""

    name: ClassVar[str] = "vgg"
    label: ClassVar[str] = "VGGStyleDiscriminator"
    origin: ClassVar[str] = "ESRGAN's"
    multiple: ClassVar[int] = 32

    image_size: Annotated[int, Inferred] = 128
