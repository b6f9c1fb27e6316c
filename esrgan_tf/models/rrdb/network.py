"""RRDBNet, the generator of ESRGAN (Wang et al., arXiv 1809.00219, section 3.1), and its variants."""

import math

import keras
from keras import layers

from esrgan_tf.models.pixels import crop_to_multiple_of, pixel_unshuffle, upscale_nearest
from esrgan_tf.models.rrdb.options import SCALES, UNSHUFFLES, usual_unshuffle
from esrgan_tf.models.torch_initialisation import conv3x3, he_normal, uniform


def rrdb_generator(
    scale: int = 4,
    filters: int = 64,
    blocks: int = 23,
    growth: int = 32,
    residual_scale: float = 0.2,
    in_channels: int = 3,
    out_channels: int = 3,
    unshuffle: int | None = None,
    plus: bool = False,
) -> keras.Model:
    """Builds the residual-in-residual dense block network.

    Maps float `[B, H, W, in_channels]` in [0, 1] to float32 `[B, scale * H, scale * W, out_channels]`, not clipped, for
    any B, H, W. The defaults have 16,697,987 parameters. Layer names and initialisation follow BasicSR's
    `rrdbnet_arch.py`: He-normal times 0.1 inside the dense blocks, PyTorch's default elsewhere.

    Args:
        unshuffle: factor of a pixel unshuffle of the input; 1 is none. None is Real-ESRGAN's rule, 4 / scale and at
            least 1, so that all scales up to 4 compute at a quarter of the output's size.
        plus: builds ESRGAN+ (Rakotonirina and Rasoanaivo, arXiv 2001.08073), with residuals inside the dense blocks
            and without its noise in training.

    Raises:
        ValueError: `scale` is not in [1, 2, 4, 8, 16], or `unshuffle` is not in [1, 2, 4].
    """
    if scale not in SCALES:
        raise ValueError(f"scale {scale}: the RRDB generator upscales by one of {SCALES}")
    unshuffle = usual_unshuffle(scale) if unshuffle is None else unshuffle
    if unshuffle not in UNSHUFFLES:
        raise ValueError(f"unshuffle {unshuffle}: the RRDB generator unshuffles pixels by one of {UNSHUFFLES}")

    image = keras.Input((None, None, in_channels), name="image")  # [B, H, W, in_channels]
    x = pixel_unshuffle(image, unshuffle) if unshuffle > 1 else image
    shallow = x = conv3x3(filters, in_channels * unshuffle**2, "conv_first", dtype="float32")(x)  # [B, h, w, filters]
    for i in range(blocks):
        x = _rrdb(x, filters, growth, residual_scale, plus, f"body_{i}")
    x = conv3x3(filters, filters, "conv_body")(x)
    x = layers.Add(name="body_add")([shallow, x])
    for i in range(1, 1 + int(math.log2(scale * unshuffle))):
        x = upscale_nearest(x, 2, f"up{i}")  # [B, 2h, 2w, filters], then 4h …
        x = conv3x3(filters, filters, f"conv_up{i}")(x)
        x = layers.LeakyReLU(0.2, name=f"conv_up{i}_lrelu")(x)
    x = conv3x3(filters, filters, "conv_hr")(x)
    x = layers.LeakyReLU(0.2, name="conv_hr_lrelu")(x)
    x = conv3x3(out_channels, filters, "conv_last", dtype="float32")(x)  # [B, scale * H, scale * W, out_channels]
    if unshuffle > 1:
        x = crop_to_multiple_of(image, x, scale)
    return keras.Model(image, x, name="rrdb_generator")


def _rrdb(x, filters, growth, residual_scale, plus, name):
    """Residual-in-residual dense block, three dense blocks and a scaled skip; keeps the shape `[B, h, w, filters]`."""
    y = x
    for j in (1, 2, 3):
        y = _dense_block(y, filters, growth, residual_scale, plus, f"{name}_rdb{j}")
    y = layers.Rescaling(residual_scale, name=f"{name}_scale")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _dense_block(x, filters, growth, residual_scale, plus, name):
    """Five convolutions of all earlier features; keeps the shape `[B, h, w, filters]`."""
    features = [x]
    for k in (1, 2, 3, 4):
        y = layers.Concatenate(name=f"{name}_cat{k}")(features) if k > 1 else x
        y = _dense_conv(growth, f"{name}_conv{k}")(y)
        y = layers.LeakyReLU(0.2, name=f"{name}_lrelu{k}")(y)  # [B, h, w, growth]
        if plus and k == 2:
            initializer = uniform(filters)
            skip = layers.Conv2D(growth, 1, use_bias=False, kernel_initializer=initializer, name=f"{name}_conv1x1")(x)
            y = layers.Add(name=f"{name}_plus2")([y, skip])
        if plus and k == 4:
            y = layers.Add(name=f"{name}_plus4")([y, features[2]])
        features.append(y)
    y = layers.Concatenate(name=f"{name}_cat5")(features)  # [B, h, w, filters + 4 * growth]
    y = _dense_conv(filters, f"{name}_conv5")(y)
    y = layers.Rescaling(residual_scale, name=f"{name}_scale")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _dense_conv(filters, name):
    # Small weights keep a deep stack of residuals near the identity.
    return layers.Conv2D(filters, 3, padding="same", kernel_initializer=he_normal(0.1), name=name)
