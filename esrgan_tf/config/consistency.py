"""Checks of a configuration's keys against each other."""

from esrgan_tf.config.sections import Config, DegradationRoundConfig, SecondRoundConfig
from esrgan_tf.errors import UserError
from esrgan_tf.schema import nearest


def check_consistency(config: Config) -> None:
    """Raises UserError for contradictory keys."""
    patch, scale = config.data.hr_patch, config.generator.scale
    config.generator.check()
    config.discriminator.check()
    if patch % scale:
        raise UserError(
            f"data.hr_patch: {patch} is not divisible by generator.scale {scale}; "
            f"{max(1, round(patch / scale)) * scale} is"
        )
    for name, phase in (("psnr", config.psnr), ("gan", config.gan)):
        if list(phase.decay_steps) != sorted(set(phase.decay_steps)) or min(phase.decay_steps, default=1) < 1:
            raise UserError(f"{name}.decay_steps: {list(phase.decay_steps)} must be positive and increasing")
    if min(config.gan.perceptual_layers.values()) < 0:
        raise UserError(f"gan.perceptual_layers: {config.gan.perceptual_layers} must not have a negative weight")
    check_degradation(config)
    if config.data.lr_dir is not None and config.degradation.kind == "second_order":
        raise UserError(
            "data.lr_dir has no effect with degradation.kind=second_order, which makes LR images from data.hr_dir"
        )
    if config.data.source == "folder" and config.data.hr_dir is None:
        raise UserError("data.source=folder needs data.hr_dir, the folder of your HR images")
    if config.data.lr_dir is not None and config.data.hr_dir is None:
        raise UserError("data.lr_dir needs data.hr_dir, the folder of the HR images")
    if config.data.val_lr_dir is not None and config.data.val_hr_dir is None:
        raise UserError("data.val_lr_dir needs data.val_hr_dir, the folder of the HR images")


def check_degradation(config: Config) -> None:
    """Raises UserError for contradictory keys of the degradation."""
    _check_sizes("degradation.sinc_sizes", config.degradation.sinc_sizes)
    _check_round("degradation_1", config.degradation_1, DegradationRoundConfig())
    _check_round("degradation_2", config.degradation_2, SecondRoundConfig())


def _check_sizes(key, sizes):
    if not sizes or any(size % 2 == 0 for size in sizes):
        raise UserError(f"{key}: {list(sizes)} must be odd numbers, at least one")


def _check_round(name, values, defaults):
    """Checks a round of the second-order degradation; `defaults` has the names of the kinds."""
    _check_sizes(f"{name}.blur_sizes", values.blur_sizes)
    for key in ("blur_kinds", "resize"):
        weights, kinds = getattr(values, key), getattr(defaults, key)
        for kind in weights:
            if kind not in kinds:
                raise UserError(f"{name}.{key}: unknown {kind!r}{nearest(str(kind), kinds)}")
        if min(weights.values()) < 0 or sum(weights.values()) <= 0:
            raise UserError(f"{name}.{key}: {weights} must not be negative, and at least one must be positive")
    for key in ("resize_scale", "generalised_beta", "plateau_beta"):
        least, most = getattr(values, key)
        if not least <= 1 <= most:
            raise UserError(f"{name}.{key}: {[least, most]} must include 1")
