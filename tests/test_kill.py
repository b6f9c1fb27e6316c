"""SIGKILL at random moments of both phases changes nothing: the losses, and every bit of the last checkpoint."""

import numpy as np
import pytest

from benchmarks.kills import differences, train_and_kill
from tests.conftest import REPOSITORY
from tests.warm import Warm

STEPS = {"psnr": 120, "gan": 40}
KILLS = {"psnr": 6, "gan": 4}
SETTINGS = ("runtime.log_every=1", "runtime.validate_every=1000", "runtime.checkpoint_every=4")

pytestmark = pytest.mark.journey


def test_a_killed_run_ends_as_one_that_was_never_stopped(tmp_path, tiny_config):
    sets = [f"--set={setting}" for setting in (*SETTINGS, *(f"{phase}.steps={n}" for phase, n in STEPS.items()))]
    cut = 0
    with Warm(tmp_path) as warm:
        for phase in ("psnr", "gan"):

            def start(run, phase=phase):
                command = ("python", "train.py", "--phase", phase, "--config", tiny_config, "--run_dir", tmp_path / run)
                return warm.start(*command, *sets, cwd=REPOSITORY)

            whole = start("whole")
            assert whole.wait() == 0, whole.stderr.read_text()
            cut += train_and_kill(
                lambda s=start: s("killed"), tmp_path / "killed" / phase, STEPS[phase], KILLS[phase], seed=1
            )
            assert differences(tmp_path / "whole" / phase, tmp_path / "killed" / phase) == []
    assert cut >= 1  # inside a checkpoint


def test_the_comparison_sees_a_single_bit(trained_run, tmp_path):
    """Of another step's checkpoint, and of another seed's losses."""
    assert differences(trained_run / "psnr", trained_run / "psnr") == []
    found = differences(trained_run / "psnr", trained_run / "gan")
    assert "metrics.csv" in found
    assert any("discriminator" in name for name in found)
    assert np.nextafter(np.float32(1), 2).tobytes() != np.float32(1).tobytes()
