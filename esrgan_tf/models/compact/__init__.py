"""SRVGGNetCompact, the small generator of Real-ESRGAN."""

from esrgan_tf.models.compact import torch_mapping
from esrgan_tf.models.compact.options import Compact
from esrgan_tf.models.family import Family

FAMILY = Family(Compact, torch_mapping, "compact_generator")
