"""External faults during a run: the message, the exit status, and the remaining files.

The processes and the faults are real. Tests without a process are in test_checkpoints.py (a table of damaged files),
test_train_step.py (a NaN pixel, exhausted memory) and test_cli.py (mistakes before the start).
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from esrgan_tf.runs.folder import checkpoint_steps, read_metrics
from tests.test_replicas import free_ports

pytestmark = pytest.mark.journey

DATA, INDEX = "state.data-00000-of-00001", "state.index"
OFTEN = ("--set=runtime.log_every=1", "--set=runtime.checkpoint_every=2", "--set=runtime.validate_every=100000")
LONG = (*OFTEN, "--set=psnr.steps=100000")


@pytest.fixture
def run(first_phase, tmp_path):
    """A copy of a complete run of phase psnr with its checkpoints."""
    shutil.copytree(first_phase, tmp_path / "run")
    return tmp_path / "run"


def train(run, *flags):
    return "python", "train.py", "--phase", "psnr", "--run_dir", run, *flags


def steps(run):
    return checkpoint_steps(run / "psnr" / "checkpoints")


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def damage(run, *what):
    for step, name, how in what:
        how(run / "psnr" / "checkpoints" / f"ckpt-{step}" / name)


BEFORE_THE_START = {
    # name: (damage to the run, flags, exit status, message, checkpoints afterwards)
    "torn checkpoint": (
        [(6, DATA, cut)], ("--set=psnr.steps=8",), 0,
        r"ckpt-6 is damaged and skipped: .*\nresuming phase psnr at step 4\n", [4, 6, 8],
    ),
    "missing shard": (
        [(6, DATA, os.unlink)], ("--set=psnr.steps=8",), 0,
        r"ckpt-6 is damaged and skipped: .*\nresuming phase psnr at step 4\n", [4, 6, 8],
    ),
    "no good checkpoint": (
        [(2, DATA, cut), (4, INDEX, os.unlink), (6, INDEX, cut)], ("--set=psnr.steps=8",), 2,
        r"no checkpoint in .*checkpoints can be read; remove the folder to start again", [2, 4, 6],
    ),
    "wrong architecture": (
        [], ("--set=generator.blocks=2",), 2,
        r"generator.blocks: .*run was started with 1, not 2; choose another --run_dir", [2, 4, 6],
    ),
    "another seed": (
        [], ("--set=runtime.seed=5", "--set=psnr.steps=8", "--set=psnr.learning_rate=1e-4"), 2,
        r"psnr was trained with psnr.learning_rate 0.001, not 0.0001; runtime.seed 0, not 5: restore these settings, "
        r"choose another --run_dir, or add --allow_changes", [2, 4, 6],
    ),
    "another seed, allowed": (
        [], ("--set=runtime.seed=5", "--set=psnr.steps=8", "--allow_changes"), 0,
        r"resuming phase psnr at step 6\n", [4, 6, 8],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BEFORE_THE_START)
def test_a_fault_before_the_start(fault, run, warm):
    damages, flags, status, message, left = BEFORE_THE_START[fault]
    assert steps(run) == [2, 4, 6]
    damage(run, *damages)
    # A cluster of one machine equals a machine.
    cluster = {"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 0}}
    result = warm.run(*train(run, *flags), env={"TF_CONFIG": json.dumps(cluster)}, eagerly=True)
    assert result.returncode == status, result.stderr
    assert re.search(message, result.stdout if status == 0 else result.stderr), result.stderr
    if status:
        assert result.stderr.count("\n") == 1
    assert steps(run) == left


# Drops CAP_DAC_OVERRIDE, which ignores read-only folders, and becomes the named program.
WITHOUT_PRIVILEGE = """\
import ctypes, runpy, sys
header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
libc = ctypes.CDLL(None)
assert libc.capget(header, sets) == 0
sets[0] &= ~2
assert libc.capset(header, sets) == 0
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_read_only_folder(run, tmp_path, warm):
    (tmp_path / "program.py").write_text(WITHOUT_PRIVILEGE)
    for folder in (run / "psnr" / "checkpoints", run / "psnr", run):
        folder.chmod(0o555)
    try:
        result = warm.run("python", tmp_path / "program.py", *train(run, "--set=psnr.steps=8")[1:])
    finally:
        for folder in (run, run / "psnr", run / "psnr" / "checkpoints"):
            folder.chmod(0o755)
    assert result.returncode == 2
    assert re.fullmatch(r"esrgan-tf: cannot write to .*psnr \(Permission denied\); .*\n", result.stderr)
    assert steps(run) == [2, 4, 6]


def disks():
    """Whether this process may mount a private small disk."""
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


# Trains in one process on a small private disk, then four steps more in another process on a larger disk.
ON_A_FULL_DISK = """\
import ctypes, os, runpy, subprocess, sys
disk, *sys.argv = sys.argv[1:]
assert ctypes.CDLL(None).unshare(0x20000) == 0  # CLONE_NEWNS
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", disk], check=True)
newest = 100_000
for size in ("700k", "100m"):
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
    child = os.fork()
    if child == 0:
        sys.argv += [f"--set=psnr.steps={newest + 4}"]
        runpy.run_path(sys.argv[0], run_name="__main__")
        sys.exit()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    newest = max(int(name[5:]) for name in os.listdir(f"{disk}/run/psnr/checkpoints") if name.startswith("ckpt-"))
    print("status", status, "newest", newest, flush=True)
"""


def test_a_full_disk(tmp_path, tiny_config, warm):
    """A disk of 700 kB. After an increase, the same command resumes from the newest complete checkpoint."""
    if not disks():
        pytest.skip("needs the right to mount a small disk")
    (tmp_path / "disk").mkdir()
    (tmp_path / "program.py").write_text(ON_A_FULL_DISK)
    command = train(tmp_path / "disk" / "run", "--config", tiny_config, *OFTEN, "--set=runtime.keep_checkpoints=100")
    result = warm.run("python", tmp_path / "program.py", tmp_path / "disk", *command[1:], eagerly=True)
    assert result.returncode == 0, result.stderr
    (full, newest), (again, last) = re.findall(r"^status (\d+) newest (\d+)$", result.stdout, flags=re.MULTILINE)
    assert (full, again) == ("2", "0"), result.stderr
    assert int(last) == int(newest) + 4
    (message,) = re.findall("^esrgan-tf: .*$", result.stderr, flags=re.MULTILINE)
    assert re.fullmatch(
        rf"esrgan-tf: cannot write to .*psnr \(No space left on device\); correct this and repeat the command "
        rf"\(the newest checkpoint is ckpt-{newest}\)",
        message,
    )
    assert "Traceback" not in result.stderr
    assert f"resuming phase psnr at step {newest}\n" in result.stdout


def started(warm, run, tiny_config, *flags, step=4, **kwargs):
    process = warm.start(*train(run, "--config", tiny_config, *LONG, *flags), **kwargs)
    wait_for_step(run, step, [process])
    return process


def wait_for_step(run, step, processes, seconds=90):
    until = time.monotonic() + seconds
    while len(read_metrics(run / "psnr")) < step:
        for process in processes:
            assert process.poll() is None, process.stderr.read_text()
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_folder_that_vanishes(tmp_path, tiny_config, warm):
    process = started(warm, tmp_path / "run", tiny_config, eagerly=True)
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert process.wait() == 2
    last = process.stderr.read_text().splitlines()[-1]
    assert re.fullmatch(r"esrgan-tf: .*psnr is missing, with its checkpoints; the same command starts again", last)
    assert not (tmp_path / "run").exists()


def test_an_image_that_turns_unreadable(tmp_path, photos, tiny_config, warm):
    cache = tmp_path / "cache"
    flags = (f"--set=data.cache_dir={cache}", "--set=runtime.checkpoint_every=100000")
    process = started(warm, tmp_path / "run", tiny_config, *flags)
    sets = [json.loads(path.read_text()) for path in cache.glob("sets/*.json")]
    (key,) = (key for images in sets for name, key, *_ in images if len(images) == 3 and name == "coffee.png")
    os.truncate(cache / "images" / key[:2] / f"{key}.u8", 100)
    wait_for_step(tmp_path / "run", len(read_metrics(tmp_path / "run" / "psnr")) + 30, [process])
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    said = process.stderr.read_text()
    assert (
        len(re.findall(r"^image coffee\.png: its file in the cache is cut short .*; the next", said, re.MULTILINE)) == 1
    )
    # The next start decodes the image again.
    done = int(re.search(r"saved at step (\d+)", said)[1])
    again = warm.run(*train(tmp_path / "run", *OFTEN, f"--set=psnr.steps={done + 5}"), eagerly=True)
    assert again.returncode == 0
    assert "preparing 1 folder images" in again.stdout
    assert "replaced" not in again.stderr


def test_other_images(tmp_path, tiny_config, photos, warm):
    shutil.copytree(photos, tmp_path / "photos")
    flags = ("--config", tiny_config, f"--set=data.hr_dir={tmp_path / 'photos'}", *OFTEN)
    first = warm.run(*train(tmp_path / "other", *flags, "--set=psnr.steps=2"), eagerly=True)
    assert first.returncode == 0, first.stderr
    (tmp_path / "photos" / "chelsea.png").unlink()
    second = warm.run(*train(tmp_path / "other", *flags, "--set=psnr.steps=4"))
    assert second.returncode == 2
    assert re.fullmatch(r"esrgan-tf: .*psnr was trained on other images \(added, removed.*\n", second.stderr)
    assert steps(tmp_path / "other") == [2]


def test_a_second_training_in_the_same_folder(tmp_path, tiny_config, warm):
    process = started(warm, tmp_path / "run", tiny_config, eagerly=True)
    second = warm.run(*train(tmp_path / "run", *LONG))
    assert second.returncode == 2
    assert re.fullmatch(r"esrgan-tf: .*psnr is being trained in another process; .*\n", second.stderr)
    assert process.poll() is None
    process.kill()
    process.wait()
    # Leftovers of a killed process do not disturb the next run.
    done = steps(tmp_path / "run")[-1]
    third = warm.run(*train(tmp_path / "run", *OFTEN, f"--set=psnr.steps={done + 4}"), eagerly=True)
    assert third.returncode == 0, third.stderr


def on_two_machines(warm, *commands):
    """A command on each of two machines: two processes that connect over the loopback interface."""
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": i}} for i in range(2)]
    return [
        warm.start(*command, env={"TF_CONFIG": json.dumps(task)}) for command, task in zip(commands, tasks, strict=True)
    ]


@pytest.mark.parametrize("victim", [0, 1])
def test_a_machine_that_dies_ends_the_others(victim, tmp_path, tiny_config, warm):
    run = tmp_path / "run"
    command = train(run, "--config", tiny_config, *LONG)
    both = on_two_machines(warm, command, command)
    wait_for_step(run, 6, both)
    both[victim].kill()
    survivor = both[1 - victim]
    assert survivor.wait(timeout=60) == 1
    assert both[victim].wait() == -signal.SIGKILL
    (message,) = (line for line in survivor.stderr.read_text().splitlines() if line.startswith("esrgan-tf: "))
    newest = steps(run)[-1]
    assert re.fullmatch(
        rf"esrgan-tf: another machine has ended \(.*\); repeat the command on all machines "
        rf"\(the newest checkpoint is ckpt-{newest}\)",
        message,
    )
    if victim == 1:
        resumes_on_two_machines_and_stops(run, newest, warm)


def resumes_on_two_machines_and_stops(run, newest, warm):
    """A signal to one machine stops both at the same step, and only the chief writes."""
    both = on_two_machines(warm, train(run, *LONG), train(run, *LONG))
    wait_for_step(run, newest + 3, both)
    both[1].send_signal(signal.SIGTERM)
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    said = [process.stderr.read_text() for process in both]
    stopped = [re.search(r"(.*): stopped and saved at step (\d+) of", text) for text in said]
    assert (stopped[0][1], stopped[1][1]) == ("another machine", "SIGTERM")
    assert stopped[0][2] == stopped[1][2] == str(steps(run)[-1])
    assert all(f"resuming phase psnr at step {newest}\n" in process.stdout.read_text() for process in both)
    assert "step " not in said[1].split("SIGTERM")[0]
    assert [int(row["step"]) for row in read_metrics(run / "psnr")] == list(range(1, steps(run)[-1] + 1))


def test_a_batch_that_does_not_divide(tmp_path, tiny_config, warm):
    command = train(tmp_path / "run", "--config", tiny_config, "--set=data.batch_size=5")
    both = on_two_machines(warm, command, command)
    assert [process.wait(timeout=60) for process in both] == [2, 2]
    for process in both:
        text = process.stderr.read_text()
        assert text.startswith("esrgan-tf: data.batch_size: 5 is not divisible by the 2 devices; 4 is\n"), text
    assert not (tmp_path / "run").exists()


def test_machines_that_disagree(tmp_path, tiny_config, warm):
    both = on_two_machines(
        warm,
        *(
            train(tmp_path / f"run{rate}", "--config", tiny_config, f"--set=psnr.learning_rate={rate}")
            for rate in (1e-3, 2e-3)
        ),
    )
    assert [process.wait(timeout=60) for process in both] == [2, 2]
    for process in both:
        text = process.stderr.read_text()
        assert text.startswith("esrgan-tf: the machines have different configurations; use the same command")
        assert text.count("\n") == 1


CLUSTERS = {
    "not JSON": ("{cluster", "TF_CONFIG is not of the form"),
    "a list": ("[]", "TF_CONFIG is not of the form"),
    "parameter servers": (
        '{"cluster": {"worker": ["a:1", "b:1"], "ps": ["c:1"]}, "task": {"type": "worker", "index": 0}}',
        "tasks must be chief or worker, not ps",
    ),
    "a task that is not there": (
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        "this machine's task, worker 2, is not in its cluster of 2",
    ),
    "no task": ('{"cluster": {"worker": ["a:1", "b:1"]}}', "this machine's task, None 0, is not in its cluster of 2"),
    "no port": (
        '{"cluster": {"worker": ["a", "b:1"]}, "task": {"type": "worker", "index": 0}}',
        "'a' has no port; write it as host:2222",
    ),
}


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_wrong_tf_config(name, run_main, monkeypatch, tmp_path):
    text, message = CLUSTERS[name]
    monkeypatch.setenv("TF_CONFIG", text)
    status, _, err = run_main("train", "--phase", "psnr", "--run_dir", tmp_path / "run")
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
