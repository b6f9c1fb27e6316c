"""The training losses of the family: tensors in, scalar out. Each name is also the loss's tag in TensorBoard.

Means are over the caller's batch. Under `tf.distribute` the batch is one replica's share, so the caller divides by the
number of replicas and sums. Only the relativistic means, which couple the images of a batch, include all replicas.
"""

import tensorflow as tf

GRID_WINDOW = 8


def pixel_loss(hr: tf.Tensor, sr: tf.Tensor, norm: str = "l1") -> tf.Tensor:
    """Mean absolute (`l1`) or squared (`l2`) difference of two `[B, H, W, 3]` images in [0, 1].

    ESRGAN, section 3.3, uses `l1`; SRGAN, section 2.2.1, uses `l2`.
    """
    return _difference(hr, sr, norm)


def checkerboard_loss(hr: tf.Tensor, sr: tf.Tensor, scale: int) -> tf.Tensor:
    """Strength of patterns with a period of `scale` pixels in the difference of two images and of their textures.

    The images are `[b, scale * h, scale * w, c]`. Networks that compute at the input's size produce checkerboard
    artefacts when a loss rewards texture.

    An input pixel covers scale^2 output positions. The loss averages the difference per position over `GRID_WINDOW` by
    `GRID_WINDOW` input pixels and subtracts the mean of all positions. The absolute values are averaged. The texture,
    which is the distance of a pixel from the mean around it, adds the corresponding term.
    """
    around = 2 * (scale // 2) + 1  # pixels per side: an input pixel, centred on any output position
    hr_texture, sr_texture = (tf.abs(image - tf.nn.avg_pool2d(image, around, 1, "SAME")) for image in (hr, sr))
    return _measure_periodicity(sr - hr, scale) + _measure_periodicity(sr_texture - hr_texture, scale)


def _measure_periodicity(difference, scale):
    positions = tf.nn.space_to_depth(difference, scale)
    window = min(GRID_WINDOW, *positions.shape[1:3])
    means = tf.nn.avg_pool2d(positions, window, 1, "VALID")
    shape = tf.shape(means)
    means = tf.reshape(means, tf.concat([shape[:3], [scale**2, difference.shape[3]]], axis=0))
    return tf.reduce_mean(tf.abs(means - tf.reduce_mean(means, axis=3, keepdims=True)))


def perceptual_loss(
    hr_features: dict[str, tf.Tensor],
    sr_features: dict[str, tf.Tensor],
    layer_weights: dict[str, float],
    norm: str = "l1",
) -> tf.Tensor:
    """Weighted sum over layers of the mean difference of VGG features (ESRGAN, section 3.3; SRGAN, section 2.2.1).

    Args:
        hr_features: `{layer: [B, h, w, C]}` from `vgg19_features` of the ground truth, held constant.
        sr_features: features of the generator's images.
        layer_weights: `{layer: weight}`.
        norm: `l1` or `l2`, as in `pixel_loss`.
    """
    terms = []
    for layer, weight in layer_weights.items():
        target = tf.stop_gradient(tf.cast(hr_features[layer], tf.float32))
        terms.append(weight * _difference(target, tf.cast(sr_features[layer], tf.float32), norm))
    return tf.add_n(terms)


def plain_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """The generator's side of the GAN, on logits of any shape: `BCE(D(fake), 1)` (SRGAN, section 2.2.2)."""
    return _cross_entropy(fake_logits, 1.0)


def plain_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """The discriminator's side of the GAN, on logits of any shape: `BCE(D(real), 1) + BCE(D(fake), 0)`."""
    return _cross_entropy(real_logits, 1.0) + _cross_entropy(fake_logits, 0.0)


def relativistic_generator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """The generator's side of the relativistic average GAN (ESRGAN, section 3.2), on logits of any shape.

    `0.5 * [BCE(D(real) - mean D(fake), 0) + BCE(D(fake) - mean D(real), 1)]`, D(real) held constant.
    """
    real_logits = tf.stop_gradient(real_logits)
    return 0.5 * (
        _cross_entropy(real_logits - _global_mean(fake_logits), 0.0)
        + _cross_entropy(fake_logits - _global_mean(real_logits), 1.0)
    )


def relativistic_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """The discriminator's side of the relativistic average GAN (ESRGAN, section 3.2), on logits of any shape.

    `0.5 * [BCE(D(real) - mean D(fake), 1) + BCE(D(fake) - mean D(real), 0)]`, both means held constant.
    """
    return 0.5 * (
        _cross_entropy(real_logits - tf.stop_gradient(_global_mean(fake_logits)), 1.0)
        + _cross_entropy(fake_logits - tf.stop_gradient(_global_mean(real_logits)), 0.0)
    )


def _difference(a, b, norm):
    return tf.reduce_mean({"l1": tf.abs, "l2": tf.square}[norm](a - b))


def _cross_entropy(logits, label):
    labels = label * tf.ones_like(logits)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))


def _global_mean(logits):
    """The mean over the batches of all replicas, with gradients to each replica."""
    mean = tf.reduce_mean(logits)
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return mean
    return replica.all_reduce(tf.distribute.ReduceOp.MEAN, mean)
