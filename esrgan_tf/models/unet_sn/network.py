"""The U-Net discriminator of Real-ESRGAN with spectral normalisation (Wang et al., arXiv 2107.10833, section 3.3)."""

import math

import keras
from keras import layers, ops

from esrgan_tf.models.pixels import upscale_bilinearly
from esrgan_tf.models.torch_initialisation import conv


def unet_sn_discriminator(filters: int = 64) -> keras.Model:
    """Builds the discriminator: RGB float `[B, H, W, 3]` in [0, 1] to float32 logits `[B, H, W, 1]`, one per pixel.

    H and W must be multiples of 8. The defaults have 4,376,897 trainable parameters. Layers and their names are those
    of BasicSR's `UNetDiscriminatorSN`.
    """
    image = keras.Input((None, None, 3), name="image")
    x0 = conv(filters, 3, 3, "conv0")(image)
    x0 = layers.LeakyReLU(0.2, name="conv0_lrelu")(x0)  # [B, H, W, filters]
    x1 = _halve(x0, 2 * filters, "conv1")  # [B, H/2, W/2, 2 * filters]
    x2 = _halve(x1, 4 * filters, "conv2")
    x3 = _halve(x2, 8 * filters, "conv3")  # [B, H/8, W/8, 8 * filters]
    x = _spectral(upscale_bilinearly(x3, 2, "up4"), 4 * filters, 3, "conv4")
    x = layers.Add(name="skip4")([x, x2])
    x = _spectral(upscale_bilinearly(x, 2, "up5"), 2 * filters, 3, "conv5")
    x = layers.Add(name="skip5")([x, x1])
    x = _spectral(upscale_bilinearly(x, 2, "up6"), filters, 3, "conv6")
    x = layers.Add(name="skip6")([x, x0])  # [B, H, W, filters]
    x = _spectral(x, filters, 3, "conv7")
    x = _spectral(x, filters, 3, "conv8")
    x = conv(1, filters, 3, "conv9", dtype="float32")(x)  # [B, H, W, 1]
    return keras.Model(image, x, name="unet_sn_discriminator")


def _halve(x, filters, name):
    # Explicit padding: Keras' "same" with stride 2 depends on the image size, PyTorch pads 1 on every side.
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return _spectral(x, filters, 4, name, strides=2, padding="valid")


def _spectral(x, filters, size, name, **kwargs):
    layer = conv(filters, x.shape[-1], size, name, use_bias=False, **kwargs)
    layer.build(x.shape)  # before wrapping, as in loading, so that paths of weights are equal
    x = SpectralNormalization(layer, dtype="float32", name=f"{name}_sn")(x)
    return layers.LeakyReLU(0.2, name=f"{name}_lrelu")(x)


@keras.saving.register_keras_serializable("esrgan_tf")
class SpectralNormalization(layers.SpectralNormalization):
    """Divides a linear layer by its largest singular value (Miyato et al., arXiv 1802.05957), as PyTorch does.

    Keras' layer divides the kernel in place without a gradient, unlike the training of the downloadable weights. This
    layer keeps the kernel and both singular vectors, so that imported weights are exported unchanged. It divides the
    output, which is equivalent because the layer has neither bias nor activation.
    """

    def build(self, input_shape):
        super().build(input_shape)
        rows = math.prod(self.kernel.shape[:-1])
        self.vector_v = self.add_weight(shape=(1, rows), initializer="random_normal", trainable=False, name="vector_v")
        for vector in (self.vector_u, self.vector_v):
            vector.assign(_unit(vector.value))

    def call(self, inputs, training=False):
        kernel = ops.reshape(self.kernel, (-1, self.kernel.shape[-1]))  # [rows, filters]
        if training:
            v, u = self.vector_v.value, self.vector_u.value
            for _ in range(self.power_iterations):
                v = _unit(ops.matmul(u, ops.transpose(kernel)))
                u = _unit(ops.matmul(v, kernel))
            self.vector_v.assign(ops.stop_gradient(v))
            self.vector_u.assign(ops.stop_gradient(u))
        largest = ops.sum(ops.matmul(self.vector_v.value, kernel) * self.vector_u.value)
        output = self.layer(inputs)
        return output / ops.cast(largest, output.dtype)


def _unit(vector):
    return vector / ops.maximum(ops.norm(vector), 1e-12)
