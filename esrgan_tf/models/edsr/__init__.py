"""EDSR (Lim et al., arXiv 1707.02921)."""

from esrgan_tf.models.edsr import names
from esrgan_tf.models.edsr.options import EDSR
from esrgan_tf.models.family import Family

FAMILY = Family(EDSR, names, "edsr_generator")
