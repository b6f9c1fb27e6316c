"""The generator of the bundled models."""

from esrgan_tf.models.compact_resnet import torch_mapping
from esrgan_tf.models.compact_resnet.options import CompactResNet
from esrgan_tf.models.family import Family

FAMILY = Family(CompactResNet, torch_mapping, "compact_resnet_generator")
