"""How a run ends early: asked to, by Ctrl-C, a cluster's SIGTERM or its own time limit; or because it cannot go on."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """Training was asked to stop and did; what was done is saved. No `except Exception` may swallow it."""


class Failed(Exception):
    """Training cannot go on by itself; the message says why, what is saved, and what to do."""


class Diverged(Failed):
    """Losses, gradients or weights are not finite again and again."""


class WorkerLost(Failed):
    """One of several machines does not answer any more."""


class StopRequest:
    """Why to stop, if at all. Until `finish_step` is set a signal raises `Stopped` wherever the program is."""

    def __init__(self, max_hours: float | None = None):
        self.finish_step = False
        self._max_hours, self._began = max_hours, time.monotonic()
        self._signal: str | None = None

    def reason(self) -> str | None:
        """`SIGTERM`, or `2 hours`; None to go on."""
        if self._signal is not None:
            return self._signal
        if self._max_hours is not None and time.monotonic() - self._began >= 3600 * self._max_hours:
            return f"{self._max_hours:g} hours"
        return None

    def note(self, signum: int, _) -> None:
        """The signals' handler."""
        self._signal = signal.Signals(signum).name
        if not self.finish_step:
            raise Stopped(f"{self._signal}: stopped before the first step")


@contextlib.contextmanager
def stop_requests(max_hours: float | None) -> Iterator[StopRequest]:
    """Listens to the signals while the block runs. The second ends the process at once, whatever it is computing.

    A handler runs between two operations of Python only, and native code may take minutes: so a thread counts, too.
    """
    request = StopRequest(max_hours)
    reading, writing = socket.socketpair()  # no pipe: Windows has no others that do not block
    writing.setblocking(False)
    before = signal.set_wakeup_fd(writing.fileno())
    threading.Thread(target=_end_at_the_second, args=(reading,), daemon=True).start()
    try:
        with _handled_by(request.note):
            yield request
    finally:
        signal.set_wakeup_fd(before)
        writing.close()  # ends the thread


def _end_at_the_second(reading):
    count = 0
    while number := reading.recv(1):
        count += number[0] in SIGNALS
        if count == 2:
            os._exit(128 + number[0])
    reading.close()


def default_signals() -> contextlib.AbstractContextManager[None]:
    """Signals end the process while the block runs."""
    return _handled_by(signal.SIG_DFL)


@contextlib.contextmanager
def _handled_by(handler):
    previous = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
