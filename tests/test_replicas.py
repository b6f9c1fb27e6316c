"""Two replicas equal one replica: two logical devices of one CPU, and two real processes over `TF_CONFIG`.

Each case runs this file as a program in a separate process, for three reasons:
- Devices are divided before their first use.
- Machines connect before the first operation of TensorFlow.
- A second strategy in one process would number its collectives from the start again, like those of the first.
"""

import json
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tensorflow as tf

from esrgan_tf.training.losses import relativistic_discriminator_loss, relativistic_generator_loss
from tests.conftest import randomise
from tests.small_training import Store

LOSSES = {"generator": relativistic_generator_loss, "discriminator": relativistic_discriminator_loss}
STEPS = 3


def logits():
    rng = np.random.default_rng(0)
    return rng.normal(1, 2, (6, 1)), rng.normal(-1, 2, (6, 1))


def losses_of_shares(strategy):
    """Each replica's loss and gradient for three of the six images, on the scale of the whole batch."""
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


class Photos(Store):
    """Crops of real photos; rounding has more influence on flat or noisy images."""

    def __init__(self):
        super().__init__(side=20)
        places = (skimage.data.astronaut, 40, 180), (skimage.data.chelsea, 80, 120), (skimage.data.coffee, 150, 250)
        self._hr = [photo()[y : y + 80, x : x + 80] for photo, y, x in places]
        self._lr = [hr.reshape(20, 4, 20, 4, 3).mean((1, 3)).astype(np.uint8) for hr in self._hr]

    def hr(self, i, rows=slice(None)):
        return self._hr[i][rows]


def smooth(model):
    """The same network and weights with another activation."""
    import keras

    def replaced(layer):
        if isinstance(layer, keras.layers.LeakyReLU | keras.layers.PReLU):
            return keras.layers.Activation("silu", name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    result = keras.models.clone_model(model, clone_function=replaced)
    values = {v.path: v.numpy() for v in model.weights}
    for v in result.weights:
        v.assign(values[v.path])
    return result


def record(strategy, phase_name):
    """Losses, Adam's first moments per step, and weights after three steps; then the changes by a NaN pixel.

    In float32, two orders of a sum agree to 1e-5 only if nothing amplifies their rounding. So the networks have smooth
    activations: rounding across a LeakyReLU's kink changes a gradient by 1e-3. The images are photos, and the
    generator's output differs from them. The learning rate is small, because Adam turns the rounding of a gradient
    near 0 into a whole step.
    """
    from esrgan_tf.config import RuntimeConfig
    from esrgan_tf.data import Patches
    from esrgan_tf.models import compact_generator, srresnet_generator
    from esrgan_tf.training.train_step import TrainStep
    from tests.small_training import all_weights, make_phase, small_discriminator

    phase = make_phase(
        phase_name,
        strategy,
        # SRResNet has a batch normalisation after its blocks. It reaches over all replicas, like a discriminator's.
        # Without blocks there is less to compile.
        generators=lambda: smooth(
            randomise((srresnet_generator if phase_name == "psnr" else compact_generator)(4, 8, 0), deviation=0.2)
        ),
        discriminators=lambda: smooth(small_discriminator(64)),
        learning_rate=1e-5,
    )
    step = TrainStep(phase, strategy, RuntimeConfig())
    patches = Patches(Photos(), 4, 64, 4, 0)
    share = patches.batch_size // strategy.num_replicas_in_sync

    def distributed(array):
        def of(context):
            first = context.replica_id_in_sync_group * share
            return tf.constant(array[first : first + share])

        return strategy.experimental_distribute_values_from_function(of)

    go_on = strategy.experimental_distribute_values_from_function(lambda _: tf.constant(0.0))
    found = {"columns": np.array(step.columns)}
    found |= {f"start {name}": value for name, value in all_weights(phase).items()}
    for i in range(STEPS + 1):
        lr, hr = (x.astype(np.float32) for x in patches.batch(i))
        if i == STEPS:
            found |= {f"weight {name}": value for name, value in all_weights(phase).items()}
            lr[-1, 0, 0, 0] = np.nan  # in the last replica's part only
        values = step(distributed(lr), distributed(hr), go_on)
        found[f"values {i}"] = values.numpy()
        for name, (_, optimizer) in phase.step.trained.items():
            for v in optimizer.variables:
                if "momentum" in v.path and i < STEPS:
                    found[f"moment {i} {name} {v.path}"] = v.numpy()
    found |= {f"skipped {name}": value for name, value in all_weights(phase).items()}
    return found


def main(folder: Path, kind: str):
    import keras

    from esrgan_tf.errors import UserError
    from esrgan_tf.training.train_step import TrainStep
    from tests.small_training import make_phase, with_runtime

    keras.utils.set_random_seed(0)
    if kind == "cluster":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    else:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
        )
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"] if kind == "two" else ["CPU:0"])
    if kind == "two":
        np.savez(folder / "losses.npz", **losses_of_shares(strategy))
        with pytest.raises(UserError, match="works on one device only"):
            TrainStep(make_phase("psnr", strategy), strategy, with_runtime(jit_compile="on").runtime)
    for phase in ("psnr", "gan"):
        found = record(strategy, phase)
        number = strategy.cluster_resolver.task_id if kind == "cluster" else 0
        np.savez(folder / f"{kind}-{number}-{phase}.npz", **found)


def free_ports(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.fixture(scope="module")
def runs(tmp_path_factory, warm):
    """The results of each kind, `{"two-0-psnr": {name: array}, …}`; each machine of the cluster has an entry."""
    folder = tmp_path_factory.mktemp("runs")
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    tasks = [("one", {}), ("two", {})]
    tasks += [
        ("cluster", {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}})})
        for i in range(2)
    ]

    for pair in (tasks[:2], tasks[2:]):  # both machines of the cluster at once, as they wait for each other
        started = [warm.start("python", "-m", "tests.test_replicas", folder, kind, env=env) for kind, env in pair]
        for run in started:
            assert run.wait() == 0, run.stderr.read_text()
    return {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}


@pytest.mark.parametrize("name", LOSSES)
def test_relativistic_means_reach_over_all_replicas(name, runs):
    real, fake = (tf.constant(x) for x in logits())
    with tf.GradientTape() as tape:
        tape.watch(fake)
        whole = LOSSES[name](real, fake)
    assert runs["losses"][f"{name} loss"] == pytest.approx(float(whole))
    np.testing.assert_allclose(runs["losses"][f"{name} gradient"], tape.gradient(whole, fake), rtol=1e-6)


KINDS = ["two-0", "cluster-0", "cluster-1"]


def gradients(run, i, network):
    """All gradients of a network, read from Adam's first moments: m = 0.9 m + 0.1 g."""
    now, before = (
        np.concatenate([run[name].ravel() for name in run if name.startswith(f"moment {j} {network} ")] or [[]])
        for j in (i, i - 1)
    )
    return 10 * now - 9 * before if i else 10 * now


@pytest.mark.parametrize("phase", ["psnr", "gan"])
@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_reduced_gradients_are_those_of_one_replica(kind, phase, runs):
    one, other = runs[f"one-0-{phase}"], runs[f"{kind}-{phase}"]
    assert one.keys() == other.keys()
    columns = one["columns"].tolist()
    for i in range(STEPS):
        for name in ("pixel", "adversarial", "discriminator"):
            if name in columns:
                at = columns.index(name)
                assert other[f"values {i}"][at] == pytest.approx(one[f"values {i}"][at], rel=1e-5), (i, name)
        for network in ("generator", "discriminator")[: 1 if phase == "psnr" else 2]:
            expected = gradients(one, i, network)
            assert expected.size > 1000
            difference = np.linalg.norm(gradients(other, i, network) - expected)
            assert difference < 1e-5 * np.linalg.norm(expected), (i, network)
            norm = other[f"values {i}"][columns.index(f"{network}_gradient_norm")]
            assert norm == pytest.approx(np.linalg.norm(expected), rel=1e-4)


@pytest.mark.parametrize("phase", ["psnr", "gan"])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_of_one_replica(kind, phase, runs):
    """Compares the mean over all weights, and the changes by training."""
    one, other = runs[f"one-0-{phase}"], runs[f"{kind}-{phase}"]
    for network in ("generator", "discriminator")[: 1 if phase == "psnr" else 2]:
        names = [name.removeprefix("weight ") for name in one if name.startswith(f"weight {network}/")]
        names = [name for name in names if "moving" not in name]
        start, a, b = (
            np.concatenate([run[f"{kind} {name}"].ravel() for name in names])
            for kind, run in (("start", one), ("weight", one), ("weight", other))
        )
        assert np.abs(b - a).mean() < 1e-4 * np.abs(a).mean(), network
        assert np.abs(b - a).mean() < 1e-2 * np.abs(a - start).mean() > 0, network


@pytest.mark.parametrize("phase", ["psnr", "gan"])
@pytest.mark.parametrize("kind", ["one-0", *KINDS])
def test_a_step_that_is_not_finite_on_one_is_skipped_by_all(kind, phase, runs):
    found = runs[f"{kind}-{phase}"]
    assert np.isnan(found[f"values {STEPS}"]).any()
    assert found[f"values {STEPS}"][-2] == 1
    names = [name.removeprefix("weight ") for name in found if name.startswith("weight ")]
    assert len(names) > 20
    for name in names:
        np.testing.assert_array_equal(found[f"skipped {name}"], found[f"weight {name}"], err_msg=name)


def test_machines_hold_the_same_bits(runs):
    for phase in ("psnr", "gan"):
        first, second = runs[f"cluster-0-{phase}"], runs[f"cluster-1-{phase}"]
        for name in first:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
