"""Checkpoints are complete or absent, contain all state, and are never restored when damaged."""

import csv
import dataclasses
import io
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from esrgan_tf.config import PhaseConfig
from esrgan_tf.data import Patches
from esrgan_tf.errors import UserError
from esrgan_tf.models import compact_resnet_generator, vgg_discriminator
from esrgan_tf.runs.folder import checkpoint_config, checkpoint_steps
from esrgan_tf.training.checkpoints import Checkpoints
from esrgan_tf.training.gan_step import GanStep
from esrgan_tf.training.loop import run_phase
from esrgan_tf.training.monitor import Monitor
from esrgan_tf.training.psnr_step import PsnrStep
from esrgan_tf.training.stopping import Diverged, StopRequest
from esrgan_tf.training.train_step import Phase, TrainStep
from tests.small_training import CONFIG, Store, all_weights, assert_same, make_phase, state_of, train


def make_checkpoints(folder, name="psnr"):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    phase = make_phase(name, strategy)
    train_step = TrainStep(phase, strategy, CONFIG.runtime)
    return phase, train_step, Checkpoints(folder, train_step.state(), CONFIG, "digest", 3)


def test_resuming_changes_nothing(tmp_path, eagerly):
    """Compares bit for bit; tests/test_kill.py does this for real processes, compiled steps and both phases."""
    straight = all_weights(train("psnr", tmp_path / "straight", steps=6))
    train("psnr", tmp_path / "cut", steps=3)
    resumed = all_weights(train("psnr", tmp_path / "cut", steps=6))
    assert_same(straight, resumed, rtol=0, atol=0)
    records = []
    for run in ("straight", "cut"):
        with open(tmp_path / run / "psnr" / "metrics.csv", encoding="utf-8") as file:
            records.append(list(csv.DictReader(file)))
    assert [row["step"] for row in records[0]] == ["1", "2", "3", "4", "5", "6"]
    for rows in records:
        assert [float(row["seconds"]) for row in rows] == sorted(float(row["seconds"]) for row in rows)
        for row in rows:
            del row["images_per_second"], row["seconds"]
    assert records[0] == records[1]


@pytest.mark.parametrize("name", ["psnr", "gan"])
def test_restored_variables_are_all_of_them(tmp_path, name):
    """Finds all that a step can change from the changes of a training, not from a list."""
    phase, train_step, checkpoints = make_checkpoints(tmp_path, name=name)
    rng = np.random.default_rng(0)
    variables = [v for owner in (*state_of(phase).values(), train_step.state()["counters"]) for v in owner]
    assert len(variables) > 40
    for v in variables:
        v.assign((100 * rng.random(v.shape)).astype(v.dtype))
    before = [v.numpy() for v in variables]
    checkpoints.save()
    keras.utils.set_random_seed(1)
    phase, train_step, checkpoints = make_checkpoints(tmp_path, name=name)
    assert checkpoints.restore() == int(before[-5])
    variables = [v for owner in (*state_of(phase).values(), train_step.state()["counters"]) for v in owner]
    for v, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(v.numpy(), value, err_msg=v.path)


def test_checkpoint_of_another_network_is_refused(tmp_path, eagerly):
    train("psnr", tmp_path, steps=1)
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        generator, average = (compact_resnet_generator(4, filters=6, blocks=1) for _ in range(2))
        config = PhaseConfig(steps=2)
        phase = Phase("psnr", config, PsnrStep(generator, config), generator, average, 4)
    patches = Patches(Store(), 4, 32, 4, 0)
    with pytest.raises(UserError, match="does not fit this configuration") as error:
        run_phase(phase, patches, None, Store(), tmp_path, CONFIG, strategy, StopRequest())
    assert "\n" not in str(error.value)


def test_a_refused_run_keeps_its_configuration(tmp_path):
    _, train_step, checkpoints = make_checkpoints(tmp_path / "gan" / "checkpoints", name="gan")
    checkpoints_folder = tmp_path / "gan" / "checkpoints"
    checkpoints_folder.mkdir(parents=True)
    train_step.step.assign(1)
    checkpoints.save()
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    phase = make_phase("gan", strategy, steps=2)
    with strategy.scope():
        phase.step = GanStep(phase.generator, vgg_discriminator(64, 4), None, phase.config)
    other = dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, hr_patch=64))
    patches = Patches(Store(), 4, 32, 4, 0)
    with pytest.raises(UserError, match="does not fit this configuration"):
        run_phase(phase, patches, None, Store(), tmp_path, other, strategy, StopRequest())
    assert not (tmp_path / "config.yaml").exists()
    assert checkpoint_config(checkpoints_folder) == CONFIG


def test_weights_that_are_not_finite_are_refused(tmp_path):
    phase, train_step, checkpoints = make_checkpoints(tmp_path)
    train_step.step.assign(7)
    checkpoints.check_finite()
    bias = phase.generator.get_layer("body_0_0").bias
    bias.assign(tf.fill(bias.shape, np.nan))
    with pytest.raises(Diverged, match=r"generator/body_0_0\.bias is not finite at step 7"):
        checkpoints.check_finite()


def cut_to(fraction):
    def damage(path):
        content = path.read_bytes()
        path.write_bytes(content[: int(fraction * len(content))])

    return damage


def flip(fraction):
    def damage(path):
        content = bytearray(path.read_bytes())
        content[int(fraction * (len(content) - 1))] ^= 0x10
        path.write_bytes(bytes(content))

    return damage


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


DATA, INDEX = "state.data-00000-of-00001", "state.index"
DAMAGES = {
    "no data": (DATA, lambda path: path.unlink()),
    "no index": (INDEX, lambda path: path.unlink()),
    "empty data": (DATA, cut_to(0)),
    "empty index": (INDEX, cut_to(0)),
    "half of the data": (DATA, cut_to(0.5)),
    "half of the index": (INDEX, cut_to(0.5)),
    "data without its last bytes": (DATA, cut_to(0.999)),
    "index without its last bytes": (INDEX, cut_to(0.99)),
    "zeros for data, as after a power cut": (DATA, zeros),
    "zeros for an index": (INDEX, zeros),
    "a folder": (DATA, lambda path: (path.unlink(), path.mkdir())),
    **{f"one bit of the data at {f}": (DATA, flip(f)) for f in (0, 0.1, 0.3, 0.5, 0.7, 0.9, 1)},
    **{f"one bit of the index at {f}": (INDEX, flip(f)) for f in (0, 0.1, 0.3, 0.5, 0.7)},
}


@pytest.fixture(scope="module")
def made():
    """A phase to save and restore, created once because creation takes longer than the tests."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    return TrainStep(make_phase("psnr", strategy), strategy, CONFIG.runtime)


@pytest.fixture(scope="module")
def two_saved(tmp_path_factory, made):
    """Checkpoints of two steps; all weights equal the step's number."""
    folder = tmp_path_factory.mktemp("two")
    checkpoints = Checkpoints(folder, made.state(), CONFIG, "digest", 3)
    for step in (1, 2):
        made.step.assign(step)
        for v in made.state()["generator"]:
            v.assign(np.full(v.shape, step))
        checkpoints.save()
    return folder


@pytest.fixture
def opened(made):
    """The checkpoints of a folder, for a step with all variables 0; the default keeps the newest three."""

    def opened(folder, keep=3):
        for variables in made.state().values():
            for v in variables:
                v.assign(np.zeros(v.shape))
        return made, Checkpoints(folder, made.state(), CONFIG, "digest", keep)

    return opened


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over(damage, two_saved, opened, tmp_path, capsys):
    shutil.copytree(two_saved, tmp_path / "copy")
    train_step, checkpoints = opened(tmp_path / "copy")
    name, do = DAMAGES[damage]
    do(tmp_path / "copy" / "ckpt-2" / name)
    said = []
    assert checkpoints.restore(said.append) == 1
    assert len(said) == 1
    assert "ckpt-2 is damaged and skipped" in said[0]
    assert capsys.readouterr().out == ""
    generator = train_step.state()["generator"]
    assert all((v.numpy() == 1).all() for v in generator)
    # Training writes the checkpoint again when it reaches that step.
    train_step.step.assign(2)
    checkpoints.save()
    assert checkpoints.restore() == 2


def test_a_damaged_one_ahead_does_not_cost_the_good_ones(two_saved, opened, tmp_path):
    """The damaged checkpoint has a higher number than the next one, and is the only one to keep by number."""
    shutil.copytree(two_saved, tmp_path / "copy")
    (tmp_path / "copy" / "ckpt-2").rename(tmp_path / "copy" / "ckpt-9")
    (tmp_path / "copy" / "ckpt-9" / DATA).unlink()
    train_step, checkpoints = opened(tmp_path / "copy", keep=1)
    assert checkpoints.restore() == 1
    assert checkpoints.describe_newest() == "the newest checkpoint is ckpt-1"
    train_step.step.assign(5)
    checkpoints.save()
    assert checkpoint_steps(tmp_path / "copy") == [5, 9]
    assert checkpoints.restore() == 5


def test_without_a_good_checkpoint_it_is_an_error(two_saved, opened, tmp_path):
    shutil.copytree(two_saved, tmp_path / "copy")
    for step in (1, 2):
        (tmp_path / "copy" / f"ckpt-{step}" / DATA).unlink()
    with pytest.raises(UserError, match=r"no checkpoint in .* can be read; remove the folder to start again"):
        opened(tmp_path / "copy")[1].restore()


def test_leftovers_of_a_stop_are_no_checkpoint(opened, tmp_path):
    train_step, checkpoints = opened(tmp_path)
    train_step.step.assign(1)
    checkpoints.save()
    shutil.copytree(tmp_path / "ckpt-1", tmp_path / ".ckpt-2")  # not renamed yet
    (tmp_path / ".ckpt-2" / INDEX).unlink()
    assert checkpoint_steps(tmp_path) == [1]
    assert checkpoints.restore() == 1
    train_step.step.assign(2)
    checkpoints.save()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ckpt-1", "ckpt-2"]


def test_a_torn_line_of_the_records_is_dropped(tmp_path):
    monitor = Monitor(tmp_path, ("pixel",), 0, 9)
    for step in (1, 2, 3, 4):
        monitor.advance(step)
        monitor.record(step, {"pixel": 0.5})
    monitor.close()
    with open(tmp_path / "metrics.csv", "ab") as file:
        file.write(b"\xff\xfe\0\0\n5,0.1")  # a power cut may leave such bytes
    monitor = Monitor(tmp_path, ("pixel", "perceptual"), 3, 9)  # a new column does not remove the old columns
    monitor.advance(4)
    monitor.record(4, {"pixel": 0.25, "perceptual": 2.0})
    monitor.close()
    with open(tmp_path / "metrics.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["pixel"], row["perceptual"]) for row in rows] == [
        *(("1", "0.5", ""), ("2", "0.5", ""), ("3", "0.5", ""), ("4", "0.25", "2.0"))
    ]


class Gone(io.TextIOBase):
    """A pipe into a program that has ended."""

    def write(self, _):
        raise BrokenPipeError


def test_training_runs_without_a_reader_of_its_output(tmp_path, monkeypatch):
    monitor = Monitor(tmp_path, ("pixel",), 0, 9)
    monkeypatch.setattr("sys.stderr", Gone())
    monitor.advance(1)
    monitor.record(1, {"pixel": 0.5})
    monitor.close()
    assert (tmp_path / "metrics.csv").read_text().splitlines()[1].startswith("1,0.5,")


def test_only_the_newest_checkpoints_are_kept(opened, tmp_path):
    train_step, checkpoints = opened(tmp_path, keep=2)
    for step in (1, 2, 9, 10, 11):
        train_step.step.assign(step)
        checkpoints.save()
    assert checkpoint_steps(tmp_path) == [10, 11]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ckpt-10", "ckpt-11"]
