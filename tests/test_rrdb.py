import keras
import numpy as np
import pytest

from esrgan_tf.models import rrdb_generator
from tests import reference
from tests.conftest import opens_without_this_package, random_image, randomise, weights_by_name


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({}, 16_697_987),  # ESRGAN's published generator
        ({"blocks": 6}, 4_467_779),  # Real-ESRGAN's anime generator
    ],
)
def test_parameters_are_the_published_ones(arguments, parameters):
    assert rrdb_generator(**arguments).count_params() == parameters


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_output_is_the_numpy_reference(scale):
    model = rrdb_generator(scale, filters=6, blocks=2, growth=3)
    image = random_image(12, 8)
    expected = reference.rrdb(weights_by_name(model), image.astype(np.float64), blocks=2, scale=scale)
    assert expected.shape == (1, 12 * scale, 8 * scale, 3)
    np.testing.assert_allclose(model(image), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("scale", "unshuffle"),
    [(1, 1), (1, 2), (2, 1), (4, 2), (16, 1)],
)
def test_any_input_packing_goes_with_any_scale(scale, unshuffle):
    model = randomise(rrdb_generator(scale, filters=6, blocks=1, growth=3, unshuffle=unshuffle))
    image = random_image(4, 6)
    expected = reference.rrdb(weights_by_name(model), image, blocks=1, scale=scale, unshuffle=unshuffle)
    np.testing.assert_allclose(model(image), expected, rtol=1e-5, atol=1e-5)


def test_esrgan_plus_is_the_numpy_reference():
    model = randomise(rrdb_generator(filters=6, blocks=2, growth=3, plus=True))
    weights = weights_by_name(model)
    assert sum("conv1x1" in name for name in weights) == 2 * 3  # without biases
    image = random_image(7, 5)
    np.testing.assert_allclose(model(image), reference.rrdb(weights, image, blocks=2), rtol=1e-5, atol=1e-5)


def test_other_channels():
    model = rrdb_generator(2, filters=6, blocks=1, growth=3, in_channels=1, out_channels=2)
    image = random_image(6, 8, channels=1)
    output = model(image)
    assert output.shape == (1, 12, 16, 2)
    np.testing.assert_allclose(
        output, reference.rrdb(weights_by_name(model), image, blocks=1, scale=2), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_any_size_is_upscaled_by_the_scale(scale):
    model = rrdb_generator(scale, filters=4, blocks=1, growth=2)
    for height, width in ((1, 1), (3, 5), (7, 4), (10, 9)):
        assert model(random_image(height, width)).shape == (1, scale * height, scale * width, 3)


@pytest.mark.parametrize(("scale", "r"), [(1, 4), (2, 2)])
def test_odd_sizes_are_completed_by_repeating_the_edge(scale, r):
    model = rrdb_generator(scale, filters=4, blocks=1, growth=2)
    image = random_image(9, 7)
    completed = np.pad(image, ((0, 0), (0, -9 % r), (0, -7 % r), (0, 0)), mode="edge")
    expected = reference.rrdb(weights_by_name(model), completed, blocks=1, scale=scale)[:, : 9 * scale, : 7 * scale]
    np.testing.assert_allclose(model(image), expected, rtol=1e-5, atol=1e-5)


def test_residual_scale_is_used():
    model = rrdb_generator(filters=4, blocks=1, growth=2, residual_scale=0.5)
    image = random_image(5, 5)
    expected = reference.rrdb(weights_by_name(model), image, blocks=1, residual_scale=0.5)
    np.testing.assert_allclose(model(image), expected, rtol=1e-5, atol=1e-5)


def test_initialisation_is_the_reference():
    model = rrdb_generator(blocks=2)
    weights = weights_by_name(model)
    dense = weights["body_0_rdb2_conv3/kernel"]  # He-normal times 0.1, fan in 9 * 128
    assert dense.std() == pytest.approx(0.1 * np.sqrt(2 / (9 * 128)), rel=0.03)
    assert np.abs(dense).max() > 3 * dense.std()  # a normal distribution, not truncated at two deviations
    assert not weights["body_0_rdb2_conv3/bias"].any()
    for name, fan_in in (
        ("conv_first", 27),
        ("conv_body", 576),
        ("conv_up1", 576),
        ("conv_hr", 576),
        ("conv_last", 576),
    ):
        bound = 1 / np.sqrt(fan_in)  # PyTorch's default: uniform
        kernel = weights[f"{name}/kernel"]
        assert np.abs(kernel).max() <= bound
        assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)
        assert 0 < np.abs(weights[f"{name}/bias"]).max() <= bound


def test_layer_names_are_the_fields():
    names = {layer.name for layer in rrdb_generator(filters=4, blocks=2, growth=2).layers if layer.weights}
    dense = {f"body_{i}_rdb{j}_conv{k}" for i in range(2) for j in (1, 2, 3) for k in (1, 2, 3, 4, 5)}
    assert names == dense | {"conv_first", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"}


@pytest.mark.parametrize("scale", [1, 4])
def test_saved_file_opens_without_this_package(scale, tmp_path, warm):
    model = rrdb_generator(scale, filters=4, blocks=1, growth=2)
    assert opens_without_this_package(model, random_image(6, 5), tmp_path, warm if scale == 1 else None)


def test_output_is_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = rrdb_generator(filters=4, blocks=1, growth=2)
    assert model(random_image(4, 4)).dtype == "float32"


def test_impossible_scale_is_refused():
    with pytest.raises(ValueError, match="scale 3"):
        rrdb_generator(scale=3)
    with pytest.raises(ValueError, match="unshuffle 3"):
        rrdb_generator(unshuffle=3)
