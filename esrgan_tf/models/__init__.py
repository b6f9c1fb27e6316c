"""The networks: one file an architecture, each a function that returns a functional Keras model."""

from esrgan_tf.models.compact import compact_generator
from esrgan_tf.models.residual import residual_generator
from esrgan_tf.models.rrdb import rrdb_generator
from esrgan_tf.models.srresnet import srresnet_generator
from esrgan_tf.models.unet_discriminator import unet_sn_discriminator
from esrgan_tf.models.vgg19 import vgg19_features
from esrgan_tf.models.vgg_discriminator import srgan_discriminator, vgg_discriminator

GENERATORS = {
    "rrdb": rrdb_generator,
    "compact": compact_generator,
    "srresnet": srresnet_generator,
    "residual": residual_generator,
}
DISCRIMINATORS = {"vgg": vgg_discriminator, "srgan": srgan_discriminator, "unet_sn": unet_sn_discriminator}

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "compact_generator",
    "residual_generator",
    "rrdb_generator",
    "srgan_discriminator",
    "srresnet_generator",
    "unet_sn_discriminator",
    "vgg19_features",
    "vgg_discriminator",
]
