"""Distribution strategies for the devices of one machine or several."""

import contextlib
import re
import zlib
from collections.abc import Iterator

import tensorflow as tf

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.training.stopping import WorkerLost, default_signals

# Errors of an operation over several machines after one machine has ended.
LOST_WORKER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.InternalError,
    tf.errors.CancelledError,
)


def one_machine() -> tf.distribute.Strategy:
    """A strategy for all of this machine's devices."""
    return tf.distribute.MirroredStrategy()


def several_machines() -> tf.distribute.Strategy:
    """A strategy for all machines of `TF_CONFIG`. Waits for the machines, and must be TensorFlow's first operation.

    Raises:
        WorkerLost: a machine cannot be reached.
    """
    try:
        with default_signals():  # native code waits, and Python's handlers do not run
            return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise WorkerLost(f"the machines of TF_CONFIG cannot be connected: {first_line(error)}") from error


def check_batch(batch_size: int, replicas: int) -> None:
    """Refuses a batch that the replicas cannot share evenly.

    Raises:
        UserError: the message suggests the nearest divisible size.
    """
    if batch_size % replicas:
        nearest = max(1, round(batch_size / replicas)) * replicas
        raise UserError(f"data.batch_size: {batch_size} is not divisible by the {replicas} devices; {nearest} is")


def check_agreement(strategy: tf.distribute.Strategy, value: object, disagreement: str) -> None:
    """Compares the text of `value` on all machines.

    Raises:
        UserError: the values differ; `disagreement` completes the message.
    """
    mine = tf.constant([zlib.crc32(repr(value).encode())], tf.int64)
    values = strategy.experimental_distribute_values_from_function(lambda _: mine)
    if (strategy.gather(values, axis=0).numpy() != mine.numpy()).any():
        raise UserError(f"the machines {disagreement}")


def describe_lost_worker(error: tf.errors.OpError) -> str:
    """A message on a machine that has ended."""
    found = re.search("Collective ops is aborted by: (.*)", str(error))
    reason = found[1] if found else first_line(error)
    return f"another machine has ended ({reason:.120})"


@contextlib.contextmanager
def until_training(machines: int) -> Iterator[None]:
    """Ends this machine with a message if another machine ends before the first step.

    Raises:
        WorkerLost: another machine ended.
    """
    try:
        yield
    except LOST_WORKER_ERRORS as error:
        if machines == 1:
            raise
        raise WorkerLost(
            f"{describe_lost_worker(error)}: read its message, then repeat the command on all machines"
        ) from error
