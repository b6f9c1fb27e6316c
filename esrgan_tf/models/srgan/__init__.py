"""The discriminator of SRGAN."""

from esrgan_tf.models.family import Family
from esrgan_tf.models.srgan import torch_mapping
from esrgan_tf.models.srgan.options import SRGAN

FAMILY = Family(SRGAN, torch_mapping, "srgan_discriminator")
