"""A pytest plugin that removes functions of Linux that Windows lacks, before any other import.

    python -m pytest -p tests.without_linux tests/test_data.py

`fcntl` cannot be imported, except by filelock, which locks differently on Windows. `os.pread`, `SIGHUP`, open files
by number and `/proc` are missing. Windows has more differences: for example, it does not delete open files.
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
