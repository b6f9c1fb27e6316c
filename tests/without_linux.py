"""A plugin of pytest that takes away what Linux has and Windows lacks, before anything else is imported.

    python -m pytest -p tests.without_linux tests/test_data.py

`fcntl` cannot be imported, but by filelock, which has another way to lock on Windows; `os.pread`, `SIGHUP` and open
files by number are gone, and so is `/proc`. That is not all: on Windows no open file can be deleted.
"""

import os
import pathlib
import signal
import sys

import filelock  # noqa: F401

sys.modules["fcntl"] = None  # type: ignore[assignment]
del os.pread, signal.SIGHUP

_GONE = ("/proc", "/dev/fd")


def _without(method):
    def call(self, *arguments, **named):
        if str(self).startswith(_GONE):
            return False
        return method(self, *arguments, **named)

    return call


for _name in ("is_file", "is_dir", "exists"):
    setattr(pathlib.Path, _name, _without(getattr(pathlib.Path, _name)))
