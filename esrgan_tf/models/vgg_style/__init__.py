"""The discriminator of ESRGAN."""

from esrgan_tf.models.family import Family
from esrgan_tf.models.vgg_style import torch_mapping
from esrgan_tf.models.vgg_style.options import VGG

FAMILY = Family(VGG, torch_mapping, "vgg_discriminator")
