"""The terms of the generator's loss, a row per term. Imports TensorFlow only to compute a term.

`LOSS_TERMS` determines the training steps, the columns of `metrics.csv`, the curves and the model card. A new term
needs a function, a row here and a key in `config/sections.py` for its weight.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from esrgan_tf.config import PhaseConfig

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class StepTensors:
    """A replica's tensors in a step, from which the terms are computed.

    Attributes:
        config: the phase's configuration.
        scale: the generator's scale.
        hr, sr: the targets, sharpened if the phase sharpens targets, and the generator's images,
            `[b, scale * h, scale * w, 3]` in [0, 1].
        features: VGG19 features of `hr` and `sr` as `{layer: [b, h, w, c]}`; None without the perceptual term.
        logits: the discriminator's logits on real and generated images; None in phase `psnr`.
    """

    config: Any
    scale: int
    hr: "tf.Tensor"
    sr: "tf.Tensor"
    features: tuple[dict[str, "tf.Tensor"], dict[str, "tf.Tensor"]] | None = None
    logits: tuple["tf.Tensor", "tf.Tensor"] | None = None


@dataclass(frozen=True)
class Curve:
    """A column of `metrics.csv` and its panel in the curves.

    Attributes:
        column: the column's name, also its tag in TensorBoard.
        panel: the panel's title; columns with the same title share a panel.
        legend: the column's name in a shared panel.
        unit: `loss`, or another unit of the panel.
    """

    column: str
    panel: str
    legend: str = ""
    unit: str = "loss"


@dataclass(frozen=True)
class LossTerm:
    """A term of the generator's loss.

    Attributes:
        curve: the term's column and panel.
        key: the weight's key in the section of each phase that has the term.
        compute: the scalar, before the weight.
        description: the phase's settings of the term, for the model card.
        optional: a weight of 0 removes the column.
    """

    curve: Curve
    key: str
    compute: Callable[[StepTensors], "tf.Tensor"]
    description: Callable[[Any], str]
    optional: bool = False

    @property
    def name(self) -> str:
        """The column's name."""
        return self.curve.column

    def weight(self, config: PhaseConfig) -> float:
        """The term's weight in the phase."""
        return getattr(config, self.key)


def _pixel(step):
    from esrgan_tf.training.losses import pixel_loss

    return pixel_loss(step.hr, step.sr, step.config.pixel_loss)


def _perceptual(step):
    import tensorflow as tf

    from esrgan_tf.training.losses import perceptual_loss

    if step.features is None:
        return tf.zeros(())
    hr, sr = step.features
    return perceptual_loss(hr, sr, step.config.perceptual_layers, step.config.perceptual_loss)


def _adversarial(step):
    from esrgan_tf.training.losses import plain_generator_loss, relativistic_generator_loss

    real, fake = step.logits
    if step.config.adversarial_loss == "relativistic":
        return relativistic_generator_loss(real, fake)
    return plain_generator_loss(fake)


def _checkerboard(step):
    from esrgan_tf.training.losses import checkerboard_loss

    return checkerboard_loss(step.hr, step.sr, step.scale)


_NORMS = {"l1": "L1", "l2": "MSE"}


def _describe_perceptual(gan):
    layers = ", ".join(f"{layer} ({weight:g})" for layer, weight in gan.perceptual_layers.items())
    return f"perceptual, VGG19 {layers}, {_NORMS[gan.perceptual_loss]}"


LOSS_TERMS: tuple[LossTerm, ...] = (
    LossTerm(
        Curve("pixel", "pixel loss"),
        "pixel_weight",
        _pixel,
        lambda phase: f"pixel, {_NORMS[phase.pixel_loss]}",
    ),
    LossTerm(
        Curve("perceptual", "perceptual loss"),
        "perceptual_weight",
        _perceptual,
        _describe_perceptual,
    ),
    LossTerm(
        Curve("adversarial", "adversarial losses", "generator"),
        "adversarial_weight",
        _adversarial,
        lambda gan: f"adversarial, {gan.adversarial_loss}",
    ),
    LossTerm(
        Curve("checkerboard", "checkerboard loss"),
        "checkerboard_weight",
        _checkerboard,
        lambda gan: "checkerboard",
        optional=True,
    ),
)

# The discriminator's values, recorded but not part of the generator's loss.
DISCRIMINATOR_CURVES = (
    Curve("discriminator", "adversarial losses", "discriminator"),
    Curve("logit_real", "mean logits of the discriminator", "real", "logit"),
    Curve("logit_fake", "mean logits of the discriminator", "generated", "logit"),
)


def terms_of(config: PhaseConfig) -> list[LossTerm]:
    """The terms that a phase computes and records."""
    present = [term for term in LOSS_TERMS if hasattr(config, term.key)]
    return [term for term in present if not term.optional or term.weight(config)]


def generator_loss(step: StepTensors) -> tuple["tf.Tensor", dict[str, "tf.Tensor"]]:
    """The weighted sum of the phase's terms, and `{name: term}` before the weights."""
    terms = {term.name: term.compute(step) for term in terms_of(step.config)}
    weighted = [term.weight(step.config) * terms[term.name] for term in terms_of(step.config)]
    return sum(weighted[1:], weighted[0]), terms


def loss_table(config: PhaseConfig) -> str:
    """The phase's terms with their weights, as a Markdown table for the model card."""
    terms = [term for term in terms_of(config) if term.weight(config)]
    rows = "".join(f"| {term.description(config)} | {term.weight(config):g} |\n" for term in terms)
    return f"| loss of phase gan | weight |\n| --- | --- |\n{rows}"


def loss_curves() -> list[Curve]:
    """The columns of all terms and of the discriminator, in the order of their panels."""
    return [*(term.curve for term in LOSS_TERMS), *DISCRIMINATOR_CURVES]
