"""Training in the smallest form: a network of a few hundred weights and three images in memory, in this process."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from esrgan_tf.config import Config, GanConfig, PhaseConfig, RuntimeConfig
from esrgan_tf.data import Patches
from esrgan_tf.models import compact_resnet_generator
from esrgan_tf.models.torch_initialisation import batch_norm
from esrgan_tf.training.gan_step import GanStep
from esrgan_tf.training.loop import run_phase
from esrgan_tf.training.psnr_step import PsnrStep
from esrgan_tf.training.stopping import StopRequest
from esrgan_tf.training.train_step import Phase

CONFIG = Config(runtime=RuntimeConfig(log_every=1, validate_every=100, checkpoint_every=100))
CONSTANT = {"decay_steps": (), "warmup_steps": 0}


class Store:
    """Three images of random squares."""

    def __init__(self, side=12):
        rng = np.random.default_rng(0)
        self._side = side
        self._lr = [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(3)]
        self.names = ["0", "1", "2"]

    def __len__(self):
        return 3

    def lr(self, i, rows=slice(None)):
        return self._lr[i][rows]

    def hr(self, i, rows=slice(None)):
        return self._lr[i].repeat(4, axis=0).repeat(4, axis=1)[rows]

    def lr_size(self, i):
        return self._side, self._side

    def hr_size(self, i):
        return 4 * self._side, 4 * self._side


def with_runtime(**changes):
    return dataclasses.replace(CONFIG, runtime=dataclasses.replace(CONFIG.runtime, **changes))


def small_generator():
    return compact_resnet_generator(4, filters=4, blocks=1)


def small_discriminator(image_size=32):
    """A discriminator of few variables, which compiles fast, with batch statistics like the real networks."""
    image = keras.Input((image_size, image_size, 3))
    x = keras.layers.Conv2D(16, 3, strides=2, name="conv1")(image)
    x = batch_norm("norm")(x)
    x = keras.layers.LeakyReLU(0.2, name="activation")(x)
    x = keras.layers.Conv2D(16, 3, strides=2, name="conv2")(x)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(image, keras.layers.Dense(1, name="logit", dtype="float32")(x))


def make_phase(name, strategy, generators=small_generator, discriminators=small_discriminator, **config):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        generator, average = (generators() for _ in range(2))
        average.set_weights(generator.get_weights())
        if name == "psnr":
            config = PhaseConfig(**{"steps": 4, "learning_rate": 1e-2, **CONSTANT, **config})
            step = PsnrStep(generator, config)
        else:
            config = GanConfig(**{"steps": 4, "learning_rate": 1e-3, **CONSTANT, **config})
            step = GanStep(generator, discriminators(), None, config)
        return Phase(name, config, step, generator, average, scale=4)


def train(name, run_dir, strategy=None, whole=CONFIG, stop=None, **config):
    strategy = strategy or tf.distribute.MirroredStrategy(["CPU:0"])
    phase = make_phase(name, strategy, **config)
    patches = Patches(Store(), scale=4, hr_patch=32, batch_size=4, seed=0)
    run_phase(phase, patches, None, Store(), run_dir, whole, strategy, stop or StopRequest())
    return phase


def state_of(phase):
    state = {"average": phase.average.weights}
    for name, (network, optimizer) in phase.step.trained.items():
        state |= {name: network.weights, f"{name}_optimizer": optimizer.variables}
    return state


def all_weights(phase):
    return {f"{owner}/{v.path}": np.asarray(v) for owner, variables in state_of(phase).items() for v in variables}


def assert_same(a, b, **tolerance):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], err_msg=name, **tolerance)
