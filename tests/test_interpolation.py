import numpy as np
import pytest

from esrgan_tf import interpolate
from esrgan_tf.errors import UserError
from esrgan_tf.models import rrdb_generator


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.8, 1.0])
def test_every_weight_is_between_the_two(alpha):
    a, b = (rrdb_generator(filters=4, blocks=1, growth=2) for _ in range(2))
    before = [w.copy() for w in (*a.get_weights(), *b.get_weights())]
    blended = interpolate(a, b, alpha)
    for x, y, z in zip(a.get_weights(), b.get_weights(), blended.get_weights(), strict=True):
        np.testing.assert_allclose(z, (1 - alpha) * x.astype(np.float64) + alpha * y, atol=1e-7)
    for x, y in zip(before, (*a.get_weights(), *b.get_weights()), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_outside_is_refused(alpha):
    model = rrdb_generator(filters=4, blocks=1, growth=2)
    with pytest.raises(UserError, match="between 0"):
        interpolate(model, model, alpha)


def test_different_networks_are_refused():
    small = rrdb_generator(filters=4, blocks=1, growth=2)
    with pytest.raises(
        UserError, match=r"different networks \(body_1_rdb1_conv1/kernel is absent in one and \(3, 3, 4, 2\)"
    ):
        interpolate(small, rrdb_generator(filters=4, blocks=2, growth=2), 0.5)
    with pytest.raises(UserError, match=r"conv_first/kernel is \(3, 3, 3, 4\) in one and \(3, 3, 3, 6\) in the other"):
        interpolate(small, rrdb_generator(filters=6, blocks=1, growth=2), 0.5)
    other = rrdb_generator(filters=4, blocks=1, growth=2, residual_scale=0.3)  # the same weights, but not the function
    with pytest.raises(UserError, match="layer body_0_rdb1_scale has another configuration"):
        interpolate(small, other, 0.5)
