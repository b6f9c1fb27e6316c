"""Checkpoints of everything that training needs to go on exactly, and the generator that others load."""

import os
from pathlib import Path

import keras
import tensorflow as tf

from esrgan_tf.errors import UserError


class Checkpoints:
    """Numbered checkpoints in a folder, the newest `keep` of them.

    Variables are keyed by owner and path, not by position as Keras' own tracking keys them: what does not fit is then
    an error with a name, and never another layer's weight.
    """

    def __init__(self, folder: Path, step: tf.Variable, state: dict[str, list[keras.Variable]], keep: int):
        tree = {owner: {v.path.replace("/", "."): v.value for v in variables} for owner, variables in state.items()}
        for owner, variables in state.items():
            if len(tree[owner]) != len(variables):
                raise ValueError(f"two variables of {owner} share one path")
        self._folder = folder
        self._step = step
        self._checkpoint = tf.train.Checkpoint(step=step, **tree)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder), max_to_keep=keep)

    def restore(self) -> int:
        """Restores the newest checkpoint, if any, and returns its step; else 0.

        Raises:
            UserError: the checkpoint is of another network or phase, or damaged.
        """
        newest = self._manager.latest_checkpoint
        if newest is None:
            return 0
        try:
            self._checkpoint.restore(newest).assert_consumed()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"{newest} does not fit this configuration or is damaged ({str(error).splitlines()[0]:.200}); "
                "choose another --run_dir, or delete it to go on from the one before"
            ) from error
        return int(self._step.numpy())

    @property
    def newest(self) -> str | None:
        """The path of the newest checkpoint."""
        return self._manager.latest_checkpoint

    def save(self) -> None:
        """Writes a checkpoint of the current step."""
        self._manager.save(checkpoint_number=int(self._step.numpy()))


def save_model(model: keras.Model, path: Path) -> None:
    """Writes a `.keras` file that is, at every moment, either the old one or the new one."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        model.save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
