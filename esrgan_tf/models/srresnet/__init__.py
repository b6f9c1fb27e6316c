"""SRResNet, the generator of SRGAN, and BasicSR's MSRResNet."""

from esrgan_tf.models.family import Family
from esrgan_tf.models.srresnet import torch_mapping
from esrgan_tf.models.srresnet.options import SRResNet

FAMILY = Family(SRResNet, torch_mapping, "srresnet_generator")
