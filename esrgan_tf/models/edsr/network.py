"""The enhanced deep residual network EDSR for a single scale (Lim et al., arXiv 1707.02921, section 3)."""

import keras
from keras import layers

from esrgan_tf.models.edsr.options import SCALES, STAGES
from esrgan_tf.models.pixels import pixel_shuffle
from esrgan_tf.models.rgb_mean import RGB_MEAN
from esrgan_tf.models.torch_initialisation import conv3x3


def edsr_generator(
    scale: int = 4, filters: int = 64, blocks: int = 16, residual_scale: float = 1.0, mean: bool = True
) -> keras.Model:
    """Builds residual blocks without normalisation.

    Maps float RGB `[B, H, W, 3]` in [0, 1] to float32 `[B, scale * H, scale * W, 3]`, not clipped, for any B, H, W. The
    defaults are the paper's baseline (1,517,571 parameters). The paper's large network is `filters=256`, `blocks=32`,
    `residual_scale=0.1` (43,089,923 parameters). Layer names follow BasicSR's `edsr_arch.py`. The initialisation is
    PyTorch's default, as in the authors' code (github.com/sanghyun-son/EDSR-PyTorch).

    Args:
        residual_scale: factor of each block's residual.
        mean: subtracts the mean colour of DIV2K, a constant, first and adds it at the end, as the authors and BasicSR
            do. False is for weights that were trained without the mean.

    Raises:
        ValueError: `scale` is not in [2, 3, 4].
    """
    if scale not in SCALES:
        raise ValueError(f"scale {scale}: EDSR upscales by one of {SCALES}")
    colour = RGB_MEAN if mean else (0.0, 0.0, 0.0)
    image = keras.Input((None, None, 3), name="image")  # [B, H, W, 3]
    # Downloadable weights expect colours from 0 to 255.
    x = layers.Rescaling(255.0, [-255.0 * c for c in colour], dtype="float32", name="sub_mean")(image)
    # In files of weights, only this name shows whether the network subtracts the mean.
    shallow = x = conv3x3(filters, 3, "conv_first" if mean else "conv_first_no_mean", dtype="float32")(
        x
    )  # [B, H, W, filters]
    for i in range(blocks):
        y = conv3x3(filters, filters, f"body_{i}_conv1", activation="relu")(x)
        y = conv3x3(filters, filters, f"body_{i}_conv2")(y)
        if residual_scale != 1:
            y = layers.Rescaling(residual_scale, name=f"body_{i}_scale")(y)
        x = layers.Add(name=f"body_{i}_add")([x, y])
    x = conv3x3(filters, filters, "conv_after_body")(x)
    x = layers.Add(name="body_add")([shallow, x])
    for n, r in enumerate(STAGES[scale]):
        x = conv3x3(r * r * filters, filters, f"upsample_{2 * n}")(x)
        x = pixel_shuffle(x, r, f"shuffle_{2 * n}")  # [B, r * H, r * W, filters], then r * r * H …
    x = conv3x3(3, filters, "conv_last", dtype="float32")(x)  # [B, scale * H, scale * W, 3]
    x = layers.Rescaling(1 / 255.0, list(colour), dtype="float32", name="add_mean")(x)
    return keras.Model(image, x, name="edsr_generator")
