"""Suppression of native libraries' log lines on the terminal, such as TensorFlow's at its import."""

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Suppresses TensorFlow's start-up lines, which no flag turns off, during its import.

    Native code writes the lines, so the file descriptor of standard error is redirected. The lines are printed
    afterwards on an error, and if the machine has an NVIDIA device that TensorFlow does not detect.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_native() as show:
        gc.disable()  # repeated collections over TensorFlow's objects take a second per command
        try:
            with _hidden_module("matplotlib"):  # Keras imports it for plots that are not used here: 0.6 s
                import tensorflow as tf
            yield
            if not tf.config.list_physical_devices("GPU") and os.path.exists("/dev/nvidia0"):
                show()
        finally:
            gc.enable()
            gc.freeze()


@contextlib.contextmanager
def quiet_native() -> Iterator[Callable[[], None]]:
    """Suppresses output to standard error, native code's included.

    The output is printed afterwards on an error, or if the caller calls the function that this yields.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    shown = False

    def show():
        nonlocal shown
        shown = True

    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield show
        except BaseException:
            show()
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            if shown:
                captured.seek(0)
                sys.stderr.write(captured.read().decode(errors="replace"))


@contextlib.contextmanager
def _hidden_module(module: str) -> Iterator[None]:
    """Hides a module from imports, unless it is imported already."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
