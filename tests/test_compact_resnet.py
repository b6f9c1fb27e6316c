import keras
import numpy as np
import pytest
import torch

from esrgan_tf.errors import UserError
from esrgan_tf.models import compact_resnet_generator
from esrgan_tf.models.compact_resnet.options import CompactResNet
from esrgan_tf.weights.architecture import recognise, recognise_model
from esrgan_tf.weights.loading import load_network
from esrgan_tf.weights.torch_files import save_torch
from tests import reference
from tests.conftest import opens_without_this_package, random_image, randomise, weights_by_name


def test_parameters():
    convolutions = [(3, 64)] + 19 * [(64, 64)] + [(64, 48)]
    assert compact_resnet_generator().count_params() == sum(9 * i * o + o for i, o in convolutions) == 731_120
    convolutions[-1:] = [(64, 16 * 12), (12, 3)]
    assert compact_resnet_generator(tail=12).count_params() == sum(9 * i * o + o for i, o in convolutions)


@pytest.mark.parametrize("tail", [0, 3])
@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_output_is_the_numpy_reference(scale, tail):
    model = randomise(compact_resnet_generator(scale, filters=5, blocks=2, tail=tail))
    for height, width in ((1, 1), (7, 4), (6, 9)):
        image = random_image(height, width)
        expected = reference.residual(weights_by_name(model), image.astype(np.float64), 2, scale, tail > 0)
        assert expected.shape == (1, scale * height, scale * width, 3)
        np.testing.assert_allclose(model(image), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tail", [0, 6])
def test_training_starts_from_the_upscaled_input(tail):
    image = random_image(12, 9)
    model = compact_resnet_generator(filters=8, blocks=2, tail=tail)
    difference = np.abs(model(image) - image.repeat(4, axis=1).repeat(4, axis=2))
    assert 0 < difference.max() < 0.05


def test_receptive_field_is_the_stated_one():
    blocks, reach = 2, 3 + 2 * 2
    model = randomise(compact_resnet_generator(1, filters=4, blocks=blocks))
    image = random_image(1, 31)
    other = image.copy()
    other[0, 0, 15] += 1
    changed = np.flatnonzero(np.any(model(image) != model(other), axis=(0, 1, 3)))
    assert (changed.min(), changed.max()) == (15 - reach, 15 + reach)


def test_saved_file_opens_without_this_package(tmp_path, warm):
    model = randomise(compact_resnet_generator(filters=4, blocks=1))
    assert opens_without_this_package(model, random_image(6, 5), tmp_path, warm)


def test_output_is_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = compact_resnet_generator(filters=4, blocks=1)
    image = random_image(4, 4)
    model.get_layer("conv_last").set_weights([np.zeros((3, 3, 4, 48)), np.zeros(48)])
    assert model(image).dtype == "float32"
    np.testing.assert_array_equal(model(image), image.repeat(4, axis=1).repeat(4, axis=2))


@pytest.mark.parametrize("scale", [2, 4])
def test_a_tail_is_recognised_and_goes_to_pytorch_and_back(scale, tmp_path):
    model = randomise(compact_resnet_generator(scale, filters=4, blocks=2, tail=6))
    found = recognise_model(model)
    assert found.options == CompactResNet(scale=scale, filters=4, blocks=2, tail=6)
    assert "6 at the output's size" in str(found)
    save_torch(model, tmp_path / "a.safetensors")
    back = load_network(tmp_path / "a.safetensors")
    image = random_image(5, 7)
    np.testing.assert_array_equal(back(image), model(image))


def test_a_tail_in_pytorch_is_shuffled_as_pytorch_does(tmp_path):
    model = randomise(compact_resnet_generator(2, filters=4, blocks=1, tail=3))
    save_torch(model, tmp_path / "a.pth")
    weights = torch.load(tmp_path / "a.pth")
    weights = weights.get("params", weights)
    image = random_image(5, 7)

    def conv(x, name):
        return torch.nn.functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    x = torch.from_numpy(image).permute(0, 3, 1, 2)
    shallow = conv(x, "conv_first")
    y = shallow + conv(torch.nn.functional.leaky_relu(conv(shallow, "body.0.0"), 0.1), "body.0.2")
    y = torch.nn.functional.pixel_shuffle(conv(shallow + conv(y, "conv_body"), "conv_up"), 2)
    y = conv(torch.nn.functional.leaky_relu(y, 0.1), "conv_last") + torch.nn.functional.interpolate(x, scale_factor=2)
    np.testing.assert_allclose(model(image), y.permute(0, 2, 3, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("style", ["body.{i}.conv{n}", "body_{i}_conv{n}"])
def test_blocks_with_a_relu_are_distinguished(style):
    """Weights of version 0.1.0, which have the same shapes."""
    shapes = {"conv_first.weight": (4, 3, 3, 3), "conv_body.weight": (4, 4, 3, 3), "conv_last.weight": (48, 4, 3, 3)}
    shapes |= {f"{style.format(i=i, n=n)}.weight": (4, 4, 3, 3) for i in range(2) for n in (1, 2)}
    shapes |= {name.replace("weight", "bias"): shape[:1] for name, shape in shapes.items()}
    with pytest.raises(UserError, match=r"old: it resembles Compact ResNet, but its blocks have a ReLU, as"):
        recognise(shapes, "old")


def test_impossible_scale_is_refused():
    with pytest.raises(ValueError, match="scale 0"):
        compact_resnet_generator(scale=0)
