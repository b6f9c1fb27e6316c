"""The networks: one file an architecture, each a function that returns a functional Keras model."""

from esrgan_tf.models.rrdb import rrdb_generator
from esrgan_tf.models.vgg19 import vgg19_features
from esrgan_tf.models.vgg_discriminator import vgg_discriminator

GENERATORS = {"rrdb": rrdb_generator}
DISCRIMINATORS = {"vgg": vgg_discriminator}

__all__ = ["DISCRIMINATORS", "GENERATORS", "rrdb_generator", "vgg19_features", "vgg_discriminator"]
