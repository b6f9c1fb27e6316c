import keras
import numpy as np
import pytest

from esrgan_tf.models import compact_generator
from tests import reference
from tests.conftest import opens_without_this_package, random_image, randomise, weights_by_name


@pytest.mark.parametrize(("blocks", "parameters"), [(32, 1_213_296), (16, 621_424)])
def test_parameters_are_the_published_ones(blocks, parameters):
    assert compact_generator(blocks=blocks).count_params() == parameters


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_output_is_the_numpy_reference(scale):
    model = randomise(compact_generator(scale, filters=5, blocks=2))
    for height, width in ((1, 1), (7, 4), (6, 9)):
        image = random_image(height, width)
        expected = reference.compact(weights_by_name(model), image.astype(np.float64), blocks=2, scale=scale)
        assert expected.shape == (1, scale * height, scale * width, 3)
        np.testing.assert_allclose(model(image), expected, rtol=1e-5, atol=1e-5)


def test_gray():
    model = randomise(compact_generator(2, filters=4, blocks=1, channels=1))
    image = random_image(5, 6, channels=1)
    expected = reference.compact(weights_by_name(model), image, blocks=1, scale=2)
    np.testing.assert_allclose(model(image), expected, rtol=1e-5, atol=1e-5)


def test_one_slope_a_channel_shared_over_space():
    slopes = [v for v in compact_generator(filters=7, blocks=3).weights if v.path.endswith("alpha")]
    assert [tuple(v.shape) for v in slopes] == [(1, 1, 7)] * 4
    assert all((v.numpy() == 0.25).all() for v in slopes)  # PyTorch's initial slope


def test_saved_file_opens_without_this_package(tmp_path, warm):
    model = randomise(compact_generator(filters=4, blocks=1))
    assert opens_without_this_package(model, random_image(6, 5), tmp_path, warm)


def test_output_is_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = compact_generator(filters=4, blocks=1)
    image = random_image(4, 4)
    output = model(image)
    assert output.dtype == "float32"
    # A sum in bfloat16 would round the upscaled image to 8 bits of mantissa.
    model.get_layer("body_4").set_weights([np.zeros((3, 3, 4, 48)), np.zeros(48)])
    np.testing.assert_array_equal(model(image), image.repeat(4, axis=1).repeat(4, axis=2))


def test_impossible_scale_is_refused():
    with pytest.raises(ValueError, match="scale 0"):
        compact_generator(scale=0)
