import numpy as np
import pytest

from esrgan_tf.models import vgg_discriminator
from tests import reference


def test_parameters_are_the_published_ones():
    model = vgg_discriminator()
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 14_499_401
    assert model.output_shape == (None, 1)


def test_output_is_the_numpy_reference():
    model = vgg_discriminator(image_size=64, filters=4)
    rng = np.random.default_rng(0)
    # Statistics and affine parameters differ from 0 and 1, so that each must be in its place.
    model.set_weights([w + rng.uniform(0.01, 0.2, w.shape) for w in model.get_weights()])
    weights = {v.path: v.numpy().astype(np.float64) for v in model.weights}
    image = rng.random((2, 64, 64, 3))

    def normalise(x, name):
        parts = [weights[f"{name}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")]
        return reference.leaky_relu(reference.batch_norm(x, *parts))

    x = reference.leaky_relu(reference.conv2d(image, weights["conv0_0/kernel"], weights["conv0_0/bias"]))
    x = normalise(reference.conv2d(x, weights["conv0_1/kernel"], stride=2), "bn0_1")
    for stage in (1, 2, 3, 4):
        x = normalise(reference.conv2d(x, weights[f"conv{stage}_0/kernel"]), f"bn{stage}_0")
        x = normalise(reference.conv2d(x, weights[f"conv{stage}_1/kernel"], stride=2), f"bn{stage}_1")
    assert x.shape == (2, 2, 2, 32)
    x = x.transpose(0, 3, 1, 2).reshape(2, -1)  # channels first, like PyTorch's flatten
    x = reference.leaky_relu(x @ weights["linear1/kernel"] + weights["linear1/bias"])
    expected = x @ weights["linear2/kernel"] + weights["linear2/bias"]
    np.testing.assert_allclose(model(image, training=False), expected, rtol=1e-4)


def test_training_normalises_by_the_batch():
    model = vgg_discriminator(image_size=32, filters=2)
    batch = np.random.default_rng(0).random((4, 32, 32, 3), dtype=np.float32)
    before = model.get_layer("bn0_1").moving_mean.numpy()
    x = reference.leaky_relu(reference.conv2d(batch, *[w.numpy() for w in model.get_layer("conv0_0").weights]))
    x = reference.conv2d(x, model.get_layer("conv0_1").kernel.numpy(), stride=2)
    model(batch, training=True)
    after = 0.9 * before + 0.1 * x.mean(axis=(0, 1, 2))  # PyTorch's momentum of 0.1
    np.testing.assert_allclose(model.get_layer("bn0_1").moving_mean, after, rtol=1e-4)


@pytest.mark.parametrize("size", [0, 16, 100])
def test_sizes_that_do_not_halve_five_times_are_refused(size):
    with pytest.raises(ValueError, match="multiple of 32"):
        vgg_discriminator(image_size=size)
