"""Tests every architecture of the table in every way; a new row of the table needs no new test."""

import dataclasses
import types

import keras
import numpy as np
import openvino
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from esrgan_tf import export_saved_model, load_model
from esrgan_tf.config import GanConfig, PhaseConfig, as_plain, load_config
from esrgan_tf.errors import UserError
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.models import DISCRIMINATORS, FAMILIES, GENERATORS, compact_resnet_generator, unet_sn_discriminator
from esrgan_tf.models.torch_tensors import constant
from esrgan_tf.schema import keys_of
from esrgan_tf.training.gan_step import GanStep
from esrgan_tf.training.psnr_step import PsnrStep
from esrgan_tf.weights import architecture
from esrgan_tf.weights.architecture import recognise_model
from esrgan_tf.weights.loading import load_network
from esrgan_tf.weights.torch_files import load_torch, save_torch
from tests.conftest import assert_close, random_image, randomise

SMALL = {"filters": 4, "growth": 2, "blocks": 1, "groups": 1, "reduction": 2}
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}  # OpenVINO rounds to bfloat16 where the processor can
IN_OPENVINO = (
    "rcan",
    "compact_resnet",
    "span",
    "srresnet",
)  # `python -m benchmarks.export_formats --generators` runs all networks
SIZE = 32  # a size that every discriminator can divide


def small(family):
    """The smallest options of a discriminator, for images of SIZE pixels."""
    options = family.options(**{key: value for key, value in SMALL.items() if key in keys_of(family.options)})
    return options if family.is_generator else options.for_images(SIZE)


def built(family):
    return randomise(family.build(**small(family).arguments))


@pytest.mark.parametrize("name", FAMILIES)
def test_it_is_recognised_and_its_weights_go_to_pytorch_and_back(name, tmp_path):
    """Converts each file into the next kind."""
    family = FAMILIES[name]
    model = built(family)
    found = recognise_model(model)
    assert (found.family, found.options) == (family, small(family))
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert f" {trainable:,} parameters" in str(found)
    back = model
    for extension in ("safetensors", "pth", "keras"):
        path = tmp_path / f"weights.{extension}"
        back.save(path) if extension == "keras" else save_torch(back, path)
        back = load_network(path)
        for before, after in zip(model.weights, back.weights, strict=True):
            assert before.path == after.path
            np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_configuration_has_its_keys_and_no_others(name):
    section = "generator" if name in GENERATORS else "discriminator"
    config = load_config(None, [f"{section}.name={name}"])
    chosen = getattr(config, section)
    assert chosen == FAMILIES[name].options()
    assert list(as_plain(chosen)) == ["name", *keys_of(FAMILIES[name].options)]
    with pytest.raises(UserError, match="unknown configuration key"):
        load_config(None, [f"{section}.name={name}", f"{section}.no_such_key=1"])


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_trains_exports_and_upscales(name, tmp_path):
    family = GENERATORS[name]
    model = built(family)
    lr = random_image(8, 8, channels=model.inputs[0].shape[-1])
    scale = model(lr).shape[1] // 8
    hr = random_image(8 * scale, 8 * scale)
    _, gradients = PsnrStep(model, PhaseConfig())(lr, hr, tf.ones(()))
    assert all(np.isfinite(g).all() for g in gradients["generator"])
    assert sum(float(np.abs(g).sum()) > 0 for g in gradients["generator"]) > len(gradients["generator"]) // 2
    if any("bn" in v.path for v in model.weights) or name == "rrdb":  # otherwise the step above covers the same code
        critic = unet_sn_discriminator(2)
        _, gradients = GanStep(model, critic, None, GanConfig(perceptual_weight=0.0))(lr, hr, tf.ones(()))
        assert all(np.isfinite(g).all() for network in gradients.values() for g in network)
    export_saved_model(model, tmp_path / "exported")
    image = (255 * random_image(9, 7)[0]).astype(np.uint8)
    expected = Upscaler(model)(image)
    assert expected.shape == (scale * 9, scale * 7, 3)
    np.testing.assert_array_equal(Upscaler(load_model(tmp_path / "exported"))(image), expected)
    if name in IN_OPENVINO:
        opened = openvino.compile_model(openvino.convert_model(tmp_path / "exported"), "CPU", EXACT)
        assert_close(opened(255 * lr)[0], 255 * np.asarray(model(lr)))


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_discriminator_trains(name):
    generator = keras.Sequential([keras.Input((None, None, 3)), keras.layers.UpSampling2D(4)])
    discriminator = built(DISCRIMINATORS[name])
    config = GanConfig(perceptual_weight=0.0)
    step = GanStep(generator, discriminator, None, config)
    losses, gradients = step(random_image(SIZE // 4, SIZE // 4), random_image(SIZE, SIZE), tf.ones(()))
    assert np.isfinite(losses["discriminator"])
    assert all(np.isfinite(g).all() for g in gradients["discriminator"])


def test_a_constant_is_in_every_file_and_no_other_is_read(monkeypatch, tmp_path):
    """Adds a constant like a mean colour to the architecture of the bundled models."""
    plain = GENERATORS["compact_resnet"]

    def torch_tensors(options, style):
        result = plain.mapping.torch_tensors(options, style)
        return result | constant("grey", (0.5, 0.25), (2, 1)) if style == "esrgan_tf" else result

    mapping = types.SimpleNamespace(**{**vars(plain.mapping), "torch_tensors": torch_tensors})
    monkeypatch.setattr(architecture, "FAMILIES", {"compact_resnet": dataclasses.replace(plain, mapping=mapping)})
    model = randomise(compact_resnet_generator(2, filters=4, blocks=1))
    path = tmp_path / "weights.safetensors"
    assert str(save_torch(model, path)) == str(recognise_model(model))  # the constant counts as no parameter
    state = load_file(path)
    np.testing.assert_array_equal(state["grey"], [[0.5], [0.25]])
    for before, after in zip(model.weights, load_torch(path).weights, strict=True):
        np.testing.assert_array_equal(before, after)
    save_file({**state, "grey": np.float32([[0.5], [0.75]])}, path)
    with pytest.raises(UserError, match=r"grey holds 0\.5, 0\.75; Compact ResNet supports only 0\.5, 0\.25$"):
        load_torch(path)
    del state["grey"]
    save_file(state, path)
    with pytest.raises(UserError, match=r"the file lacks grey$"):
        load_torch(path)


def test_two_architectures_that_fit_one_file_are_a_defect(monkeypatch):
    twin = dataclasses.replace(GENERATORS["compact_resnet"])
    monkeypatch.setattr(architecture, "FAMILIES", {**FAMILIES, "twin": twin})
    with pytest.raises(RuntimeError, match=r"its tensors fit Compact ResNet: .* and Compact ResNet: "):
        recognise_model(compact_resnet_generator(2, filters=4, blocks=1))
