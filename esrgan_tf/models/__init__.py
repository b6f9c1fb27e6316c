"""The networks: a folder an architecture, with its options, the function that builds it, and its names in PyTorch.

Builders are imported when they are asked for, `from esrgan_tf.models import rrdb_generator`, and Keras with them.
"""

from esrgan_tf.models import compact, dpsr, edsr, rcan, residual, rrdb, span, srgan, srresnet, unet_sn, vgg


def _table(*packages):
    return {package.FAMILY.name: package.FAMILY for package in packages}


GENERATORS = _table(rrdb, compact, srresnet, residual, edsr, rcan, dpsr, span)
DISCRIMINATORS = _table(vgg, srgan, unet_sn)
FAMILIES = {**GENERATORS, **DISCRIMINATORS}

_BUILDERS = {family.builder: family for family in FAMILIES.values()}

__all__ = ["DISCRIMINATORS", "FAMILIES", "GENERATORS", "vgg19_features", *_BUILDERS]


def __getattr__(name):
    if name == "vgg19_features":
        from esrgan_tf.models.vgg19 import vgg19_features

        return vgg19_features
    if name in _BUILDERS:
        return _BUILDERS[name].build
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
