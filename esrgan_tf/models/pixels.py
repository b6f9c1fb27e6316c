"""Pixels to channels and back, and every pixel several times, in sizes known only at run time.

Of Keras' own operations, so that a model is free of custom objects, on every backend. Its `depth_to_space` came with
Keras 3.14 and would keep files from older ones, and a Reshape layer completes one unknown size, not two. What is built
for another purpose has TensorFlow's: an export all that are here, so that it opens where Keras' are not understood.
"""

from keras import layers, ops

from esrgan_tf.models.build_targets import BuildTarget, built_for


def pixel_shuffle(x, r: int, name: str, **kwargs):
    """`[B, h, w, r * r * C]` to `[B, r * h, r * w, C]`, channels read in the order (i, j, c), TensorFlow's.

    Without `dtype` among `kwargs` its layers round to what the policy computes in.
    """
    if r == 1:
        return x
    if built_for(BuildTarget.INFERENCE):
        return PixelShuffle(r, name=name, **kwargs)(x)
    if built_for(BuildTarget.EXPORT):
        return _of_tensorflow(lambda x, tf: tf.nn.depth_to_space(x, r), x.shape[-1] // r**2, name, **kwargs)(x)
    for axis, side in ((1, "rows"), (2, "columns")):
        parts = ops.split(x, r, axis=-1)
        x = layers.Concatenate(axis=axis, name=f"{name}_{side}", **kwargs)(parts)  # r * n lines, in the order (i, line)
        count = _count_up(x, axis)  # 0 … r * n - 1
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

    Sizes that r does not divide are completed by repeating the last row and column.
    """
    if built_for(BuildTarget.INFERENCE):
        return PixelUnshuffle(r, name="unshuffle", dtype="float32")(image)
    x = layers.Concatenate(axis=1, dtype="float32", name="repeat_last_row")([image] + [image[:, -1:]] * (r - 1))
    x = layers.Concatenate(axis=2, dtype="float32", name="repeat_last_column")([x] + [x[:, :, -1:]] * (r - 1))
    if built_for(BuildTarget.EXPORT):

        def pack(x, tf):
            height, width = tf.shape(x)[1] // r * r, tf.shape(x)[2] // r * r
            return tf.nn.space_to_depth(x[:, :height, :width], r)

        return _of_tensorflow(pack, x.shape[-1] * r**2, "unshuffle", dtype="float32")(x)
    return ops.image.extract_patches(x, size=r, padding="valid")  # strides, if given, trip over a bug of Keras 3.12


def upscale_nearest(x, r: int, name: str, **kwargs):
    """`[B, h, w, C]` to `[B, r * h, r * w, C]`, every pixel r times in both directions."""
    if r == 1:
        return x
    if built_for(BuildTarget.EXPORT):
        # The shuffle of r * r copies: UpSampling2D loses the number of channels, which LiteRT's convolutions need, and
        # `tf.image.resize` has no gradient in XLA.
        return _of_tensorflow(
            lambda x, tf: tf.nn.depth_to_space(tf.concat([x] * r**2, -1), r), x.shape[-1], name, **kwargs
        )(x)
    return layers.UpSampling2D(r, interpolation="nearest", name=name, **kwargs)(x)


def upscale_bilinearly(x, r: int, name: str, **kwargs):
    """`[B, h, w, C]` to `[B, r * h, r * w, C]`, pixels as areas (PyTorch's `align_corners=False`).

    Of layers that have gradients in XLA and take sizes known only at run time, which Keras' bilinear `UpSampling2D`
    has not and does not: every pixel r times, then the mean of r neighbours, which for an even r falls between two.
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

        def cut(both, tf):
            height, width = tf.shape(both[0])[1], tf.shape(both[0])[2]
            return both[1][:, : scale * height, : scale * width]

        return _of_tensorflow(cut, x.shape[-1], "crop", dtype="float32")([image, x])
    for axis in (1, 2):
        x = ops.take(x, _count_up(image, axis, scale), axis=axis)
    return x


def _of_tensorflow(function, channels, name, **kwargs):
    """A layer of `function(x, tensorflow)`, whose result is `[B, H, W, channels]` of any size."""
    import tensorflow as tf

    return layers.Lambda(function, (None, None, channels), arguments={"tf": tf}, name=name, **kwargs)


def _count_up(x, axis, times=1):
    """int32 `[times * n]`: 0, 1, 2 …, for the n lines that `x` has along `axis` (1 or 2)."""
    line = ops.take(ops.take(x, 0, axis=3), 0, axis=3 - axis)  # [B, n]
    ones = ops.ones_like(ops.take(line, 0, axis=0), dtype="int32")  # [n]
    return ops.cumsum(ops.repeat(ones, times)) - 1
