"""The networks: one file an architecture, each a function that returns a functional Keras model."""

from esrgan_tf.models.compact import compact_generator
from esrgan_tf.models.rrdb import rrdb_generator
from esrgan_tf.models.vgg19 import vgg19_features
from esrgan_tf.models.vgg_discriminator import vgg_discriminator

GENERATORS = {"rrdb": rrdb_generator, "compact": compact_generator}
DISCRIMINATORS = {"vgg": vgg_discriminator}

__all__ = ["DISCRIMINATORS", "GENERATORS", "compact_generator", "rrdb_generator", "vgg19_features", "vgg_discriminator"]
