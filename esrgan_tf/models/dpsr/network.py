"""SRResNet+, the network of DPSR (Zhang et al., CVPR 2019, arXiv 1903.12529, section 4.1)."""

import keras
from keras import layers
from keras.initializers import Orthogonal

from esrgan_tf.models.dpsr.options import STAGES
from esrgan_tf.models.pixels import pixel_shuffle


def dpsr_generator(scale: int = 4, filters: int = 96, blocks: int = 16) -> keras.Model:
    """Builds a noise-conditioned residual network.

    Maps float `[B, H, W, 4]` to float32 `[B, scale * H, scale * W, 3]`, not clipped, for any B, H, W. The first three
    channels are RGB in [0, 1]. The fourth is the noise's standard deviation in the same unit, and may vary over the
    image. The initialisation follows `options/train_dpsr.json` in the authors' KAIR. Parameters with the
    default options:

    | scale | parameters |
    | ----- | ---------- |
    | 2     | 3,161,664  |
    | 3     | 3,576,864  |
    | 4     | 3,493,824  |

    Raises:
        ValueError: `scale` is not in [2, 3, 4].
    """
    if scale not in STAGES:
        raise ValueError(f"scale {scale}: SRResNet+ upscales by one of {tuple(STAGES)}")
    image = keras.Input((None, None, 4), name="image")  # [B, H, W, 4]
    shallow = x = _conv(filters, "conv_first", dtype="float32")(image)  # [B, H, W, filters]
    for i in range(blocks):
        y = _conv(filters, f"body_{i}_conv1")(x)
        y = layers.ReLU(name=f"body_{i}_relu")(y)
        y = _conv(filters, f"body_{i}_conv2")(y)
        x = layers.Add(name=f"body_{i}_add")([x, y])
    x = _conv(filters, "conv_body")(x)
    x = layers.Add(name="body_add")([shallow, x])
    for n, r in enumerate(STAGES[scale], start=1):
        x = _conv(r * r * filters, f"upconv{n}")(x)
        x = pixel_shuffle(x, r, f"shuffle{n}")  # [B, r * H, r * W, filters], then r * r * H …
        x = layers.ReLU(name=f"upconv{n}_relu")(x)
    x = _conv(filters, "conv_hr")(x)
    x = layers.ReLU(name="conv_hr_relu")(x)
    x = _conv(3, "conv_last", use_bias=False, dtype="float32")(x)  # [B, scale * H, scale * W, 3]
    return keras.Model(image, x, name="dpsr_generator")


def _conv(filters, name, **kwargs):
    return layers.Conv2D(filters, 3, padding="same", kernel_initializer=Orthogonal(0.2), name=name, **kwargs)
