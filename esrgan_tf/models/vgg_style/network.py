"""The VGG-style discriminator of ESRGAN (Wang et al., arXiv 1809.00219, section 3.2), after SRGAN's."""

import keras
from keras import layers

from esrgan_tf.models.torch_initialisation import conv
from esrgan_tf.models.vgg_stages import classify, halve, normalise


def vgg_discriminator(image_size: int = 128, filters: int = 64) -> keras.Model:
    """Builds the discriminator: RGB float `[B, S, S, 3]` in [0, 1] to float32 logits `[B, 1]`, S = `image_size`.

    The defaults have 14,499,401 trainable parameters. Layers and their names are those of BasicSR's
    `VGGStyleDiscriminator`. Batch statistics are taken over all replicas of a distributed step.

    Raises:
        ValueError: `image_size` is not a multiple of 32, which five halvings require.
    """
    if image_size % 32 or image_size < 32:
        raise ValueError(f"image_size {image_size}: the VGG discriminator needs a multiple of 32")

    image = keras.Input((image_size, image_size, 3), name="image")  # [B, S, S, 3]
    x = conv(filters, 3, 3, "conv0_0")(image)
    x = layers.LeakyReLU(0.2, name="conv0_0_lrelu")(x)
    x = halve(x, filters, 4, "conv0_1")  # [B, S/2, S/2, filters]
    inputs = filters
    for stage, outputs in enumerate((2 * filters, 4 * filters, 8 * filters, 8 * filters), start=1):
        x = conv(outputs, inputs, 3, f"conv{stage}_0", use_bias=False)(x)
        x = normalise(x, f"conv{stage}_0")
        x = halve(x, outputs, 4, f"conv{stage}_1")  # ends at [B, S/32, S/32, 8 * filters]
        inputs = outputs
    return keras.Model(image, classify(x, 100), name="vgg_discriminator")
