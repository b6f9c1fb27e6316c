"""What the VGG-style discriminators of SRGAN and ESRGAN are made of."""

from keras import layers

from esrgan_tf.models.torch_initialisation import batch_norm, conv, dense


def halve(x, filters: int, size: int, name: str):
    """`[B, h, w, filters]` to `[B, h/2, w/2, filters]`."""
    # Padded by hand: "same" with stride 2 pads (0, 1) here where PyTorch's padding 1 pads (1, 1).
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = conv(filters, filters, size, name, strides=2, padding="valid", use_bias=False)(x)
    return normalise(x, name)


def normalise(x, name: str):
    """Batch normalisation of a convolution's result, and its activation."""
    x = batch_norm(name.replace("conv", "bn"))(x)
    return layers.LeakyReLU(0.2, name=f"{name}_lrelu")(x)


def classify(x, units: int):
    """`[B, h, w, C]` to `[B, 1]`."""
    _, height, width, channels = x.shape
    x = layers.Permute((3, 1, 2), name="channels_first")(x)  # the order in which PyTorch flattens
    x = layers.Flatten(name="flatten")(x)
    x = dense(units, height * width * channels, "linear1")(x)
    x = layers.LeakyReLU(0.2, name="linear1_lrelu")(x)
    return dense(1, units, "linear2", dtype="float32")(x)
