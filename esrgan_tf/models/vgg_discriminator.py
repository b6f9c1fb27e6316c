"""The VGG-style discriminators of SRGAN (Ledig et al., arXiv 1609.04802, section 2.1.1) and, after it, of ESRGAN."""

import keras
from keras import layers

from esrgan_tf.models.as_pytorch import batch_norm, conv, dense


def srgan_discriminator(image_size: int = 96, filters: int = 64) -> keras.Model:
    """Builds the discriminator: RGB float `[B, S, S, 3]` in [0, 1] to float32 logits `[B, 1]`, S = `image_size`.

    The defaults have 23,563,649 trainable parameters. Batch statistics are taken over all replicas of a distributed
    step.

    Raises:
        ValueError: `image_size` is not a multiple of 16; four halvings must come out even.
    """
    if image_size % 16 or image_size < 16:
        raise ValueError(f"image_size {image_size}: the SRGAN discriminator needs a multiple of 16")

    image = keras.Input((image_size, image_size, 3), name="image")  # [B, S, S, 3]
    x = conv(filters, 3, 3, "conv0_0")(image)
    x = layers.LeakyReLU(0.2, name="conv0_0_lrelu")(x)
    x = _halve(x, filters, 3, "conv0_1")  # [B, S/2, S/2, filters]
    inputs = filters
    for stage, outputs in enumerate((2 * filters, 4 * filters, 8 * filters), start=1):
        x = conv(outputs, inputs, 3, f"conv{stage}_0", use_bias=False)(x)
        x = _normalise(x, f"conv{stage}_0")
        x = _halve(x, outputs, 3, f"conv{stage}_1")  # ends at [B, S/16, S/16, 8 * filters]
        inputs = outputs
    return keras.Model(image, _classify(x, 1024), name="srgan_discriminator")


def vgg_discriminator(image_size: int = 128, filters: int = 64) -> keras.Model:
    """Builds the discriminator: RGB float `[B, S, S, 3]` in [0, 1] to float32 logits `[B, 1]`, S = `image_size`.

    The defaults have 14,499,401 trainable parameters and are BasicSR's `VGGStyleDiscriminator`, layer for layer and
    in name. Batch statistics are taken over all replicas of a distributed step.

    Raises:
        ValueError: `image_size` is not a multiple of 32; five halvings must come out even.
    """
    if image_size % 32 or image_size < 32:
        raise ValueError(f"image_size {image_size}: the VGG discriminator needs a multiple of 32")

    image = keras.Input((image_size, image_size, 3), name="image")  # [B, S, S, 3]
    x = conv(filters, 3, 3, "conv0_0")(image)
    x = layers.LeakyReLU(0.2, name="conv0_0_lrelu")(x)
    x = _halve(x, filters, 4, "conv0_1")  # [B, S/2, S/2, filters]
    inputs = filters
    for stage, outputs in enumerate((2 * filters, 4 * filters, 8 * filters, 8 * filters), start=1):
        x = conv(outputs, inputs, 3, f"conv{stage}_0", use_bias=False)(x)
        x = _normalise(x, f"conv{stage}_0")
        x = _halve(x, outputs, 4, f"conv{stage}_1")  # ends at [B, S/32, S/32, 8 * filters]
        inputs = outputs
    return keras.Model(image, _classify(x, 100), name="vgg_discriminator")


def _halve(x, filters, size, name):
    """`[B, h, w, filters]` to `[B, h/2, w/2, filters]`."""
    # Padded by hand: "same" with stride 2 pads (0, 1) here where PyTorch's padding 1 pads (1, 1).
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = conv(filters, filters, size, name, strides=2, padding="valid", use_bias=False)(x)
    return _normalise(x, name)


def _normalise(x, name):
    x = batch_norm(name.replace("conv", "bn"))(x)
    return layers.LeakyReLU(0.2, name=f"{name}_lrelu")(x)


def _classify(x, units):
    """`[B, h, w, C]` to `[B, 1]`."""
    _, height, width, channels = x.shape
    x = layers.Permute((3, 1, 2), name="channels_first")(x)  # the order in which PyTorch flattens
    x = layers.Flatten(name="flatten")(x)
    x = dense(units, height * width * channels, "linear1")(x)
    x = layers.LeakyReLU(0.2, name="linear1_lrelu")(x)
    return dense(1, units, "linear2", dtype="float32")(x)
