"""Early ends of a training: Ctrl-C, SIGTERM, a time limit, or a failure."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """Training stopped on request and its state is saved. `except Exception` does not catch it."""


class Failed(Exception):
    """Training cannot continue; the message has the reason, the newest checkpoint and the remedy."""


class Diverged(Failed):
    """Losses, gradients or weights are repeatedly not finite."""


class WorkerLost(Failed):
    """Another machine no longer answers."""


class StopRequest:
    """The reason to stop, if any. A signal raises `Stopped` immediately until `finish_step` is set."""

    def __init__(self, max_hours: float | None = None):
        self.finish_step = False
        self._max_hours, self._start = max_hours, time.monotonic()
        self._signal: str | None = None

    def reason(self) -> str | None:
        """`SIGTERM` or `2 hours`; None to continue."""
        if self._signal is not None:
            return self._signal
        if self._max_hours is not None and time.monotonic() - self._start >= 3600 * self._max_hours:
            return f"{self._max_hours:g} hours"
        return None

    def note(self, signum: int, _) -> None:
        """Handles a signal."""
        self._signal = signal.Signals(signum).name
        if not self.finish_step:
            raise Stopped(f"{self._signal}: stopped before the first step")


@contextlib.contextmanager
def stop_requests(max_hours: float | None) -> Iterator[StopRequest]:
    """Handles the signals while the block runs. The second signal ends the process at once.

    Python runs handlers only between its own operations, and native code may take minutes. A thread therefore counts
    the signals too.
    """
    request = StopRequest(max_hours)
    reading, writing = socket.socketpair()  # Windows has no non-blocking pipes
    writing.setblocking(False)
    before = signal.set_wakeup_fd(writing.fileno())
    threading.Thread(target=_exit_at_second_signal, args=(reading,), daemon=True).start()
    try:
        with _set_handlers(request.note):
            yield request
    finally:
        signal.set_wakeup_fd(before)
        writing.close()  # ends the thread


def _exit_at_second_signal(reading):
    count = 0
    while number := reading.recv(1):
        count += number[0] in SIGNALS
        if count == 2:
            os._exit(128 + number[0])
    reading.close()


def default_signals() -> contextlib.AbstractContextManager[None]:
    """Restores the default handlers, which end the process, while the block runs."""
    return _set_handlers(signal.SIG_DFL)


@contextlib.contextmanager
def _set_handlers(handler):
    previous = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
