"""The compact network of Real-ESRGAN (Wang et al., arXiv 2107.10833; `srvgg_arch.py` of its repository).

Its other name is SRVGGNetCompact. All convolutions run at the input's size, and a final pixel shuffle upscales.
"""

import keras
from keras import layers

from esrgan_tf.models.build_targets import prelu
from esrgan_tf.models.pixels import pixel_shuffle, upscale_nearest
from esrgan_tf.models.torch_initialisation import conv3x3


def compact_generator(scale: int = 4, filters: int = 64, blocks: int = 16, channels: int = 3) -> keras.Model:
    """Builds a stack of convolutions that predicts the residual to nearest-neighbour upscaling.

    Maps float `[B, H, W, channels]` in [0, 1] to float32 `[B, scale * H, scale * W, channels]`, not clipped, for any
    B, H, W. With 32 blocks, the network is `realesr-general-x4v3` (1,213,296 parameters). With 16 blocks, it is
    `realesr-animevideov3` (621,424). Layers have the original numbers: even for convolutions, odd for activations.

    Args:
        blocks: number of convolutions between the first and the last.

    Raises:
        ValueError: `scale` is less than 1.
    """
    if scale < 1:
        raise ValueError(f"scale {scale}: the compact generator upscales by 1 or more")
    image = keras.Input((None, None, channels), name="image")  # [B, H, W, channels]
    x = conv3x3(filters, channels, "body_0", dtype="float32")(image)  # [B, H, W, filters]
    for i in range(1 + blocks):
        x = conv3x3(filters, filters, f"body_{2 * i}")(x) if i else x
        x = prelu([1, 2], f"body_{2 * i + 1}")(x)  # one slope per channel
    x = conv3x3(channels * scale**2, filters, f"body_{2 * (1 + blocks)}", dtype="float32")(x)
    x = pixel_shuffle(x, scale, "shuffle", dtype="float32")  # [B, scale * H, scale * W, channels]
    base = upscale_nearest(image, scale, "base", dtype="float32")
    x = layers.Add(dtype="float32", name="base_add")([base, x])
    return keras.Model(image, x, name="compact_generator")
