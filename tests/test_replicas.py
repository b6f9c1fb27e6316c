"""Two replicas do what one does: real reductions between two logical devices of one CPU.

They run in a process of their own (this file as a program), because devices are divided before anything uses them, and
because a second strategy over two devices in one process would count its collectives from the start again, which
TensorFlow takes for the first one's.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from esrgan_tf.losses import relativistic_discriminator_loss, relativistic_generator_loss
from tests.conftest import run_process

LOSSES = {"generator": relativistic_generator_loss, "discriminator": relativistic_discriminator_loss}
STEPS = 2  # few: Adam turns the rounding of gradients near 0 into whole steps, more with each


def logits():
    rng = np.random.default_rng(0)
    return rng.normal(1, 2, (6, 1)), rng.normal(-1, 2, (6, 1))


def losses_of_shares(strategy):
    """Each replica's loss and gradient for its three of the six images, on the scale of the whole batch."""
    found = {}
    for name, loss in LOSSES.items():

        @tf.function
        def both(loss=loss):
            def one():
                i = tf.distribute.get_replica_context().replica_id_in_sync_group
                real, fake = (tf.constant(x.reshape(2, 3, 1))[i] for x in logits())
                with tf.GradientTape() as tape:
                    tape.watch(fake)
                    value = loss(real, fake) / 2.0
                return value, tape.gradient(value, fake)

            return strategy.run(one)

        value, gradient = (strategy.experimental_local_results(result) for result in both())
        found[f"{name} loss"] = np.sum(value)
        found[f"{name} gradient"] = np.concatenate(gradient)
    return found


def main(folder: Path):
    from esrgan_tf.errors import UserError
    from tests.test_training import all_weights, train, with_runtime

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    np.savez(folder / "losses.npz", **losses_of_shares(strategy))
    for phase in ("psnr", "gan"):
        np.savez(folder / f"{phase}.npz", **all_weights(train(phase, folder / "run", strategy, steps=STEPS)))
    with pytest.raises(UserError, match="works on one device only"):
        train("psnr", folder / "xla", strategy, with_runtime(jit_compile="on"))


@pytest.fixture(scope="module")
def two_replicas(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    result = run_process(sys.executable, "-m", "tests.test_replicas", folder)
    assert result.returncode == 0, result.stderr
    return {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}


@pytest.mark.parametrize("name", LOSSES)
def test_relativistic_means_reach_over_all_replicas(name, two_replicas):
    real, fake = (tf.constant(x) for x in logits())
    with tf.GradientTape() as tape:
        tape.watch(fake)
        whole = LOSSES[name](real, fake)
    assert two_replicas["losses"][f"{name} loss"] == pytest.approx(float(whole))
    np.testing.assert_allclose(two_replicas["losses"][f"{name} gradient"], tape.gradient(whole, fake), rtol=1e-6)


@pytest.mark.parametrize("phase", ["psnr", "gan"])
def test_training_is_the_same(phase, two_replicas, tmp_path):
    from tests.test_training import all_weights, train

    one, two = all_weights(train(phase, tmp_path, steps=STEPS)), two_replicas[phase]
    assert one.keys() == two.keys()
    for name in one:
        if "_optimizer" in name:  # sums of the gradients, before Adam divides them by their own size
            scale = max(1e-3 * np.abs(one[name]).max(), 1e-9)
            np.testing.assert_allclose(two[name], one[name], atol=scale, err_msg=name)
        else:
            assert np.isclose(two[name], one[name], atol=1e-4).mean() > 0.98, name


if __name__ == "__main__":
    main(Path(sys.argv[1]))
