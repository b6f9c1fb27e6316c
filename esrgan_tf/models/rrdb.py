"""The generator of ESRGAN (Wang et al., arXiv 1809.00219, section 3.1), known as RRDBNet."""

import math

import keras
from keras import layers, ops
from keras.initializers import RandomUniform, VarianceScaling

SCALES = (1, 2, 4, 8)


def rrdb_generator(
    scale: int = 4,
    filters: int = 64,
    blocks: int = 23,
    growth: int = 32,
    residual_scale: float = 0.2,
) -> keras.Model:
    """Builds the residual-in-residual dense block network.

    Maps RGB float `[B, H, W, 3]` in [0, 1] to float32 `[B, scale * H, scale * W, 3]`, not clipped, for any B, H, W.
    The defaults have 16,697,987 parameters. Layer names follow BasicSR's `rrdbnet_arch.py`, and so does the
    initialisation: He-normal times 0.1 inside the dense blocks, PyTorch's default elsewhere.

    Raises:
        ValueError: `scale` is not one of 1, 2, 4, 8.
    """
    if scale not in SCALES:
        raise ValueError(f"scale {scale}: the RRDB generator enlarges by one of {SCALES}")
    # Small scales work at a quarter of the output's size like the others, from a pixel-unshuffled input (Real-ESRGAN).
    unshuffle = max(1, 4 // scale)

    image = keras.Input((None, None, 3), name="image")  # [B, H, W, 3]
    x = _pixel_unshuffle(image, unshuffle) if unshuffle > 1 else image
    shallow = x = _conv(filters, 3 * unshuffle**2, "conv_first")(x)  # [B, h, w, filters]
    for i in range(blocks):
        x = _rrdb(x, filters, growth, residual_scale, f"body_{i}")
    x = _conv(filters, filters, "conv_body")(x)
    x = layers.Add(name="body_add")([shallow, x])
    for i in range(1, 1 + int(math.log2(scale * unshuffle))):
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"up{i}")(x)  # [B, 2h, 2w, filters], then 4h …
        x = _conv(filters, filters, f"conv_up{i}")(x)
        x = layers.LeakyReLU(0.2, name=f"conv_up{i}_lrelu")(x)
    x = _conv(filters, filters, "conv_hr")(x)
    x = layers.LeakyReLU(0.2, name="conv_hr_lrelu")(x)
    x = _conv(3, filters, "conv_last", dtype="float32")(x)  # [B, scale * H, scale * W, 3]
    if unshuffle > 1:
        x = _crop_to_multiple_of(image, x, scale)
    return keras.Model(image, x, name="rrdb_generator")


def _rrdb(x, filters, growth, residual_scale, name):
    """Residual-in-residual dense block: three dense blocks and a scaled skip. `[B, h, w, filters]` to the same."""
    y = x
    for j in (1, 2, 3):
        y = _dense_block(y, filters, growth, residual_scale, f"{name}_rdb{j}")
    y = layers.Rescaling(residual_scale, name=f"{name}_scale")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _dense_block(x, filters, growth, residual_scale, name):
    """Five convolutions, each fed everything before it. `[B, h, w, filters]` to the same."""
    features = [x]
    for k in (1, 2, 3, 4):
        y = layers.Concatenate(name=f"{name}_cat{k}")(features) if k > 1 else x
        y = _dense_conv(growth, f"{name}_conv{k}")(y)
        features.append(layers.LeakyReLU(0.2, name=f"{name}_lrelu{k}")(y))
    y = layers.Concatenate(name=f"{name}_cat5")(features)  # [B, h, w, filters + 4 * growth]
    y = _dense_conv(filters, f"{name}_conv5")(y)
    y = layers.Rescaling(residual_scale, name=f"{name}_scale")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _conv(filters, inputs, name, **kwargs):
    bound = 1 / math.sqrt(9 * inputs)  # PyTorch's default for both kernel and bias: uniform within 1/sqrt(fan in)
    return layers.Conv2D(
        filters,
        3,
        padding="same",
        kernel_initializer=RandomUniform(-bound, bound),
        bias_initializer=RandomUniform(-bound, bound),
        name=name,
        **kwargs,
    )


def _dense_conv(filters, name):
    # He-normal (variance 2 / fan in) times 0.1; small weights keep a deep stack of residuals near the identity.
    initializer = VarianceScaling(2.0 * 0.1**2, mode="fan_in", distribution="untruncated_normal")
    return layers.Conv2D(filters, 3, padding="same", kernel_initializer=initializer, name=name)


def _pixel_unshuffle(image, r):
    """`[B, H, W, 3]` to `[B, ceil(H / r), ceil(W / r), 3 * r * r]`, channels in the order (i, j, c).

    Sizes that r does not divide are completed by repeating the last row and column.
    """
    x = layers.Concatenate(axis=1, name="repeat_last_row")([image] + [image[:, -1:]] * (r - 1))
    x = layers.Concatenate(axis=2, name="repeat_last_column")([x] + [x[:, :, -1:]] * (r - 1))
    return ops.image.extract_patches(x, size=r, padding="valid")  # strides, if given, trip over a bug of Keras 3.12


def _crop_to_multiple_of(image, x, scale):
    """Crops `x` to `scale` times the height and width of `image`.

    Keras has no layer that crops to a size known only at run time, so the rows and columns to keep are counted off
    the image itself. That leaves the model free of custom objects, on every backend.
    """
    for axis in (1, 2):
        line = ops.take(ops.take(image, 0, axis=3), 0, axis=3 - axis)  # [B, H] or [B, W]
        ones = ops.ones_like(ops.take(line, 0, axis=0), dtype="int32")  # [H] or [W]
        keep = ops.cumsum(ops.repeat(ones, scale)) - 1  # 0 … scale * H - 1
        x = ops.take(x, keep, axis=axis)
    return x
