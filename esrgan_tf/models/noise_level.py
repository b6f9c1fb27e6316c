"""The noise level, an additional last input channel of noise-conditioned networks such as DPSR."""

from esrgan_tf.errors import UserError

MAX_NOISE = 50  # of 255; noise-conditioned networks are trained up to this level


def check_noise(noise: float, name: str = "noise") -> None:
    """Raises UserError where a noise level is out of range."""
    if not 0 <= noise <= MAX_NOISE:
        raise UserError(f"{name} {noise:g}: must be from 0 to {MAX_NOISE}, of 255")


def takes_noise_level(model) -> bool:
    """Whether a generator has one more input channel than output channels."""
    return model.inputs[0].shape[-1] == model.outputs[0].shape[-1] + 1


def with_noise_level(image, model, level: float = 0.0):
    """Adds the noise level to float `[B, H, W, C]` if `model` takes C + 1 channels.

    Args:
        level: standard deviation of the image's noise, in the image's unit.
    """
    if image.shape[-1] + 1 != model.inputs[0].shape[-1] or not takes_noise_level(model):
        return image
    from keras import ops  # a check of a level needs no Keras

    return ops.concatenate([image, ops.full_like(image[..., :1], level)], axis=-1)
