"""Common parts of the VGG-style discriminators of SRGAN and ESRGAN."""

from keras import layers

from esrgan_tf.models.torch_initialisation import batch_norm, conv, dense


def halve(x, filters: int, size: int, name: str):
    """Halves height and width: `[B, h, w, filters]` to `[B, h/2, w/2, filters]`."""
    # Explicit padding: Keras' "same" with stride 2 pads (0, 1), PyTorch's padding 1 pads (1, 1).
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = conv(filters, filters, size, name, strides=2, padding="valid", use_bias=False)(x)
    return normalise(x, name)


def normalise(x, name: str):
    """Batch normalisation and activation after a convolution."""
    x = batch_norm(name.replace("conv", "bn"))(x)
    return layers.LeakyReLU(0.2, name=f"{name}_lrelu")(x)


def classify(x, units: int):
    """Dense layers: `[B, h, w, C]` to the logit `[B, 1]`."""
    _, height, width, channels = x.shape
    x = layers.Permute((3, 1, 2), name="channels_first")(x)  # the order in which PyTorch flattens
    x = layers.Flatten(name="flatten")(x)
    x = dense(units, height * width * channels, "linear1")(x)
    x = layers.LeakyReLU(0.2, name="linear1_lrelu")(x)
    return dense(1, units, "linear2", dtype="float32")(x)
