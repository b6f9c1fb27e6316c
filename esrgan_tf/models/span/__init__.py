"""SPAN, parameter-free attention (Wan et al., CVPR workshops 2024, arXiv 2311.12770)."""

from esrgan_tf.models.family import Family
from esrgan_tf.models.span import torch_mapping
from esrgan_tf.models.span.options import SPAN

FAMILY = Family(SPAN, torch_mapping, "span_generator")
