"""The discriminator of ESRGAN."""

from esrgan_tf.models.family import Family
from esrgan_tf.models.vgg import names
from esrgan_tf.models.vgg.options import VGG

FAMILY = Family(VGG, names, "vgg_discriminator")
