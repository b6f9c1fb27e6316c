"""TensorFlow and other native code without their lines on the terminal. For commands: it changes the whole process."""

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Keeps TensorFlow's start-up lines, which no flag turns off, out of the terminal while it is imported.

    They come from native code, so the file descriptor is redirected. They are shown after all where they matter: on an
    error, and where there is an NVIDIA device that TensorFlow does not see.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_native() as show:
        gc.disable()  # it would look through TensorFlow's objects again and again: a second of every command
        try:
            with _absent("matplotlib"):  # Keras looks for it at its start, for pictures that nobody asks it for: 0.6 s
                import tensorflow as tf
            yield
            if not tf.config.list_physical_devices("GPU") and os.path.exists("/dev/nvidia0"):
                show()
        finally:
            gc.enable()
            gc.freeze()


@contextlib.contextmanager
def quiet_native() -> Iterator[Callable[[], None]]:
    """Keeps what is written to standard error, by native code too, out of the terminal.

    It is shown after all on an error, or if the function that is given is called.
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
def _absent(module: str) -> Iterator[None]:
    """What is imported meanwhile does not find the module, unless it is imported already."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
