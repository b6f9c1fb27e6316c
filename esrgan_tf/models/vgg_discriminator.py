"""The VGG-style discriminator of SRGAN (Ledig et al., arXiv 1609.04802, section 2.1.1) as ESRGAN trains it."""

import math

import keras
from keras import layers
from keras.initializers import RandomUniform


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
    x = _conv(filters, 3, 3, "conv0_0", use_bias=True)(image)
    x = layers.LeakyReLU(0.2, name="conv0_0_lrelu")(x)
    x = _halve(x, filters, "conv0_1")  # [B, S/2, S/2, filters]
    inputs = filters
    for stage, outputs in enumerate((2 * filters, 4 * filters, 8 * filters, 8 * filters), start=1):
        x = _conv(outputs, inputs, 3, f"conv{stage}_0")(x)
        x = _normalise(x, f"conv{stage}_0")
        x = _halve(x, outputs, f"conv{stage}_1")  # ends at [B, S/32, S/32, 8 * filters]
        inputs = outputs
    x = layers.Permute((3, 1, 2), name="channels_first")(x)  # the order in which PyTorch flattens
    x = layers.Flatten(name="flatten")(x)
    features = (image_size // 32) ** 2 * inputs
    x = layers.Dense(100, **_uniform(features), name="linear1")(x)
    x = layers.LeakyReLU(0.2, name="linear1_lrelu")(x)
    x = layers.Dense(1, **_uniform(100), dtype="float32", name="linear2")(x)  # [B, 1]
    return keras.Model(image, x, name="vgg_discriminator")


def _halve(x, filters, name):
    # Padded by hand: "same" with stride 2 pads (0, 1) here where PyTorch's padding 1 pads (1, 1).
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = _conv(filters, filters, 4, name, strides=2, padding="valid")(x)
    return _normalise(x, name)


def _normalise(x, name):
    bn = name.replace("conv", "bn")
    # PyTorch's momentum 0.1 is Keras' 0.9.
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=True, name=bn)(x)
    return layers.LeakyReLU(0.2, name=f"{name}_lrelu")(x)


def _conv(filters, inputs, size, name, use_bias=False, padding="same", **kwargs):
    initializers = _uniform(size * size * inputs)
    return layers.Conv2D(filters, size, padding=padding, use_bias=use_bias, name=name, **initializers, **kwargs)


def _uniform(fan_in):
    """PyTorch's default initialisation of kernel and bias."""
    bound = 1 / math.sqrt(fan_in)
    return {"kernel_initializer": RandomUniform(-bound, bound), "bias_initializer": RandomUniform(-bound, bound)}
