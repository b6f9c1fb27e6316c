"""Checkpoints of the complete training state, and the saved generator."""

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
    """The newest `keep` checkpoints `ckpt-<step>/` in a folder.

    A checkpoint is written under a temporary name, flushed to the disk and renamed, so it is never incomplete.
    TensorFlow's checksums detect later damage. Variables are keyed by owner and path, not by position as in Keras. A
    variable that does not fit is an error with its name, and no layer receives another layer's weights.
    """

    def __init__(self, folder: Path, state: dict[str, list[keras.Variable]], config: Config, images: str, keep: int):
        """`state["counters"]` includes a variable `step`. Each checkpoint also holds `config` and `images`."""
        tree = {owner: {v.path.replace("/", "."): v.value for v in variables} for owner, variables in state.items()}
        for owner, variables in state.items():
            if len(tree[owner]) != len(variables):
                raise ValueError(f"two variables of {owner} share one path")
        self._folder, self._config, self._images, self._keep = folder, config, images, keep
        self._step = tree["counters"]["step"]
        self._variables = {f"{owner}/{path}": v for owner, branch in tree.items() for path, v in branch.items()}
        self._checkpoint = tf.train.Checkpoint(**tree)

    def restore(self, say: Callable[[str], None] = lambda line: None) -> int:
        """Restores the newest readable checkpoint and returns its step; 0 without checkpoints.

        Args:
            say: receives a line per damaged checkpoint.

        Raises:
            UserError: the checkpoint belongs to another network or phase, or no checkpoint is readable.
        """
        steps = checkpoint_steps(self._folder)
        for step in reversed(steps):
            path = checkpoint_path(self._folder, step)
            try:
                self._checkpoint.read(str(path / _STATE)).assert_consumed()
                return int(self._step.numpy())
            except (tf.errors.PermissionDeniedError, tf.errors.ResourceExhaustedError):
                raise
            except (tf.errors.OpError, IndexError) as error:  # damaged files, also of a wrong length
                say(f"{path} is damaged and skipped: {first_line(error)}")
            except (AssertionError, ValueError) as error:
                raise UserError(
                    f"{path} does not fit this configuration ({first_line(error)}); restore the configuration, or "
                    "choose another --run_dir"
                ) from error
        if steps:
            raise UserError(f"no checkpoint in {self._folder} can be read; remove the folder to start again")
        return 0

    def save(self) -> None:
        """Writes a checkpoint of the current step and removes the oldest surplus checkpoints.

        Raises:
            OSError: no room, or no folder; earlier checkpoints are unchanged.
        """
        self._remove_temporary()
        final = checkpoint_path(self._folder, int(self._step.numpy()))
        with replacing(final) as staging:
            staging.mkdir()
            with _convert_to_os_error():
                self._checkpoint.write(str(staging / _STATE))
            save_config(self._config, staging / CHECKPOINT_CONFIG)
            (staging / CHECKPOINT_IMAGES).write_text(self._images, encoding="utf-8")
            if final.exists():  # a damaged checkpoint that was skipped
                remove(final)
        for step in self._current_steps()[: -self._keep]:
            remove(checkpoint_path(self._folder, step))

    def check_finite(self) -> None:
        """Refuses infinite and NaN weights and optimizer slots.

        Raises:
            Diverged: a variable is infinite or NaN.
        """
        # A compiled function of all variables would take longer to trace than many checks take.
        for name, variable in self._variables.items():
            if variable.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(variable))):
                raise Diverged(f"{name} is not finite at step {int(self._step.numpy())}; {self.describe_newest()}")

    def describe_newest(self) -> str:
        """The newest checkpoint, for a message."""
        steps = self._current_steps()
        return f"the newest checkpoint is ckpt-{steps[-1]}" if steps else "there is no checkpoint yet"

    def _current_steps(self):
        """Steps of the checkpoints up to the current step; newer checkpoints are damaged."""
        return [step for step in checkpoint_steps(self._folder) if step <= int(self._step.numpy())]

    def _remove_temporary(self):
        """Removes incomplete checkpoints of an interrupted save."""
        for path in self._folder.glob(".*ckpt-*"):
            delete(path)


@contextlib.contextmanager
def _convert_to_os_error() -> Iterator[None]:
    """Raises TensorFlow's write errors as OSError, like Python's."""
    try:
        yield
    except tf.errors.OpError as error:
        if "No space left on device" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise OSError(None, first_line(error)) from error


def save_model(model: keras.Model, path: Path) -> None:
    """Writes a `.keras` file atomically: a reader finds the former or the new file."""
    with replacing(path) as staging:
        model.save(staging)
