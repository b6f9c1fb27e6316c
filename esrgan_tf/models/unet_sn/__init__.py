"""The discriminator of Real-ESRGAN."""

from esrgan_tf.models.family import Family
from esrgan_tf.models.unet_sn import names
from esrgan_tf.models.unet_sn.options import UNetSN

FAMILY = Family(UNetSN, names, "unet_sn_discriminator")
