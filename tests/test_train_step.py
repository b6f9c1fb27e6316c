"""Steps that are not finite change nothing. Gradients are clipped after their sum; float16 has a loss scale."""

import csv
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from esrgan_tf.data import Patches
from esrgan_tf.errors import UserError
from esrgan_tf.runs.folder import checkpoint_steps
from esrgan_tf.training import loop
from esrgan_tf.training.loop import run_phase
from esrgan_tf.training.stopping import Diverged, StopRequest
from esrgan_tf.training.train_step import TrainStep
from tests.small_training import CONFIG, Store, all_weights, assert_same, make_phase, train, with_runtime


class Planted(Patches):
    """Batches for a list of steps; None gives a batch with one NaN pixel."""

    def __init__(self, steps):
        super().__init__(Store(), scale=4, hr_patch=32, batch_size=4, seed=0)
        self.steps = steps

    def batch(self, step, part=slice(None)):
        lr, hr = (x.astype(np.float32) for x in super().batch(self.steps[step] or 0, part))
        if self.steps[step] is None:
            lr[-1, 0, 0, 0] = np.nan
        return lr, hr


class Runs:
    """Trains one phase several times from the same start with one step, because compiling takes longest."""

    def __init__(self, name):
        self._strategy = tf.distribute.MirroredStrategy(["CPU:0"])
        self._phase = make_phase(name, self._strategy)
        self._step = TrainStep(self._phase, self._strategy, CONFIG.runtime)
        variables = [v for owner in self._step.state().values() for v in owner]
        self._beginning = [(v, v.numpy()) for v in variables]

    def __call__(self, folder, steps, whole=CONFIG):
        """Trains or resumes in the folder; returns all changed variables except the EMA."""
        for variable, value in self._beginning:
            variable.assign(value)
        self._phase.config = dataclasses.replace(self._phase.config, steps=len(steps))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "TrainStep", self._same_step)
            run_phase(self._phase, Planted(steps), None, Store(), folder, whole, self._strategy, StopRequest())
        return {
            name: value.copy() for name, value in all_weights(self._phase).items() if not name.startswith("average")
        }

    def _same_step(self, phase, strategy, runtime):
        assert (phase, strategy) == (self._phase, self._strategy)
        assert (runtime.precision, runtime.jit_compile) == (CONFIG.runtime.precision, CONFIG.runtime.jit_compile)
        return self._step


@pytest.fixture(scope="module")
def run_psnr():
    return Runs("psnr")


@pytest.mark.parametrize("name", ["psnr", "gan"])
def test_a_step_that_is_not_finite_changes_nothing(name, run_psnr, tmp_path, capsys):
    """Weights, slots and batch statistics equal those of a run without the bad image."""
    run = run_psnr if name == "psnr" else Runs(name)
    skipping = run(tmp_path / "skipping", [0, 1, None, 3])
    assert "not finite and skipped: step 3" in capsys.readouterr().err
    assert_same(skipping, run(tmp_path / "without", [0, 1, 3]), rtol=0, atol=0)
    with open(tmp_path / "skipping" / name / "metrics.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["skipped"] for row in rows] == ["0", "0", "1", "1"]
    assert [row["pixel"] == "" for row in rows] == [False, False, True, False]


def test_losses_are_means_of_the_steps_that_were_not_skipped(run_psnr, tmp_path):
    run_psnr(tmp_path / "each", [0, 1, None, 3])
    run_psnr(tmp_path / "window", [0, 1, None, 3], whole=with_runtime(log_every=4))
    pixels = []
    for folder in ("each", "window"):
        with open(tmp_path / folder / "psnr" / "metrics.csv", encoding="utf-8") as file:
            pixels.append([float(row["pixel"]) for row in csv.DictReader(file) if row["pixel"]])
    assert pixels[1] == [pytest.approx(np.mean(pixels[0]), rel=1e-6)]


def test_ten_in_a_row_stop_the_run(run_psnr, tmp_path):
    """The next record detects the problem; all steps until then are skipped, even finite steps."""
    steps = [0, 1, *[None] * 10, *range(2, 9)]
    with pytest.raises(Diverged) as error:
        run_psnr(tmp_path, steps, whole=with_runtime(log_every=18, checkpoint_every=2))
    assert str(error.value) == (
        "10 steps in a row up to step 12 had a loss or a gradient that is not finite; lower psnr.learning_rate "
        "(now 0.01), or limit the gradients with psnr.clip_norm=1, and repeat the command with this setting "
        "and --allow_changes; the newest checkpoint is ckpt-10"
    )
    # The checkpoints that were saved meanwhile contain the state before the bad steps.
    assert checkpoint_steps(tmp_path / "psnr" / "checkpoints") == [6, 8, 10]
    resumed = run_psnr(tmp_path, [*[0] * 10, 2, 3])
    assert_same(resumed, run_psnr(tmp_path / "whole", [0, 1, 2, 3]), rtol=0, atol=0)


def test_nine_in_a_row_do_not(run_psnr, tmp_path):
    nine = run_psnr(tmp_path / "nine", [0, *[None] * 9, 1], whole=with_runtime(log_every=20))
    assert_same(nine, run_psnr(tmp_path / "none", [0, 1]), rtol=0, atol=0)


def first_moment(phase):
    """The gradient from Adam's first moment, which is a tenth of the gradient after one step."""
    optimizer = phase.step.trained["generator"][1]
    return np.concatenate([10 * v.numpy().ravel() for v in optimizer.variables if "momentum" in v.path])


def test_clipping_is_by_the_norm_of_all_gradients(tmp_path, eagerly):
    moments = {}
    for clip_norm in (None, 1e-3):
        phase = train("psnr", tmp_path / str(clip_norm), steps=1, clip_norm=clip_norm)
        moments[clip_norm] = first_moment(phase)
    norm = np.linalg.norm(moments[None])
    with open(tmp_path / "0.001" / "psnr" / "metrics.csv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["generator_gradient_norm"]) == pytest.approx(norm, rel=1e-5)  # before clipping
    np.testing.assert_allclose(moments[1e-3], moments[None] * 1e-3 / norm, rtol=1e-4, atol=1e-12)


def half_step():
    keras.config.set_dtype_policy("mixed_float16")
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    phase = make_phase("psnr", strategy)
    return phase, TrainStep(phase, strategy, dataclasses.replace(CONFIG.runtime, precision="mixed_float16")), strategy


def test_float16_finds_its_loss_scale():
    phase, step, _ = half_step()
    counters = {v.name: v for v in step.state()["counters"]}
    assert float(counters["loss_scale"].numpy()) == 2**15
    batches = [tuple(tf.constant(x) for x in Patches(Store(), 4, 32, 4, 0).batch(0))] * 30
    counters["loss_scale"].assign(2.0**36)  # gradients overflow
    weights = [w.copy() for w in phase.generator.get_weights()]
    skipped = []
    for lr, hr in batches:
        skipped.append(bool(step(lr, hr, tf.constant(0.0))[-2]))
        if not skipped[-1]:
            break
        assert all((a == b).all() for a, b in zip(weights, phase.generator.get_weights(), strict=True))
        counters["in_a_row"].assign(0)  # ten in a row would stop the run, which another test covers
    halvings = sum(skipped)
    assert 5 < halvings < 30
    assert float(counters["loss_scale"].numpy()) == 2.0 ** (36 - halvings)
    # After 2,000 finite steps, the scale is doubled.
    counters["finite_steps"].assign(1999)
    counters["loss_scale"].assign(2.0**10)  # far from an overflow
    step(*batches[0], tf.constant(0.0))
    assert float(counters["loss_scale"].numpy()) == 2.0**11
    assert int(counters["finite_steps"].numpy()) == 0


def test_the_loss_scale_does_not_scale_the_update(eagerly):
    moments = []
    for scale in (2.0**8, 2.0**15):
        phase, step, _ = half_step()
        counters = {v.name: v for v in step.state()["counters"]}
        counters["loss_scale"].assign(scale)
        lr, hr = (tf.constant(x) for x in Patches(Store(), 4, 32, 4, 0).batch(0))
        step(lr, hr, tf.constant(0.0))
        moments.append(first_moment(phase))
    assert np.linalg.norm(moments[0]) > 0.1
    assert np.linalg.norm(moments[0] - moments[1]) < 1e-2 * np.linalg.norm(moments[0])  # float16 has 11 bits


def test_exhausted_memory_names_what_to_lower(tmp_path):
    """Raises TensorFlow's error for a tensor that fits into no machine."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    phase = make_phase("psnr", strategy)
    ordinary = phase.step

    class Huge:
        losses, trained = ordinary.losses, ordinary.trained

        def __call__(self, lr, hr, loss_scale):
            losses, gradients = ordinary(lr, hr, loss_scale)
            size = tf.cast(2.0**44 * (1.0 + tf.reduce_min(lr)), tf.int64)  # unknown before the run
            return {"pixel": losses["pixel"] + tf.reduce_sum(tf.random.uniform([size]))}, gradients

    phase.step = Huge()
    with pytest.raises(UserError) as error:
        run_phase(phase, Planted([0] * 4), None, Store(), tmp_path, CONFIG, strategy, StopRequest())
    assert str(error.value) == (
        "out of memory: lower data.batch_size (now 4) or data.hr_patch (now 32), or use "
        "runtime.gradient_checkpointing=blocks or runtime.precision=mixed_bfloat16, with --allow_changes in a "
        "phase that has started"
    )
