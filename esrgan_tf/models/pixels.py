"""Pixel shuffles, pixel unshuffles and upscaling of images with sizes known only at run time.

Saved models use Keras' own operations, so they have no custom objects and run on every backend. Keras' `depth_to_space`
exists only since Keras 3.14, and a Reshape layer infers one unknown size, not two. Exports use TensorFlow's operations,
because other runtimes do not support Keras' operations.
"""

from keras import layers, ops

from esrgan_tf.models.build_targets import BuildTarget, built_for


def pixel_shuffle(x, r: int, name: str, **kwargs):
    """`[B, h, w, r * r * C]` to `[B, r * h, r * w, C]`, with channels in TensorFlow's order (i, j, c).

    Without `dtype` in `kwargs`, the layers compute in the policy's precision.
    """
    if r == 1:
        return x
    if built_for(BuildTarget.INFERENCE):
        return PixelShuffle(r, name=name, **kwargs)(x)
    if built_for(BuildTarget.EXPORT):
        return _tensorflow_layer(lambda x, tf: tf.nn.depth_to_space(x, r), x.shape[-1] // r**2, name, **kwargs)(x)
    for axis, side in ((1, "rows"), (2, "columns")):
        parts = ops.split(x, r, axis=-1)
        x = layers.Concatenate(axis=axis, name=f"{name}_{side}", **kwargs)(parts)  # r * n lines, in the order (i, line)
        count = _line_numbers(x, axis)  # 0 … r * n - 1
        n = ops.floor_divide(ops.max(count) + 1, r)
        x = ops.take(x, ops.mod(count, r) * n + ops.floor_divide(count, r), axis=axis)  # in the order (line, i)
    return x


class PixelShuffle(layers.Layer):
    """A pixel shuffle by one transposition, which takes a third of the time of TensorFlow's `depth_to_space`."""

    def __init__(self, r: int, **kwargs):
        super().__init__(**kwargs)
        self.r = r

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        upscaled = (None if side is None else self.r * side for side in (height, width))
        return batch, *upscaled, channels // self.r**2

    def call(self, x):
        import tensorflow as tf

        (batch, height, width), line = tf.unstack(tf.shape(x)[:3]), x.shape[3] // self.r
        x = tf.reshape(x, (batch * height, width, self.r, line))  # [rows, width, r lines, r pixels each]
        x = tf.transpose(x, (0, 2, 1, 3))
        return tf.reshape(x, (batch, self.r * height, self.r * width, line // self.r))


class PixelUnshuffle(layers.Layer):
    """A pixel unshuffle; the edge completes sizes that are no multiple of `r`."""

    def __init__(self, r: int, **kwargs):
        super().__init__(**kwargs)
        self.r = r

    def compute_output_shape(self, input_shape):
        return input_shape[0], None, None, input_shape[3] * self.r**2

    def call(self, x):
        import tensorflow as tf

        x = tf.concat([x] + [x[:, -1:]] * (self.r - 1), 1)
        x = tf.concat([x] + [x[:, :, -1:]] * (self.r - 1), 2)
        height, width = (tf.shape(x)[axis] // self.r * self.r for axis in (1, 2))
        return tf.nn.space_to_depth(x[:, :height, :width], self.r)


class CropToScale(layers.Layer):
    """Crops the second input to `scale` times the height and width of the first."""

    def __init__(self, scale: int, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def compute_output_shape(self, input_shape):
        return input_shape[1]

    def call(self, inputs):
        import tensorflow as tf

        height, width = (self.scale * tf.shape(inputs[0])[axis] for axis in (1, 2))
        return inputs[1][:, :height, :width]


def pixel_unshuffle(image, r: int):
    """Float32 `[B, H, W, C]` to `[B, ceil(H / r), ceil(W / r), r * r * C]`, channels in the order (i, j, c).

    Sizes that are no multiples of r are padded by repeating the last row and column.
    """
    if built_for(BuildTarget.INFERENCE):
        return PixelUnshuffle(r, name="unshuffle", dtype="float32")(image)
    x = layers.Concatenate(axis=1, dtype="float32", name="repeat_last_row")([image] + [image[:, -1:]] * (r - 1))
    x = layers.Concatenate(axis=2, dtype="float32", name="repeat_last_column")([x] + [x[:, :, -1:]] * (r - 1))
    if built_for(BuildTarget.EXPORT):

        def unshuffle(x, tf):
            height, width = tf.shape(x)[1] // r * r, tf.shape(x)[2] // r * r
            return tf.nn.space_to_depth(x[:, :height, :width], r)

        return _tensorflow_layer(unshuffle, x.shape[-1] * r**2, "unshuffle", dtype="float32")(x)
    return ops.image.extract_patches(x, size=r, padding="valid")  # explicit strides trigger a bug in Keras 3.12


def upscale_nearest(x, r: int, name: str, **kwargs):
    """`[B, h, w, C]` to `[B, r * h, r * w, C]` by repeating every pixel r times in both directions."""
    if r == 1:
        return x
    if built_for(BuildTarget.EXPORT):
        # A pixel shuffle of r * r copies. UpSampling2D loses the number of channels, which LiteRT's convolutions need.
        # `tf.image.resize` has no gradient in XLA.
        return _tensorflow_layer(
            lambda x, tf: tf.nn.depth_to_space(tf.concat([x] * r**2, -1), r), x.shape[-1], name, **kwargs
        )(x)
    return layers.UpSampling2D(r, interpolation="nearest", name=name, **kwargs)(x)


def upscale_bilinearly(x, r: int, name: str, **kwargs):
    """`[B, h, w, C]` to `[B, r * h, r * w, C]`, with pixels as areas (PyTorch's `align_corners=False`).

    Repeats every pixel r times, then averages r neighbours; for an even r, a second average centres the result. Unlike
    Keras' bilinear `UpSampling2D`, these layers have gradients in XLA and accept sizes known only at run time.
    """
    x = upscale_nearest(x, r, f"{name}_nearest", **kwargs)
    edge = r // 2
    x = layers.Concatenate(axis=1, name=f"{name}_rows", **kwargs)([x[:, :1]] * edge + [x] + [x[:, -1:]] * edge)
    x = layers.Concatenate(axis=2, name=f"{name}_columns", **kwargs)([x[:, :, :1]] * edge + [x] + [x[:, :, -1:]] * edge)
    x = layers.AveragePooling2D(r, strides=1, name=f"{name}_mean", **kwargs)(x)
    return x if r % 2 else layers.AveragePooling2D(2, strides=1, name=f"{name}_between", **kwargs)(x)


def crop_to_multiple_of(image, x, scale: int):
    """Crops `x` to `scale` times the height and width of `image`."""
    if built_for(BuildTarget.INFERENCE):
        return CropToScale(scale, name="crop", dtype="float32")([image, x])
    if built_for(BuildTarget.EXPORT):

        def crop(both, tf):
            height, width = tf.shape(both[0])[1], tf.shape(both[0])[2]
            return both[1][:, : scale * height, : scale * width]

        return _tensorflow_layer(crop, x.shape[-1], "crop", dtype="float32")([image, x])
    for axis in (1, 2):
        x = ops.take(x, _line_numbers(image, axis, scale), axis=axis)
    return x


def _tensorflow_layer(function, channels, name, **kwargs):
    """A layer of `function(x, tensorflow)` with a result `[B, H, W, channels]` of any size."""
    import tensorflow as tf

    return layers.Lambda(function, (None, None, channels), arguments={"tf": tf}, name=name, **kwargs)


def _line_numbers(x, axis, times=1):
    """Numbers from 0, int32 `[times * n]`, for the n rows or columns of `x` along `axis`."""
    line = ops.take(ops.take(x, 0, axis=3), 0, axis=3 - axis)  # [B, n]
    ones = ops.ones_like(ops.take(line, 0, axis=0), dtype="int32")  # [n]
    return ops.cumsum(ops.repeat(ones, times)) - 1
