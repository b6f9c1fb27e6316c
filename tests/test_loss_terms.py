"""A row of the table of loss terms is the only addition that a term needs, besides its function and its key."""

import csv
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from esrgan_tf.config import GanConfig, load_config
from esrgan_tf.data import Patches
from esrgan_tf.publish.model_card import model_card
from esrgan_tf.runs.folder import read_metrics
from esrgan_tf.training import curves, loss_terms
from esrgan_tf.training.gan_step import GanStep
from esrgan_tf.training.loss_terms import LOSS_TERMS, Curve, LossTerm
from tests.conftest import run_process
from tests.small_training import Store, small_discriminator, small_generator


@dataclass(frozen=True)
class WithBrightness(GanConfig):
    brightness_weight: float = 3.0


@pytest.fixture
def brightness(monkeypatch):
    """A table with one more term: the mean of the generator's images."""
    term = LossTerm(
        Curve("brightness", "brightness loss"),
        "brightness_weight",
        lambda step: tf.reduce_mean(step.sr),
        lambda gan: "brightness, for a test",
    )
    monkeypatch.setattr(loss_terms, "LOSS_TERMS", (*LOSS_TERMS, term))


def test_a_new_term_is_weighed_and_measured(brightness):
    lr, hr = (tf.constant(x / np.float32(255)) for x in Patches(Store(), 4, 32, 4, 0).batch(0))
    generator, critic = small_generator(), small_discriminator()
    none = {"pixel_weight": 0.0, "perceptual_weight": 0.0, "adversarial_weight": 0.0}
    step = GanStep(generator, critic, None, WithBrightness(**none))
    losses, gradients = step(lr, hr, tf.ones(()))
    assert step.losses == tuple(losses)
    assert float(losses["brightness"]) == pytest.approx(float(np.mean(generator(lr))), rel=1e-5)
    with tf.GradientTape() as tape:
        expected = 3.0 * tf.reduce_mean(generator(lr, training=True))
    for a, b in zip(gradients["generator"], tape.gradient(expected, generator.trainable_variables), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)


def test_a_new_term_has_a_panel(brightness, tmp_path):
    rows = [{"step": str(step), "brightness": str(0.1 * step)} for step in (1, 2, 3)]
    figure = curves._figure({"gan": curves._curves(rows)})
    assert [axes.get_title("left") for axes in figure.subfigs[0].axes] == ["brightness loss"]
    assert curves.draw_curves({"gan": rows}, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"


def test_a_new_term_is_on_the_card(brightness, tmp_path):
    assert loss_terms.loss_table(WithBrightness()).endswith("| brightness, for a test | 3 |\n")
    config = load_config(None, ["gan.pixel_weight=0.25"])
    object.__setattr__(config, "gan", WithBrightness())
    assert "| brightness, for a test | 3 |" in model_card("name", config, 1.0, 7, tmp_path, ["gan"])


def test_each_term_has_a_key_and_a_column_of_its_own():
    assert all(hasattr(GanConfig(), term.key) for term in LOSS_TERMS)
    columns = [curve.column for curve in loss_terms.loss_curves()]
    assert len(set(columns)) == len(columns)


def test_metrics_of_0_1_0_are_read_by_the_names_of_today(tmp_path):
    with open(tmp_path / "metrics.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["step", "pixel", "grid"], [10, 0.5, 0.25]])
    assert read_metrics(tmp_path) == [{"step": "10", "pixel": "0.5", "checkerboard": "0.25"}]


def test_the_table_needs_no_tensorflow():
    program = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['keras'] = None; "
        "import esrgan_tf.training.curves, esrgan_tf.publish.model_card"
    )
    assert run_process(sys.executable, "-c", program).returncode == 0
