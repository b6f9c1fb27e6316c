import keras
import numpy as np
import pytest

from esrgan_tf.models import srresnet_generator
from tests.conftest import opens_without_this_package, random_image, randomise

# test_interop compares its output with PyTorch's networks.


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (5, 8)])
def test_any_size(batch_norm, size):
    model = srresnet_generator(4, 4, 1, batch_norm)
    assert model(random_image(*size)).shape == (1, 4 * size[0], 4 * size[1], 3)


def test_training_normalises_by_the_batch_and_using_does_not():
    model = randomise(srresnet_generator(2, 4, 1))
    images = np.concatenate([random_image(6, 6), 0.1 * random_image(6, 6, seed=1)])
    together, alone = model(images, training=True)[0], model(images[:1], training=True)[0]
    assert np.abs(together - alone).max() > 1e-3
    np.testing.assert_allclose(model(images)[0], model(images[:1])[0], atol=1e-5)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_output_is_float32_under_mixed_precision(batch_norm):
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert srresnet_generator(4, 4, 1, batch_norm)(random_image(4, 4)).dtype == "float32"


def test_saved_file_opens_without_this_package(tmp_path, warm):
    assert opens_without_this_package(randomise(srresnet_generator(4, 4, 1)), random_image(6, 5), tmp_path, warm)


@pytest.mark.parametrize(("scale", "batch_norm", "scales"), [(3, True, "2, 4, 8"), (8, False, "2, 3, 4")])
def test_impossible_scale_is_refused(scale, batch_norm, scales):
    with pytest.raises(ValueError, match=f"scale {scale}: .*{scales}"):
        srresnet_generator(scale, batch_norm=batch_norm)
