"""Checkpoints of everything that training needs to go on exactly, and the generator that others load."""

import os
from pathlib import Path

import keras
import tensorflow as tf

from esrgan_tf.errors import UserError, first_line


class Diverged(Exception):
    """A loss or a weight is no longer a finite number."""


def checkpoint_steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in `folder`, oldest first."""
    return sorted(int(path.stem.removeprefix("ckpt-")) for path in folder.glob("ckpt-*.index"))


class Checkpoints:
    """Checkpoints `ckpt-<step>` in a folder, the newest `keep` of them.

    Variables are keyed by owner and path, not by position as Keras' own tracking keys them: what does not fit is then
    an error with a name, and never another layer's weight.
    """

    def __init__(self, folder: Path, step: tf.Variable, state: dict[str, list[keras.Variable]], keep: int):
        tree = {owner: {v.path.replace("/", "."): v.value for v in variables} for owner, variables in state.items()}
        for owner, variables in state.items():
            if len(tree[owner]) != len(variables):
                raise ValueError(f"two variables of {owner} share one path")
        self._folder, self._step, self._keep = folder, step, keep
        self._variables = {f"{owner}/{path}": v for owner, branch in tree.items() for path, v in branch.items()}
        self._checkpoint = tf.train.Checkpoint(step=step, **tree)

    def restore(self) -> int:
        """Restores the newest checkpoint that can be read, if there is any, and returns its step; else 0.

        Raises:
            UserError: the checkpoint is of another network or phase, or none can be read.
        """
        steps = checkpoint_steps(self._folder)
        for step in reversed(steps):
            path = self._path(step)
            try:
                self._checkpoint.read(path).assert_consumed()
                return int(self._step.numpy())
            except tf.errors.OpError as error:
                print(f"{path} is damaged and passed over: {first_line(error)}")
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
            Diverged: a variable is infinite or NaN; nothing is written.
        """
        self.check_finite()
        self._checkpoint.write(self._path(int(self._step.numpy())))
        for step in checkpoint_steps(self._folder)[: -self._keep]:
            for path in self._folder.glob(f"ckpt-{step}.*"):
                path.unlink()

    def check_finite(self) -> None:
        """Refuses weights and optimizer slots that no training recovers from."""
        for name, variable in self._variables.items():
            if variable.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(variable))):
                raise Diverged(f"{name} is not finite at step {int(self._step.numpy())}; {self.advice()}")

    def advice(self) -> str:
        """What to do after training diverged."""
        steps = checkpoint_steps(self._folder)
        if not steps:
            return "there is no checkpoint yet: lower the learning rate and start again"
        newest = f"ckpt-{steps[-1]}"
        return (
            f"the newest checkpoint is {newest}: lower the learning rate and run the same command again; should it "
            f"diverge at once, remove {newest}.* from {self._folder} to go on from the one before"
        )

    def _path(self, step):
        return str(self._folder / f"ckpt-{step}")


def save_model(model: keras.Model, path: Path) -> None:
    """Writes a `.keras` file that is, at every moment, either the old one or the new one."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        model.save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
