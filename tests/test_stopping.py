"""Ctrl-C, SIGTERM and a time limit finish the step, save everything, and exit with status 0."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from esrgan_tf.runs.folder import checkpoint_steps, read_metrics
from esrgan_tf.training.monitor import Monitor
from esrgan_tf.training.stopping import SIGNALS, Stopped, StopRequest, stop_requests
from tests.conftest import REPOSITORY
from tests.small_training import train

LONG = (
    "psnr.steps=1000000",
    "runtime.log_every=1",
    "runtime.validate_every=1000000",
    "runtime.checkpoint_every=1000000",
)


@pytest.fixture
def start(warm, tiny_config):
    def start(run_dir, *flags, **kwargs):
        command = ("python", "train.py", "--phase", "psnr", "--config", tiny_config, "--run_dir", run_dir)
        return warm.start(*command, *flags, cwd=REPOSITORY, **kwargs)

    return start


def wait_for(found, process, seconds=60):
    until = time.monotonic() + seconds
    while not found():
        assert process.poll() is None, process.stderr.read_text()
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.journey
@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_finishes_the_step_and_saves(signum, start, tmp_path):
    run = tmp_path / "run"
    process = start(run, *(f"--set={setting}" for setting in LONG))
    wait_for(lambda: len(read_metrics(run / "psnr")) >= 3, process)
    asked = time.monotonic()
    process.send_signal(signum)
    assert process.wait() == 0
    assert time.monotonic() - asked < 10
    said = process.stderr.read_text()
    message = re.search(
        r"(SIG\w+): stopped and saved at step (\d+) of 1000000; to resume: python train.py (.*)\n", said
    )
    assert message[1] == signal.Signals(signum).name
    assert checkpoint_steps(run / "psnr" / "checkpoints") == [int(message[2])]
    assert (run / "psnr" / "generator.keras").is_file()
    if signum != signal.SIGTERM:
        return
    # The printed command resumes the run.
    resumed = start(run, *message[3].split()[4:], f"--set=psnr.steps={int(message[2]) + 1}", eagerly=True)
    assert resumed.wait() == 0, resumed.stderr.read_text()
    assert f"resuming phase psnr at step {message[2]}" in resumed.stdout.read_text()


def test_a_second_signal_ends_it_at_once(tmp_path):
    """Native code computes at that moment (a product of matrices); Python's signal handlers do not interrupt it."""
    program = """
import numpy as np
from esrgan_tf.training.stopping import stop_requests
with stop_requests(None) as stop:
    stop.finish_step = True
    a = np.ones((6_000, 6_000))
    print("begun", flush=True)
    while True:
        a @ a
"""
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # a single thread takes seconds
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=one_thread, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    assert process.wait(timeout=100) == 128 + signal.SIGTERM
    assert time.monotonic() - asked < 2


@pytest.mark.journey
def test_a_signal_before_the_first_step_ends_it_well(start, tmp_path, tiny_config):
    """Leaves complete images only; here the signal comes while images are created."""
    cache = tmp_path / "cache"
    process = start(tmp_path / "run", "--set=data.source=synthetic", f"--set=data.cache_dir={cache}")
    wait_for(lambda: list(cache.rglob("*.u8")), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    assert {path.stat().st_size for path in cache.rglob("*.u8")} == {3 * (64**2 + 256**2)}
    assert [path.name.partition("-")[0] for path in cache.rglob("*.json")] == ["partial"]
    assert not (tmp_path / "run").exists()
    command = f"--phase psnr --config {tiny_config} --run_dir {tmp_path / 'run'} --set=data.source=synthetic"
    said = f"SIGTERM: stopped before the first step; to resume: python train.py {command}"
    assert said in process.stderr.read_text()


@pytest.mark.journey
def test_a_time_limit_saves_and_stops(start, tmp_path):
    process = start(tmp_path / "run", "--max_hours", "0.0005", *(f"--set={setting}" for setting in LONG), eagerly=True)
    assert process.wait() == 0
    message = re.search(r"0\.0005 hours: stopped and saved at step (\d+) of 1000000", process.stderr.read_text())
    assert checkpoint_steps(tmp_path / "run" / "psnr" / "checkpoints") == [int(message[1])]


def test_a_signal_during_a_record_is_not_lost(tmp_path, monkeypatch, eagerly):
    """A signal during the record of a step stops the run after the next step; the reported step is saved."""
    record = Monitor.record

    def record_and_signal(self, step, *arguments):
        record(self, step, *arguments)
        if step == 2:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Monitor, "record", record_and_signal)
    with stop_requests(None) as stop, pytest.raises(Stopped, match="SIGTERM: stopped and saved at step 3 of 9"):
        train("psnr", tmp_path, stop=stop, steps=9)
    assert checkpoint_steps(tmp_path / "psnr" / "checkpoints") == [3]


def test_handlers_are_given_back():
    before = [signal.getsignal(number) for number in SIGNALS]
    with stop_requests(None) as stop:
        assert signal.getsignal(signal.SIGTERM) == stop.note
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_the_time_limit_counts_from_the_start(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stop = StopRequest(max_hours=2)
    assert stop.reason() is None
    monkeypatch.setattr(time, "monotonic", lambda: now + 7199)
    assert stop.reason() is None
    monkeypatch.setattr(time, "monotonic", lambda: now + 7200)
    assert stop.reason() == "2 hours"
