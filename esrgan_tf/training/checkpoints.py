"""Checkpoints of everything that training needs to go on exactly, and the generator that others load."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import tensorflow as tf

from esrgan_tf.config import Config, save_config
from esrgan_tf.errors import UserError, first_line
from esrgan_tf.files import delete, remove, replacing
from esrgan_tf.runs.folder import CHECKPOINT_CONFIG, CHECKPOINT_IMAGES, checkpoint_path, checkpoint_steps
from esrgan_tf.training.stopping import Diverged

_STATE = "state"


class Checkpoints:
    """Checkpoints `ckpt-<step>/` in a folder, the newest `keep` of them.

    Each appears whole or not at all: it is written under another name, flushed to the disk, and renamed. What becomes
    unreadable later is told by TensorFlow's checksums. Variables are keyed by owner and path, not by position as Keras'
    own tracking keys them: what does not fit is then an error with a name, and never another layer's weight.
    """

    def __init__(self, folder: Path, state: dict[str, list[keras.Variable]], config: Config, images: str, keep: int):
        """`state` holds a variable `step` among its `counters`; `config` and `images` are kept with each checkpoint."""
        tree = {owner: {v.path.replace("/", "."): v.value for v in variables} for owner, variables in state.items()}
        for owner, variables in state.items():
            if len(tree[owner]) != len(variables):
                raise ValueError(f"two variables of {owner} share one path")
        self._folder, self._config, self._images, self._keep = folder, config, images, keep
        self._step = tree["counters"]["step"]
        self._variables = {f"{owner}/{path}": v for owner, branch in tree.items() for path, v in branch.items()}
        self._checkpoint = tf.train.Checkpoint(**tree)

    def restore(self, say: Callable[[str], None] = lambda line: None) -> int:
        """Restores the newest checkpoint that can be read, if there is any, and returns its step; else 0.

        Args:
            say: is given a line per damaged checkpoint.

        Raises:
            UserError: the checkpoint is of another network or phase, or none can be read.
        """
        steps = checkpoint_steps(self._folder)
        for step in reversed(steps):
            path = checkpoint_path(self._folder, step)
            try:
                self._checkpoint.read(str(path / _STATE)).assert_consumed()
                return int(self._step.numpy())
            except (tf.errors.PermissionDeniedError, tf.errors.ResourceExhaustedError):
                raise
            except (tf.errors.OpError, IndexError) as error:  # whatever is wrong with its files, down to their length
                say(f"{path} is damaged and passed over: {first_line(error)}")
            except (AssertionError, ValueError) as error:
                raise UserError(
                    f"{path} does not fit this configuration ({first_line(error)}); go on with the configuration that "
                    "the run began with, or choose another --run_dir"
                ) from error
        if steps:
            raise UserError(f"no checkpoint in {self._folder} can be read; remove the folder to start anew")
        return 0

    def save(self) -> None:
        """Writes a checkpoint of the current step; removes those that are too many.

        Raises:
            OSError: no room, or no folder; the checkpoints before are as they were.
        """
        self._sweep()
        final = checkpoint_path(self._folder, int(self._step.numpy()))
        with replacing(final) as staging:
            staging.mkdir()
            with _as_os_error():
                self._checkpoint.write(str(staging / _STATE))
            save_config(self._config, staging / CHECKPOINT_CONFIG)
            (staging / CHECKPOINT_IMAGES).write_text(self._images, encoding="utf-8")
            if final.exists():  # a damaged one that was passed over
                remove(final)
        for step in self._steps()[: -self._keep]:
            remove(checkpoint_path(self._folder, step))

    def check_finite(self) -> None:
        """Refuses weights and optimizer slots that no training recovers from.

        Raises:
            Diverged: a variable is infinite or NaN.
        """
        # One by one: compiled into one function they would take longer to trace than many checks take.
        for name, variable in self._variables.items():
            if variable.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(variable))):
                raise Diverged(f"{name} is not finite at step {int(self._step.numpy())}; {self.newest()}")

    def newest(self) -> str:
        """Where the run goes on, for a message."""
        steps = self._steps()
        return f"the newest checkpoint is ckpt-{steps[-1]}" if steps else "there is no checkpoint yet"

    def _steps(self):
        """Those up to the current step: a newer one was damaged and passed over."""
        return [step for step in checkpoint_steps(self._folder) if step <= int(self._step.numpy())]

    def _sweep(self):
        """Removes what a stop in the middle left."""
        for path in self._folder.glob(".*ckpt-*"):
            delete(path)


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """A write that fails in TensorFlow is the same to the caller as one that fails in Python."""
    try:
        yield
    except tf.errors.OpError as error:
        if "No space left on device" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise OSError(None, first_line(error)) from error


def save_model(model: keras.Model, path: Path) -> None:
    """Writes a `.keras` file that is, at every moment, either the old one or the new one."""
    with replacing(path) as staging:
        model.save(staging)
