"""EDSR (Lim et al., arXiv 1707.02921)."""

from esrgan_tf.models.edsr import torch_mapping
from esrgan_tf.models.edsr.options import EDSR
from esrgan_tf.models.family import Family

FAMILY = Family(EDSR, torch_mapping, "edsr_generator")
