"""The residual channel attention network RCAN (Zhang et al., ECCV 2018, arXiv 1807.02758, section 3)."""

import keras
from keras import layers

from esrgan_tf.models.pixels import crop_to_multiple_of, pixel_shuffle, pixel_unshuffle
from esrgan_tf.models.rcan.options import STAGES
from esrgan_tf.models.rgb_mean import RGB_MEAN
from esrgan_tf.models.torch_initialisation import conv, conv3x3


def rcan_generator(
    scale: int = 4,
    filters: int = 64,
    groups: int = 10,
    blocks: int = 20,
    reduction: int = 16,
    channels: int = 3,
    mean: bool = True,
    unshuffle: int = 1,
) -> keras.Model:
    """Builds groups of residual blocks with channel attention over the whole image.

    Maps float `[B, H, W, channels]` in [0, 1] to float32 `[B, scale * H, scale * W, channels]`, not clipped, for any
    batch and image size. The initialisation is PyTorch's default, as in the authors' code (github.com/yulunzhang/RCAN).
    Parameters with the default options:

    | scale | parameters |
    | ----- | ---------- |
    | 2     | 15,444,643 |
    | 3     | 15,629,283 |
    | 4     | 15,592,355 |
    | 8     | 15,740,067 |

    Args:
        mean: computes with colours from 0 to 255 minus the mean colour of DIV2K, a constant, as in the authors' files.
            False is for weights that were trained without the mean, with colours from 0 to 1.
        unshuffle: factor of a pixel unshuffle of the input; upsampling undoes it (`unshuffle_mod` of traiNNer-redux).
            Other sizes than its multiples are padded by repeating the edge.

    Raises:
        ValueError: the scale is not supported, or images with `mean` are not RGB.
    """
    if scale * unshuffle not in STAGES:
        raise ValueError(f"scale {scale}: RCAN upscales by one of {tuple(STAGES)}")
    if mean and channels != 3:
        raise ValueError(f"the mean colour is of RGB, not of {channels} channels")
    image = keras.Input((None, None, channels), name="image")  # [B, H, W, channels]
    x = image
    if mean:
        x = layers.Rescaling(255.0, [-255.0 * c for c in RGB_MEAN], dtype="float32", name="sub_mean")(x)
    if unshuffle > 1:
        x = pixel_unshuffle(x, unshuffle)  # h = H / unshuffle, w likewise, u * u * channels
    # In files of weights, only this name shows whether the network subtracts the mean.
    first = "conv_first" if mean else "conv_first_no_mean"
    shallow = x = conv3x3(filters, x.shape[-1], first, dtype="float32")(x)  # [B, h, w, filters]
    for g in range(groups):
        y = x
        for b in range(blocks):
            y = _block(y, filters, reduction, f"body_{g}_{b}")
        y = conv3x3(filters, filters, f"body_{g}_conv")(y)
        x = layers.Add(name=f"body_{g}_add")([x, y])
    x = conv3x3(filters, filters, "conv_after_body")(x)
    x = layers.Add(name="body_add")([shallow, x])
    for n, r in enumerate(STAGES[scale * unshuffle]):
        x = conv3x3(r * r * filters, filters, f"upsample_{2 * n}")(x)
        x = pixel_shuffle(x, r, f"shuffle_{2 * n}")  # [B, r * h, r * w, filters], then r * r * h …
    x = conv3x3(channels, filters, "conv_last", dtype="float32")(x)  # [B, scale * H, scale * W, channels]
    if unshuffle > 1:
        x = crop_to_multiple_of(image, x, scale)
    if mean:
        x = layers.Rescaling(1 / 255.0, list(RGB_MEAN), dtype="float32", name="add_mean")(x)
    return keras.Model(image, x, name="rcan_generator")


def _block(x, filters, reduction, name):
    """A residual block with channel attention; keeps the shape `[B, h, w, filters]`."""
    y = conv3x3(filters, filters, f"{name}_conv1", activation="relu")(x)
    y = conv3x3(filters, filters, f"{name}_conv2")(y)
    a = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(y)  # [B, 1, 1, filters]
    a = conv(filters // reduction, filters, 1, f"{name}_squeeze", activation="relu")(a)
    a = conv(filters, filters // reduction, 1, f"{name}_excite", activation="sigmoid")(a)
    y = layers.Multiply(name=f"{name}_attention")([y, a])
    return layers.Add(name=f"{name}_add")([x, y])
