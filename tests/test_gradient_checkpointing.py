"""Activations that are computed again: equal losses and gradients, and the activations that a step keeps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from esrgan_tf.config import PhaseConfig, load_config
from esrgan_tf.errors import UserError
from esrgan_tf.models import (
    compact_generator,
    compact_resnet_generator,
    dpsr_generator,
    edsr_generator,
    rcan_generator,
    rrdb_generator,
    span_generator,
    srresnet_generator,
)
from esrgan_tf.training.building import build_phase
from esrgan_tf.training.gradient_checkpointing import checkpoint_gradients
from esrgan_tf.training.psnr_step import PsnrStep
from esrgan_tf.training.train_step import TrainStep
from tests.conftest import random_image, randomise

NETWORKS = {
    "rrdb": lambda: rrdb_generator(filters=6, blocks=2, growth=3),
    "packed rrdb": lambda: rrdb_generator(2, filters=6, blocks=1, growth=3),
    "compact_resnet": lambda: compact_resnet_generator(filters=6, blocks=2),
    "srresnet": lambda: srresnet_generator(filters=6, blocks=2, batch_norm=False),
    "edsr": lambda: edsr_generator(filters=6, blocks=2),
    "rcan": lambda: rcan_generator(filters=6, groups=2, blocks=2, reduction=3),
    "dpsr": lambda: dpsr_generator(filters=6, blocks=2),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_losses_and_gradients_are_the_same(name):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = randomise(NETWORKS[name]())
    channels, scale = model.inputs[0].shape[-1], 2 if name == "packed rrdb" else 4
    lr = tf.constant(np.concatenate([random_image(8, 8, seed, channels) for seed in range(2)]))
    hr = tf.constant(np.concatenate([random_image(8 * scale, 8 * scale, seed) for seed in range(2)]))

    def compiled_step(*forward):  # both compiled, because sums without compilation have another order
        step = PsnrStep(model, PhaseConfig(), *forward)
        return tf.function(lambda *images: strategy.run(step, args=(*images, tf.ones(()))), autograph=False)

    losses, gradients = compiled_step()(lr, hr)
    compiled = compiled_step(checkpoint_gradients(model))
    again, recomputed = compiled(lr, hr)
    np.testing.assert_allclose(again["pixel"], losses["pixel"], rtol=1e-6)
    for a, b, variable in zip(recomputed["generator"], gradients["generator"], model.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6 * np.abs(b).max(), err_msg=variable.path)
    graph = str(compiled.get_concrete_function(lr, hr).graph.as_graph_def())
    once = sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers)
    assert graph.count('op: "Conv2D"\n') > once  # the graph contains the convolutions of the blocks twice


@pytest.mark.parametrize("phase", ["psnr", "gan"])
def test_a_run_may_use_gradient_checkpointing(phase):
    """Two steps of a phase, with and without gradient checkpointing, give the same columns."""
    columns = []
    for recompute in ("none", "blocks"):
        config = load_config(
            None,
            [
                "generator.name=compact_resnet", "generator.filters=4", "generator.blocks=2",
                "discriminator.name=unet_sn",
                "discriminator.filters=2", "gan.perceptual_weight=0", f"runtime.gradient_checkpointing={recompute}",
            ],
        )  # fmt: skip
        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
        keras.utils.set_random_seed(0)
        with strategy.scope():
            built = build_phase(phase, config)
        one = TrainStep(built, strategy, config.runtime)
        lr, hr = (np.rint(255 * random_image(side, side)).astype(np.uint8) for side in (16, 64))
        columns.append([one(tf.constant(lr), tf.constant(hr), tf.constant(0.0)).numpy() for _ in range(2)])
    np.testing.assert_allclose(*columns, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: compact_generator(filters=4, blocks=1), "compact_generator has no residual blocks; use none"),
        (lambda: span_generator(filters=4, blocks=1), "span_generator has no residual blocks; use none"),
        (
            lambda: srresnet_generator(filters=4, blocks=1),
            "batch statistics, which would be counted twice; use none, or",
        ),
    ],
)
def test_a_network_without_gradient_checkpointing_is_refused(model, message):
    with pytest.raises(UserError, match=message):
        checkpoint_gradients(model())
