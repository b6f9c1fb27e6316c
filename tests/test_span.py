import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from esrgan_tf.errors import UserError
from esrgan_tf.models import span_generator
from esrgan_tf.models.span.options import SPAN
from esrgan_tf.runs.loading import load_model
from esrgan_tf.weights.architecture import recognise_model
from esrgan_tf.weights.torch_files import describe, load_torch, save_torch
from tests import torch_reference as reference
from tests.conftest import opens_without_this_package, random_image, randomise


def official(scale, filters=8, blocks=6, mean=True):
    network = reference.randomised(reference.SPAN(scale, filters, blocks, mean))
    with torch.no_grad():  # keeps values near 1, where the last bit does not decide a sigmoid
        for name, parameter in network.named_parameters():
            if name.endswith(("sk.weight", "conv.2.weight")):
                parameter *= 0.5 / 255 if mean and name.startswith("conv_1.") else 0.5
    return network


def loaded(state, tmp_path):
    save_file(state, tmp_path / "weights.safetensors")
    return load_torch(tmp_path / "weights.safetensors")


def assert_same_output(model, network):
    """Compares to 1e-5 of the output's range."""
    for size in ((1, 1), (9, 14)):
        image = random_image(*size)
        output, expected = np.asarray(model(image)), reference.run(network, image)
        assert output.shape == expected.shape
        assert np.abs(output - expected).max() <= 1e-5 * np.ptp(expected)


def test_parameters():
    """Counts the weights of the merged convolutions."""
    convolutions = [(3, 48, 9), *[(48, 48, 9)] * 19, (192, 48, 1), (48, 48, 9)]
    assert span_generator().count_params() == sum((i * size + 1) * o for i, o, size in convolutions) == 426_288


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_output_is_pytorchs(scale, mean, tmp_path):
    """The reference computes with the trained branches; `eval_conv` contains unused weights."""
    network = official(scale, mean=mean)
    model = loaded(network.state_dict(), tmp_path)
    assert recognise_model(model).options == SPAN(scale=scale, filters=8, mean=mean)
    assert f"SPAN: scale {scale}, 8 filters, 6 blocks" in describe(model)
    assert ("no mean colour" in describe(model)) == (not mean)
    assert_same_output(model, network)


@pytest.mark.parametrize("mean", [True, False])
def test_spandrel_reads_what_is_written(mean, spandrel, tmp_path):
    model = randomise(span_generator(2, 8, mean=mean))
    save_torch(model, tmp_path / "weights.pth")
    theirs = spandrel.ModelLoader().load_from_file(tmp_path / "weights.pth")
    assert (theirs.architecture.id, theirs.scale) == ("SPAN", 2)
    image = random_image(9, 14)
    expected = reference.run(theirs.model.eval(), image)
    assert np.abs(np.asarray(model(image)) - expected).max() <= 1e-5 * np.ptp(expected)
    for before, after in zip(model.weights, load_torch(tmp_path / "weights.pth").weights, strict=True):
        assert before.path == after.path
        np.testing.assert_array_equal(before, after)


def test_files_that_spandrel_saves_are_read(spandrel, tmp_path):
    """The merged convolution has outdated weights."""
    save_file(official(4).state_dict(), tmp_path / "a.safetensors")
    theirs = spandrel.ModelLoader().load_from_file(tmp_path / "a.safetensors").model.eval()
    image = random_image(7, 9)
    expected = reference.run(theirs, image)
    state = {n: torch.zeros_like(t) if ".eval_conv." in n else t for n, t in theirs.state_dict().items()}
    output = np.asarray(loaded(state, tmp_path)(image))
    assert np.abs(output - expected).max() <= 1e-5 * np.ptp(expected)


@pytest.mark.parametrize("extension", [".keras", ".safetensors", ""])
def test_a_network_without_mean_is_recognised_again(extension, tmp_path, run_main):
    state = official(2, mean=False).state_dict()
    state["upsampler.0.weight"] *= 0.02  # to the range of images, in which the SavedModel's writer compares outputs
    save_file(state, tmp_path / "a.safetensors")
    status, out, err = run_main("convert", tmp_path / "a.safetensors", tmp_path / f"b{extension}")
    assert status == 0, err
    assert "no mean colour" in out
    image = random_image(6, 5)
    a, b = (load_model(tmp_path / name)(image) for name in ("a.safetensors", f"b{extension}"))
    np.testing.assert_array_equal(a, b)


def test_other_numbers_of_blocks(tmp_path):
    for blocks in (1, 2):
        network = official(2, blocks=blocks)
        assert_same_output(loaded(network.state_dict(), tmp_path), network)


def test_mistakes(tmp_path):
    state = official(2).state_dict()
    with pytest.raises(UserError, match=r"the file lacks block_3\.c2_r\.conv\.1\.weight"):
        loaded({n: t for n, t in state.items() if n != "block_3.c2_r.conv.1.weight"}, tmp_path)
    with pytest.raises(ValueError, match="scale 8: SPAN upscales by one of"):
        span_generator(8)
    with pytest.raises(ValueError, match="the mean colour is of RGB, not of 1 channels"):
        span_generator(2, channels=1)


def test_saved_file_opens_without_this_package(tmp_path, warm):
    assert opens_without_this_package(randomise(span_generator(2, 4, 1)), random_image(6, 5), tmp_path, warm)
