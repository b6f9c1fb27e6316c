"""The noise level that some networks take as a channel behind those of the image, such as DPSR's."""

from keras import ops


def takes_noise_level(model) -> bool:
    """Whether a generator has one channel more coming in than going out."""
    return model.inputs[0].shape[-1] == model.outputs[0].shape[-1] + 1


def with_noise_level(image, model, level: float = 0.0):
    """Adds the channel to float `[B, H, W, C]` where `model` takes one more than there are.

    Args:
        level: standard deviation of the image's noise, in the image's unit.
    """
    if image.shape[-1] + 1 != model.inputs[0].shape[-1] or not takes_noise_level(model):
        return image
    return ops.concatenate([image, ops.full_like(image[..., :1], level)], axis=-1)
