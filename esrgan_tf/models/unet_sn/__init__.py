"""The discriminator of Real-ESRGAN."""

from esrgan_tf.models.family import Family
from esrgan_tf.models.unet_sn import torch_mapping
from esrgan_tf.models.unet_sn.options import UNetSN

FAMILY = Family(UNetSN, torch_mapping, "unet_sn_discriminator")
