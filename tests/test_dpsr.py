import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from esrgan_tf.config import load_config
from esrgan_tf.data import Patches
from esrgan_tf.data.degradations import Degradation, DegradedStore
from esrgan_tf.errors import UserError
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.models import dpsr_generator
from esrgan_tf.models.dpsr.options import DPSR
from esrgan_tf.runs.loading import load_model
from esrgan_tf.weights.architecture import recognise_model
from esrgan_tf.weights.torch_files import describe, load_torch, save_torch
from tests import torch_reference as reference
from tests.conftest import opens_without_this_package, random_image, randomise
from tests.small_training import Store


def network_and_model(tmp_path, *arguments):
    network = reference.randomised(reference.SRResNetPlus(*arguments))
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    return network, load_torch(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(("scale", "parameters"), [(2, 3_161_664), (3, 3_576_864), (4, 3_493_824)])
def test_parameters_are_the_published_ones(scale, parameters):
    assert dpsr_generator(scale).count_params() == parameters
    assert sum(p.numel() for p in reference.SRResNetPlus(scale).parameters()) == parameters


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_output_is_pytorchs(scale, tmp_path):
    network, model = network_and_model(tmp_path, scale, 12, 3)
    assert recognise_model(model).options == DPSR(scale=scale, filters=12, blocks=3)
    assert "DPSR's SRResNet+: scale" in describe(model)
    assert "4 channels in, 3 out" in describe(model)
    for size in ((1, 1), (9, 14)):
        image = random_image(*size, channels=4)
        output, expected = np.asarray(model(image)), reference.run(network, image)
        assert np.abs(output - expected).max() <= 1e-5 * np.ptp(expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_kairs_file_converts_there_and_back_bit_for_bit(scale, tmp_path):
    network, model = network_and_model(tmp_path, scale, 6, 2)
    assert save_torch(model, tmp_path / "back.pth").style == "KAIR"
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    back = back.get("params", back)
    reference.SRResNetPlus(scale, 6, 2).load_state_dict(back, strict=True)
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(back[name], tensor, err_msg=name)


def test_a_missing_block_is_reported(tmp_path):
    state = reference.SRResNetPlus(2, 4, 3).state_dict()
    save_file({n: t for n, t in state.items() if not n.startswith("model.1.sub.1.")}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"the file lacks model\.1\.sub\.1\.res\.0\.weight"):
        load_torch(tmp_path / "w.safetensors")


def test_impossible_scale_is_refused():
    with pytest.raises(ValueError, match="scale 8"):
        dpsr_generator(8)


def test_output_is_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert dpsr_generator(2, 4, 1)(random_image(4, 4, channels=4)).dtype == "float32"


def test_saved_file_opens_without_this_package(tmp_path, warm):
    assert opens_without_this_package(
        randomise(dpsr_generator(2, 4, 1)), random_image(6, 5, channels=4), tmp_path, warm
    )


def test_the_noise_level_is_an_input_of_the_network():
    model = randomise(dpsr_generator(2, 4, 1))
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    results = []
    for noise in (0, 20):
        level = np.full((1, 7, 9, 1), noise / 255, np.float32)
        expected = 255 * np.asarray(model(np.concatenate([image[None] / np.float32(255), level], axis=-1)))[0]
        upscaler = Upscaler(model, noise=noise)
        assert (upscaler.channels, upscaler.scale) == (3, 2)
        results.append(upscaler(image))
        np.testing.assert_allclose(results[-1], np.clip(expected, 0, 255), atol=0.501)
    assert (results[0] != results[1]).any()


CONFIG = (
    "generator.name=dpsr", "degradation.kind=noise", "degradation.clean_probability=0.25",
    "degradation_2.gaussian_sigma=[0, 50]",
)  # fmt: skip


def test_every_patch_has_noise_of_its_stated_level():
    config = load_config(None, CONFIG)
    patches = Patches(Store(64), 4, 224, 64, 0, Degradation(config))
    clean, _ = Patches(Store(64), 4, 224, 64, 0).batch(3)
    lr, hr = patches.batch(3)
    assert (lr.shape, hr.shape, lr.dtype) == ((64, 56, 56, 4), (64, 224, 224, 3), np.uint8)
    levels = lr[..., 3].reshape(64, -1)
    assert (levels == levels[:, :1]).all()
    levels = levels[:, 0].astype(float)
    assert 8 <= np.count_nonzero(levels == 0) <= 26  # expected: 16, and a fiftieth of the rest
    assert 35 < levels.max() <= 50
    for pixels, before, level in zip(lr[..., :3].astype(float), clean.astype(float), levels, strict=True):
        inside = (before > 100) & (before < 155)  # the range without clipping
        measured = (pixels - before)[inside].std()
        assert abs(measured - level) < 0.5 + 0.08 * level  # rounding, and chance
        assert abs((pixels - before)[inside].mean()) < 0.5 + 0.1 * level
    again, _ = patches.batch(3, slice(5, 9))
    np.testing.assert_array_equal(again, lr[5:9])


@pytest.mark.usefixtures("eagerly")
def test_a_noise_conditioned_run_trains_resumes_and_exports(tiny_config, tmp_path, run_main):
    """Trains, measures and resumes. The exported model takes the input that its card states."""
    changes = ("generator.name=dpsr", "generator.blocks=1", "generator.filters=4", *CONFIG[1:], "psnr.steps=2")
    config = yaml.safe_load(tiny_config.read_text()) | {"generator": {"name": "dpsr"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    train = ("train", "--phase", "psnr", "--config", tmp_path / "config.yaml", "--run_dir", tmp_path / "run")
    status, out, err = run_main(*train, *(f"--set={change}" for change in changes))
    assert status == 0, err
    assert "note: no use" not in out
    status, out, err = run_main(*train[:3], "--run_dir", tmp_path / "run", "--set=psnr.steps=3")
    assert status == 0, err
    assert "resuming phase psnr at step 2" in out
    tf.config.run_functions_eagerly(False)
    status, out, err = run_main("export", "--run_dir", tmp_path / "run", "--alpha", "0", "--output", tmp_path / "out")
    assert status == 0, err
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert ", then Gaussian noise |" in card
    assert "map float32 `[B, H, W, 4]` in [0, 255] (RGB, and the standard deviation of its noise)" in card
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    program = re.search(r"```python\n(.*?)```", card, flags=re.DOTALL)[1]
    program = program.replace("PATH", str(tmp_path / "out")).replace("photo.png", str(tmp_path / "photo.png"))
    made = {}
    exec(program, made)
    expected = Upscaler(load_model(tmp_path / "out"), noise=5)(np.asarray(Image.open(tmp_path / "photo.png")))
    np.testing.assert_array_equal(made["upscaled"][0], expected)


def test_other_networks_see_noise_and_no_level():
    config = load_config(None, (*CONFIG[1:], "degradation.clean_probability=0"))
    store = DegradedStore(Store(), Degradation(config), 0)
    assert store.lr(0).shape == (12, 12, 3)
    assert (store.lr(0) != Store().lr(0)).any()
    conditioned = DegradedStore(Store(), Degradation(load_config(None, CONFIG)), 0)
    assert conditioned.lr(0).shape == (12, 12, 4)
