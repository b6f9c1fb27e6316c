"""Compact ResNet, the small residual network of the bundled models, which upscales in one step.

The blocks are EDSR's (Lim et al., arXiv 1707.02921, section 3.1), two convolutions without normalisation, but with
LeakyReLU instead of ReLU. As in the compact network, convolutions run at the input's size. A pixel shuffle of their
result adds the residual to nearest-neighbour upscaling.
"""

import keras
from keras import layers
from keras.initializers import RandomNormal

from esrgan_tf.models.pixels import pixel_shuffle, upscale_nearest
from esrgan_tf.models.torch_initialisation import conv3x3


def compact_resnet_generator(
    scale: int = 4, filters: int = 64, blocks: int = 9, channels: int = 3, tail: int = 0
) -> keras.Model:
    """Builds the network.

    Maps float `[B, H, W, channels]` in [0, 1] to float32 `[B, scale * H, scale * W, channels]`, not clipped, for any
    B, H, W. The defaults have 731,120 parameters. Every output pixel depends on `3 + 2 * blocks` input pixels in each
    direction, or `4 + 2 * blocks` with a tail.

    Args:
        tail: number of channels at the output's size before a final convolution; 0 is no tail. A tail avoids the
            repeated pattern that a final pixel shuffle produces in even areas.

    Raises:
        ValueError: `scale` is less than 1.
    """
    if scale < 1:
        raise ValueError(f"scale {scale}: the Compact ResNet generator upscales by 1 or more")
    image = keras.Input((None, None, channels), name="image")  # [B, H, W, channels]
    shallow = x = conv3x3(filters, channels, "conv_first", dtype="float32")(image)  # [B, H, W, filters]
    for i in range(blocks):
        y = conv3x3(filters, filters, f"body_{i}_0")(x)
        y = layers.LeakyReLU(0.1, name=f"body_{i}_1")(y)
        y = conv3x3(filters, filters, f"body_{i}_2")(y)
        x = layers.Add(name=f"body_{i}_add")([x, y])
    x = conv3x3(filters, filters, "conv_body")(x)
    x = layers.Add(name="body_add")([shallow, x])
    if tail:
        x = conv3x3(tail * scale**2, filters, "conv_up")(x)
        x = pixel_shuffle(x, scale, "shuffle")  # [B, scale * H, scale * W, tail]
        x = layers.LeakyReLU(0.1, name="up_activation")(x)
    # Initial weights near zero, so that training starts from the upscaled input without noise.
    near_zero = {"kernel_initializer": RandomNormal(stddev=1e-3), "bias_initializer": "zeros"}
    outputs = channels if tail else channels * scale**2
    x = layers.Conv2D(outputs, 3, padding="same", name="conv_last", dtype="float32", **near_zero)(x)
    if not tail:
        x = pixel_shuffle(x, scale, "shuffle", dtype="float32")  # [B, scale * H, scale * W, channels]
    base = upscale_nearest(image, scale, "base", dtype="float32")
    x = layers.Add(dtype="float32", name="base_add")([base, x])
    return keras.Model(image, x, name="compact_resnet_generator")
