"""The devices of one machine, or of several, as one strategy."""

import contextlib
import re
import zlib
from collections.abc import Iterator

import tensorflow as tf

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.training.stopping import WorkerLost, default_signals

# What an operation over several machines raises when one of them is gone.
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError, tf.errors.CancelledError)


def one_machine() -> tf.distribute.Strategy:
    """All devices that TensorFlow sees here."""
    return tf.distribute.MirroredStrategy()


def several_machines() -> tf.distribute.Strategy:
    """All devices of all machines that `TF_CONFIG` names; waits for them. Nothing of TensorFlow may have run before.

    Raises:
        WorkerLost: they cannot be reached.
    """
    try:
        with default_signals():  # it waits in native code, where no handler of ours would run
            return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise WorkerLost(f"the machines of TF_CONFIG do not come together: {first_line(error)}") from error


def check_batch(batch_size: int, replicas: int) -> None:
    """Refuses a batch that cannot be shared evenly.

    Raises:
        UserError: and says the nearest that can.
    """
    if batch_size % replicas:
        nearest = max(1, round(batch_size / replicas)) * replicas
        raise UserError(f"data.batch_size: {batch_size} is not divisible by the {replicas} devices; {nearest} is")


def check_agreement(strategy: tf.distribute.Strategy, value: object, disagreement: str) -> None:
    """Compares `value`, by its text, over all machines.

    Raises:
        UserError: the machines `disagreement`.
    """
    mine = tf.constant([zlib.crc32(repr(value).encode())], tf.int64)
    values = strategy.experimental_distribute_values_from_function(lambda _: mine)
    if (strategy.gather(values, axis=0).numpy() != mine.numpy()).any():
        raise UserError(f"the machines {disagreement}")


def lost(error: tf.errors.OpError) -> str:
    """What is known of a machine that is gone."""
    found = re.search("Collective ops is aborted by: (.*)", str(error))
    why = found[1] if found else first_line(error)
    return f"another machine is gone ({why:.120})"


@contextlib.contextmanager
def until_training(machines: int) -> Iterator[None]:
    """Before the first step, too, what one of several machines refuses ends the others with a line.

    Raises:
        WorkerLost: another ended.
    """
    try:
        yield
    except LOST as error:
        if machines == 1:
            raise
        raise WorkerLost(f"{lost(error)}: see what it says, and give the same command on all of them again") from error
