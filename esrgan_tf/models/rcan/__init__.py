"""RCAN, residual channel attention (Zhang et al., ECCV 2018, arXiv 1807.02758)."""

from esrgan_tf.models.family import Family
from esrgan_tf.models.rcan import torch_mapping
from esrgan_tf.models.rcan.options import RCAN

FAMILY = Family(RCAN, torch_mapping, "rcan_generator")
