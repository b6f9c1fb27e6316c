"""The generator of the packaged models."""

from esrgan_tf.models.family import Family
from esrgan_tf.models.residual import names
from esrgan_tf.models.residual.options import Residual

FAMILY = Family(Residual, names, "residual_generator")
