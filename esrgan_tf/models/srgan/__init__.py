"""The discriminator of SRGAN."""

from esrgan_tf.models.family import Family
from esrgan_tf.models.srgan import names
from esrgan_tf.models.srgan.options import SRGAN

FAMILY = Family(SRGAN, names, "srgan_discriminator")
