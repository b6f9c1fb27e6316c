"""SRResNet, the generator of SRGAN (Ledig et al., arXiv 1609.04802, section 2.1.1), and BasicSR's MSRResNet."""

import math

import keras
from keras import layers

from esrgan_tf.models import torch_initialisation
from esrgan_tf.models.build_targets import prelu
from esrgan_tf.models.pixels import pixel_shuffle, upscale_bilinearly
from esrgan_tf.models.srresnet.options import SCALES, SCALES_WITHOUT_BATCH_NORM
from esrgan_tf.models.torch_initialisation import conv, conv3x3, he_normal


def srresnet_generator(
    scale: int = 4, filters: int = 64, blocks: int = 16, batch_norm: bool = True, channels: int = 3
) -> keras.Model:
    """Builds the residual network.

    Maps float `[B, H, W, channels]` in [0, 1] to float32 `[B, scale * H, scale * W, channels]`, not clipped, for any B,
    H, W. The defaults have 1,547,350 trainable parameters. Every PReLU has a single slope, PyTorch's default.

    Args:
        batch_norm: False builds BasicSR's MSRResNet (1,517,571 parameters), without batch normalisation and long skip.
            Its first and last kernels are 3x3, and it predicts the residual to bilinear upscaling. Layer names and
            initialisation follow `srresnet_arch.py`.

    Raises:
        ValueError: `scale` is not in [2, 4, 8], or without batch normalisation not in [2, 3, 4].
    """
    if not batch_norm:
        return _msrresnet(scale, filters, blocks, channels)
    if scale not in SCALES:
        raise ValueError(f"scale {scale}: SRResNet upscales by one of {SCALES}")
    image = keras.Input((None, None, channels), name="image")  # [B, H, W, channels]
    x = conv(filters, channels, 9, "conv_first", dtype="float32")(image)
    shallow = x = _prelu("conv_first_prelu")(x)  # [B, H, W, filters]
    for i in range(blocks):
        x = _residual_block(x, filters, f"body_{i}")
    x = conv3x3(filters, filters, "conv_body", use_bias=False)(x)
    x = torch_initialisation.batch_norm("bn_body")(x)
    x = layers.Add(name="body_add")([shallow, x])
    for n in range(1, 1 + int(math.log2(scale))):
        x = conv3x3(4 * filters, filters, f"upconv{n}")(x)
        x = pixel_shuffle(x, 2, f"shuffle{n}")  # [B, 2H, 2W, filters], then 4H …
        x = _prelu(f"upconv{n}_prelu")(x)
    x = conv(channels, filters, 9, "conv_last", dtype="float32")(x)  # [B, scale * H, scale * W, channels]
    return keras.Model(image, x, name="srresnet_generator")


def _residual_block(x, filters, name):
    """A residual block; keeps the shape `[B, H, W, filters]`."""
    y = conv3x3(filters, filters, f"{name}_conv1", use_bias=False)(x)
    y = torch_initialisation.batch_norm(f"{name}_bn1")(y)
    y = _prelu(f"{name}_prelu")(y)
    y = conv3x3(filters, filters, f"{name}_conv2", use_bias=False)(y)
    y = torch_initialisation.batch_norm(f"{name}_bn2")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _prelu(name):
    return prelu([1, 2, 3], name)


def _msrresnet(scale, filters, blocks, channels):
    if scale not in SCALES_WITHOUT_BATCH_NORM:
        raise ValueError(f"scale {scale}: MSRResNet upscales by one of {SCALES_WITHOUT_BATCH_NORM}")
    image = keras.Input((None, None, channels), name="image")  # [B, H, W, channels]
    x = _small_conv(filters, "conv_first", dtype="float32")(image)
    x = layers.LeakyReLU(0.1, name="conv_first_lrelu")(x)  # [B, H, W, filters]
    for i in range(blocks):
        y = _small_conv(filters, f"body_{i}_conv1")(x)
        y = layers.ReLU(name=f"body_{i}_relu")(y)
        y = _small_conv(filters, f"body_{i}_conv2")(y)
        x = layers.Add(name=f"body_{i}_add")([x, y])
    for n, r in enumerate((2, 2) if scale == 4 else (scale,), start=1):
        x = _small_conv(r * r * filters, f"upconv{n}")(x)
        x = pixel_shuffle(x, r, f"shuffle{n}")  # [B, r * H, r * W, filters], then r * r * H …
        x = layers.LeakyReLU(0.1, name=f"upconv{n}_lrelu")(x)
    x = _small_conv(filters, "conv_hr")(x)
    x = layers.LeakyReLU(0.1, name="conv_hr_lrelu")(x)
    x = _small_conv(channels, "conv_last", dtype="float32")(x)  # [B, scale * H, scale * W, channels]
    base = upscale_bilinearly(image, scale, "base", dtype="float32")
    x = layers.Add(dtype="float32", name="base_add")([base, x])
    return keras.Model(image, x, name="srresnet_generator")


def _small_conv(filters, name, **kwargs):
    return layers.Conv2D(filters, 3, padding="same", kernel_initializer=he_normal(0.1), name=name, **kwargs)
