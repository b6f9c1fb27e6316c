"""SIGKILL during both phases changes neither the losses nor any bit of the last checkpoint."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.kills import differences, train_and_kill
from tests.conftest import REPOSITORY

STEPS = {"psnr": 36, "gan": 20}
# (step, during a checkpoint), for a new run and a resumed run. benchmarks/kills.py has fifty.
MOMENTS = {"psnr": [(5, False), (14, True)], "gan": [(6, False)]}
SETTINGS = ("runtime.log_every=1", "runtime.validate_every=1000", "runtime.checkpoint_every=4")

pytestmark = pytest.mark.journey


def test_a_killed_run_ends_as_one_that_was_never_stopped(tmp_path, tiny_config, warm):
    sets = [f"--set={setting}" for setting in (*SETTINGS, *(f"{phase}.steps={n}" for phase, n in STEPS.items()))]
    cut = 0
    for phase in ("psnr", "gan"):

        def start(run, phase=phase):
            command = ("python", "train.py", "--phase", phase, "--config", tiny_config, "--run_dir", tmp_path / run)
            return warm.start(*command, *sets, cwd=REPOSITORY)

        whole = start("whole")
        assert whole.wait() == 0, whole.stderr.read_text()
        folder = tmp_path / "killed" / phase
        cut += train_and_kill(lambda s=start: s("killed"), folder, MOMENTS[phase], seed=1)
        assert differences(tmp_path / "whole" / phase, folder) == []
    assert cut >= 1  # during a checkpoint


def test_the_comparison_detects_a_single_bit(tmp_path):
    for name, value in (("one", 1.0), ("same", 1.0), ("other", np.nextafter(np.float32(1), np.float32(2)))):
        (tmp_path / name / "checkpoints" / "ckpt-3").mkdir(parents=True)
        checkpoint = tf.train.Checkpoint(weight=tf.Variable([0.5, value]), bias=tf.Variable([0.5]))
        checkpoint.write(str(tmp_path / name / "checkpoints" / "ckpt-3" / "state"))
        (tmp_path / name / "metrics.csv").write_text("step,pixel,seconds\n3,0.25,1\n")
    assert differences(tmp_path / "one", tmp_path / "same") == []
    (tmp_path / "same" / "metrics.csv").write_text("step,pixel,seconds\n3,0.25,2\n")
    assert differences(tmp_path / "one", tmp_path / "same") == []
    assert differences(tmp_path / "one", tmp_path / "other") == ["weight/.ATTRIBUTES/VARIABLE_VALUE"]
    (tmp_path / "same" / "metrics.csv").write_text("step,pixel,seconds\n3,0.26,1\n")
    assert differences(tmp_path / "one", tmp_path / "same") == ["metrics.csv"]
