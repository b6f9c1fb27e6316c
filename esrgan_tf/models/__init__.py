"""The networks, a folder per architecture, with its options, its builder, and its mapping to PyTorch's names.

Builders, such as `esrgan_tf.models.rrdb_generator`, are imported on first access, together with Keras.
"""

import warnings

from esrgan_tf.models import (
    compact,
    compact_resnet,
    dpsr,
    edsr,
    rcan,
    rrdb,
    span,
    srgan,
    srresnet,
    unet_sn,
    vgg_style,
)


def _families(*packages):
    return {package.FAMILY.name: package.FAMILY for package in packages}


GENERATORS = _families(rrdb, compact, srresnet, compact_resnet, edsr, rcan, dpsr, span)
DISCRIMINATORS = _families(vgg_style, srgan, unet_sn)
FAMILIES = {**GENERATORS, **DISCRIMINATORS}

_BUILDERS = {family.builder: family for family in FAMILIES.values()}
_RENAMED = {"residual_generator": "compact_resnet_generator"}  # names of version 0.1.0

__all__ = ["DISCRIMINATORS", "FAMILIES", "GENERATORS", "vgg19_features", *_BUILDERS]


def __getattr__(name):
    if name == "vgg19_features":
        from esrgan_tf.models.vgg19 import vgg19_features

        return vgg19_features
    if name in _RENAMED:
        warnings.warn(f"esrgan_tf.models.{name} is now {_RENAMED[name]}", FutureWarning, stacklevel=2)
        name = _RENAMED[name]
    if name in _BUILDERS:
        return _BUILDERS[name].build
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
