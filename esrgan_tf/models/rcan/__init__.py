"""RCAN, residual channel attention (Zhang et al., ECCV 2018, arXiv 1807.02758)."""

from esrgan_tf.models.family import Family
from esrgan_tf.models.rcan import names
from esrgan_tf.models.rcan.options import RCAN

FAMILY = Family(RCAN, names, "rcan_generator")
