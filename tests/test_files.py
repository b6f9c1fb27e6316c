"""Files and folders that are whole or not there."""

import os
import socket
import subprocess
import sys

import pytest

from esrgan_tf.files import replacing


@pytest.fixture
def gone():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def write(target, text, error=None):
    with replacing(target) as staging:
        staging.write_text(text)
        if error:
            raise error


def test_what_fails_leaves_the_old_one(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(OSError, match="full"):
        write(target, "half", OSError("full"))
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]
    write(target, "new")
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_only_leftovers_of_this_machine_are_removed(tmp_path, gone):
    """Another machine's process may still be writing, whatever its number is here."""
    machine = socket.gethostname().partition(".")[0][:40]
    ours, alive, theirs = (
        tmp_path / f".{who}.cache" for who in (f"{machine}-{gone}", f"{machine}-{os.getppid()}", f"other-{gone}")
    )
    for folder in (ours, alive, theirs):
        folder.mkdir()
        (folder / "half").write_text("")
    with replacing(tmp_path / "cache") as staging:
        staging.mkdir()
        (staging / "whole").write_text("")
    assert {path.name for path in tmp_path.iterdir()} == {"cache", alive.name, theirs.name}
