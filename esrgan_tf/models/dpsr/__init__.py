"""SRResNet+, the noise-conditioned network of DPSR (Zhang et al., CVPR 2019, arXiv 1903.12529)."""

from esrgan_tf.models.dpsr import torch_mapping
from esrgan_tf.models.dpsr.options import DPSR
from esrgan_tf.models.family import Family

FAMILY = Family(DPSR, torch_mapping, "dpsr_generator")
