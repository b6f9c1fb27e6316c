import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from esrgan_tf.config import load_config
from esrgan_tf.errors import UserError
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.models import edsr_generator, rcan_generator
from esrgan_tf.models.rcan.options import RCAN
from esrgan_tf.runs.loading import load_model
from esrgan_tf.weights.architecture import recognise_model
from esrgan_tf.weights.torch_files import describe, load_torch, save_torch
from tests import torch_reference as reference
from tests.conftest import opens_without_this_package, random_image, randomise

SIZES = {"filters": 8, "groups": 2, "blocks": 3, "reduction": 4}


def official(scale, **changes):
    return reference.randomised(reference.RCAN(scale, **{**SIZES, **changes}))


def loaded(state, tmp_path):
    save_file(state, tmp_path / "weights.safetensors")
    return load_torch(tmp_path / "weights.safetensors")


def assert_same_output(model, network, sizes=((1, 1), (9, 14))):
    """Compares to 1e-5 of the output's range."""
    times = 255 if hasattr(network, "sub_mean") else 1
    for size in sizes:
        image = random_image(*size)
        output, expected = np.asarray(model(image)), reference.run(network, times * image) / times
        assert output.shape == expected.shape
        assert np.abs(output - expected).max() <= 1e-5 * np.ptp(expected)


@pytest.mark.parametrize(("scale", "parameters"), [(2, 15_444_643), (3, 15_629_283), (4, 15_592_355), (8, 15_740_067)])
def test_parameters_are_the_published_ones(scale, parameters):
    """Counts the listed tensors, which tests below check for small networks; building 400 attentions takes long."""
    assert f" {parameters:,} parameters" in str(recognise_shapes(RCAN(scale=scale)))


def recognise_shapes(options):
    from esrgan_tf.models.rcan import FAMILY
    from esrgan_tf.weights.architecture import recognise

    tensors = FAMILY.mapping.torch_tensors(options, FAMILY.mapping.style_to_write(options))
    return recognise({name: shape for name, (_, shape) in tensors.items()}, "it")


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_output_is_pytorchs(scale, mean, tmp_path):
    network = official(scale, mean=mean)
    model = loaded(network.state_dict(), tmp_path)
    assert recognise_model(model).options == RCAN(scale=scale, **SIZES, mean=mean)
    assert "RCAN: scale " in describe(model)
    assert "8 filters, 2 groups of 3 blocks, reduction 4" in describe(model)
    assert ("no mean colour" in describe(model)) == (not mean)
    assert_same_output(model, network)


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize(("scale", "unshuffle"), [(1, 4), (2, 2)])
def test_an_input_of_packed_pixels(scale, unshuffle, mean, tmp_path):
    network = official(scale, mean=mean, unshuffle=unshuffle)
    model = loaded(network.state_dict(), tmp_path)
    assert recognise_model(model).options == RCAN(scale=scale, **SIZES, mean=mean, unshuffle=unshuffle)
    assert f"input pixel-unshuffled by {unshuffle}" in describe(model)
    assert_same_output(model, network, sizes=((4, 4), (8, 12)))
    assert model(random_image(5, 7)).shape == (1, 5 * scale, 7 * scale, 3)


def test_basicsrs_names(tmp_path):
    network = official(4)
    state = reference.basicsr_names_of_rcan(network.state_dict(), SIZES["groups"], SIZES["blocks"])
    assert "body.1.residual_group.2.rcab.3.attention.3.weight" in state
    assert_same_output(loaded(state, tmp_path), network)


@pytest.mark.parametrize("arguments", [{}, {"mean": False}, {"unshuffle": 2}, {"unshuffle": 2, "mean": False}])
def test_an_official_file_converts_there_and_back_and_spandrel_reads_it(arguments, spandrel, tmp_path):
    network = official(2, **arguments)
    save_torch(loaded(network.state_dict(), tmp_path), tmp_path / "back.pth")
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    back = back.get("params", back)
    assert sorted(back) == sorted(network.state_dict())
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(back[name], tensor, err_msg=name)
    theirs = spandrel.ModelLoader().load_from_file(tmp_path / "back.pth")
    assert (theirs.architecture.id, theirs.scale) == ("RCAN", 2)
    image = random_image(8, 12)
    output = np.asarray(load_torch(tmp_path / "back.pth")(image))
    expected = reference.run(theirs.model.eval(), image.copy())  # spandrel overwrites its input
    assert np.abs(output - expected).max() <= 1e-5 * np.ptp(expected)


@pytest.mark.parametrize("extension", [".keras", ".safetensors", ""])
def test_a_network_without_mean_is_recognised_again(extension, tmp_path, run_main):
    state = official(2, mean=False).state_dict()
    state["tail.1.weight"] *= 0.01  # to the range of images, in which the SavedModel's writer compares outputs
    save_file(state, tmp_path / "a.safetensors")
    status, out, err = run_main("convert", tmp_path / "a.safetensors", tmp_path / f"b{extension}")
    assert status == 0, err
    assert "no mean colour" in out
    assert_same = load_model(tmp_path / "a.safetensors"), load_model(tmp_path / f"b{extension}")
    image = random_image(6, 5)
    np.testing.assert_array_equal(*(np.asarray(model(image)) for model in assert_same))


def test_it_looks_at_the_whole_image():
    model = randomise(rcan_generator(1, **SIZES))
    image = random_image(3, 60)
    other = image.copy()
    other[0, :, -1] += 1
    assert (np.asarray(model(image))[0, :, 0] != np.asarray(model(other))[0, :, 0]).all()


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="scale 5: RCAN upscales by one of"):
        rcan_generator(5)
    with pytest.raises(ValueError, match="the mean colour is of RGB, not of 1 channels"):
        rcan_generator(2, channels=1)
    with pytest.raises(UserError, match=r"generator\.reduction: 16 leaves no channel of generator\.filters 8"):
        load_config(None, ["generator.name=rcan", "generator.filters=8"])


def test_a_missing_block_is_reported(tmp_path):
    state = {n: t for n, t in official(2).state_dict().items() if not n.startswith("body.1.body.1.")}
    with pytest.raises(UserError, match=r"the file lacks body\.1\.body\.1\.body\.0\.weight"):
        loaded(state, tmp_path)


def test_saved_file_opens_without_this_package(tmp_path, warm):
    assert opens_without_this_package(randomise(rcan_generator(2, **SIZES)), random_image(6, 5), tmp_path, warm)


def test_differences_of_tiles_are_reported_once_and_only_with_tiles():
    said = []
    upscaler = Upscaler(rcan_generator(scale=2, **SIZES), tile=32, overlap=4, notice=said.append)
    upscaler(np.zeros((32, 20, 3), np.uint8))
    assert said == []
    for _ in range(2):
        upscaler(np.zeros((33, 20, 3), np.uint8))
    assert len(said) == 1
    assert "pools each channel over its input, here tiles of 32 pixels" in said[0]
    Upscaler(edsr_generator(scale=2, filters=4, blocks=1), tile=32, overlap=4, notice=said.append)(
        np.zeros((33, 20, 3), np.uint8)
    )
    assert len(said) == 1
