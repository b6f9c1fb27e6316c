"""A plugin of pytest that takes away what Linux has and Windows lacks, before anything else is imported.

    python -m pytest -p tests.without_linux tests/test_data.py

`fcntl` cannot be imported; `os.pread`, `SIGHUP` and open files by number are gone, and so is `/proc`. That is less than
Windows: locks are files then, where Windows has locks, and open files can still be deleted.
"""

import os
import pathlib
import signal
import sys

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
