"""Network interpolation (ESRGAN, section 3.4): weights between a PSNR generator and a GAN generator."""

import keras

from esrgan_tf.errors import UserError


def interpolate(psnr_model: keras.Model, gan_model: keras.Model, alpha: float) -> keras.Model:
    """Returns a new model with the weights `(1 - alpha) * psnr + alpha * gan`.

    Args:
        psnr_model: a generator; it is not changed.
        gan_model: a generator of the same architecture; it is not changed.
        alpha: from 0 (the PSNR network) to 1 (the GAN network). The paper's default is 0.8.

    Raises:
        UserError: alpha is outside [0, 1], or the architectures differ.
    """
    if not 0.0 <= alpha <= 1.0:
        raise UserError(f"alpha {alpha}: must be between 0 (the PSNR network) and 1 (the GAN network)")
    difference = first_difference(psnr_model, gan_model)
    if difference:
        raise UserError(f"cannot interpolate two different networks ({difference}); both must be the same generator")
    blended = keras.models.clone_model(gan_model)
    blended.set_weights(
        [(1.0 - alpha) * a + alpha * b for a, b in zip(psnr_model.get_weights(), gan_model.get_weights(), strict=True)]
    )
    return blended


def first_difference(model: keras.Model, other: keras.Model) -> str | None:
    """Describes the first weight, or else layer, in which two models differ; None if they do not differ."""
    shapes, others = ({v.path: tuple(v.shape) for v in m.weights} for m in (model, other))
    for name in {**shapes, **others}:
        if shapes.get(name) != others.get(name):
            return f"{name} is {shapes.get(name, 'absent')} in one and {others.get(name, 'absent')} in the other"
    if len(model.layers) != len(other.layers):
        return f"{len(model.layers)} layers in one and {len(other.layers)} in the other"
    for layer, layer_of_other in zip(model.layers, other.layers, strict=True):
        if _operation(layer) != _operation(layer_of_other):
            return f"layer {layer.name} has another configuration"
    return None


def _operation(layer):
    """A layer's type and configuration, without initializers and precision."""

    def without(config):
        return {
            key: without(value) if isinstance(value, dict) else value  # a wrapper's configuration is nested
            for key, value in config.items()
            if key not in ("dtype", "trainable", "batch_shape", "build_config") and not key.endswith("initializer")
        }

    return type(layer).__name__, without(layer.get_config())
