"""Files and folders that are complete or absent."""

import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from esrgan_tf.files import NO_LOCKS, remove, replacing


def write(target, text, error=None):
    with replacing(target) as staging:
        staging.write_text(text)
        if error:
            raise error


def test_a_failure_keeps_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(OSError, match="full"):
        write(target, "half", OSError("full"))
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]
    write(target, "new")
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


# Writes a folder of two files, or a file, and waits in between for a line on standard input.
WRITER = """
import os, socket, sys
from pathlib import Path
os.getpid, socket.gethostname = lambda: 1, lambda: "container"
from esrgan_tf.files import replacing
with replacing(Path(sys.argv[1])) as staging:
    staging.mkdir()
    (staging / "first").write_text(sys.argv[2])
    print("half", flush=True)
    sys.stdin.readline()
    (staging / "second").write_text(sys.argv[2])
"""


def writer(target, text):
    """A process that is writing. All such processes have the same process number and host name, like containers."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, target, text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "half\n"
    return process


def finish(process):
    process.communicate("\n")
    return process.returncode


def test_leftovers_of_a_killed_process_are_deleted_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "container")
    killed, alive = (writer(tmp_path / "cache", text) for text in ("killed", "alive"))
    killed.kill()
    killed.communicate()
    assert len(os.listdir(tmp_path)) == 4  # two folders and their locks
    other = writer(tmp_path / "other", "other")
    write(tmp_path / "cache", "new")
    assert len(os.listdir(tmp_path)) == 5
    assert (tmp_path / "cache").read_text() == "new"
    (tmp_path / "cache").unlink()
    assert finish(alive) == finish(other) == 0
    assert sorted(os.listdir(tmp_path)) == ["cache", "other"]
    assert sorted(path.read_text() for path in (tmp_path / "cache").iterdir()) == ["alive", "alive"]


def test_leftovers_of_another_machine_are_kept_for_a_week(tmp_path):
    """The locks of some shared disks apply to one machine only, so another machine may still be writing."""
    killed = writer(tmp_path / "cache", "killed")
    killed.kill()
    killed.communicate()
    write(tmp_path / "cache", "new")
    assert len(os.listdir(tmp_path)) == 3
    (lock,) = tmp_path.glob(".*.lock")
    os.utime(lock, (0, 0))
    write(tmp_path / "cache", "newer")
    assert os.listdir(tmp_path) == ["cache"]


def test_processes_of_one_name_do_not_disturb_each_other(tmp_path):
    first, second = (writer(tmp_path / "cache", text) for text in ("first", "second"))
    assert finish(second) == 0
    assert (tmp_path / "cache" / "second").read_text() == "second"
    assert finish(first) != 0  # a folder replaces no file
    assert sorted(path.read_text() for path in (tmp_path / "cache").iterdir()) == ["second", "second"]
    assert os.listdir(tmp_path) == ["cache"]


def test_fifty_threads_write_one_file(tmp_path):
    target, together = tmp_path / "a.txt", threading.Barrier(50)

    def write_long(i):
        together.wait()
        with replacing(target) as staging:
            staging.write_text(f"{i} " * 10_000)
        return target.read_text()

    with ThreadPoolExecutor(50) as pool:
        seen = list(pool.map(write_long, range(50)))
    whole = {f"{i} " * 10_000 for i in range(50)}
    assert set(seen) <= whole
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("number", NO_LOCKS)
def test_a_disk_without_locks(tmp_path, monkeypatch, number):
    """Without locks, files of another process never count as leftovers."""
    pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(number, "no locks here")

    monkeypatch.setattr("fcntl.flock", refuse)
    target = tmp_path / "a.txt"
    with replacing(target) as staging:
        staging.write_text("first")
        write(target, "second")
        assert staging.read_text() == "first"
    assert target.read_text() == "first"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_removing_a_model_removes_its_leftovers(tmp_path):
    for name in ("ckpt-1", ".removed.0123456789abcdef.ckpt-1", ".removed.0123456789abcdef.ckpt-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state").write_text("")
    remove(tmp_path / "ckpt-1")
    assert os.listdir(tmp_path) == [".removed.0123456789abcdef.ckpt-2"]
