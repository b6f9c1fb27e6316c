"""SPAN, the swift parameter-free attention network (Wan et al., CVPR workshops 2024, arXiv 2311.12770, section 3)."""

import keras
from keras import layers

from esrgan_tf.models.pixels import pixel_shuffle
from esrgan_tf.models.rgb_mean import RGB_MEAN
from esrgan_tf.models.torch_initialisation import conv, conv3x3


def span_generator(
    scale: int = 4, filters: int = 48, blocks: int = 6, channels: int = 3, mean: bool = True
) -> keras.Model:
    """Builds blocks with parameter-free attention, computed from each block's output.

    Maps float `[B, H, W, channels]` in [0, 1] to float32 `[B, scale * H, scale * W, channels]`, not clipped, for any B,
    H, W. The defaults have 426,288 parameters. The authors train each 3x3 convolution as a sum of branches. This
    network has the merged convolutions (github.com/hongyuanyu/SPAN).

    Args:
        mean: scales the input to colours from 0 to 255 and subtracts the mean colour of DIV2K, a constant; the output
            is not changed. False is for weights that were trained without the mean (`norm: false`).

    Raises:
        ValueError: `scale` is not in [1, 2, 3, 4], or images with `mean` are not RGB.
    """
    if scale not in (1, 2, 3, 4):
        raise ValueError(f"scale {scale}: SPAN upscales by one of (1, 2, 3, 4)")
    if mean and channels != 3:
        raise ValueError(f"the mean colour is of RGB, not of {channels} channels")
    image = keras.Input((None, None, channels), name="image")  # [B, H, W, channels]
    x = image
    if mean:
        x = layers.Rescaling(255.0, [-255.0 * c for c in RGB_MEAN], dtype="float32", name="sub_mean")(x)
    # In files of weights, only this name shows whether the network subtracts the mean.
    shallow = conv3x3(filters, channels, "conv_1" if mean else "conv_1_no_mean", dtype="float32")(
        x
    )  # [B, H, W, filters]
    x = shallow
    for i in range(1, 1 + blocks):
        x, inner = _block(x, filters, f"block_{i}")
        if i == 1:
            first = x
    x = conv3x3(filters, filters, "conv_2")(x)
    x = layers.Concatenate(name="cat")([shallow, x, first, inner])  # [B, H, W, 4 * filters]
    x = conv(filters, 4 * filters, 1, "conv_cat")(x)
    x = conv3x3(channels * scale**2, filters, "upsampler", dtype="float32")(x)
    x = pixel_shuffle(x, scale, "shuffle", dtype="float32")  # [B, scale * H, scale * W, channels]
    return keras.Model(image, x, name="span_generator")


def _block(x, filters, name):
    """A block that keeps the shape `[B, H, W, filters]`; also returns the features of its first convolution."""
    inner = conv3x3(filters, filters, f"{name}_c1", activation="silu")(x)
    y = conv3x3(filters, filters, f"{name}_c2", activation="silu")(inner)
    y = conv3x3(filters, filters, f"{name}_c3")(y)
    attention = layers.Activation("sigmoid", name=f"{name}_sigmoid")(y)
    attention = layers.Rescaling(1.0, -0.5, name=f"{name}_centred")(attention)  # -0.5 … 0.5
    y = layers.Add(name=f"{name}_add")([y, x])
    return layers.Multiply(name=f"{name}_attention")([y, attention]), inner
