"""The devices of one machine, or of several, as one strategy."""

import tensorflow as tf

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.stopping import MachineLost, default_signals


def one_machine() -> tf.distribute.Strategy:
    """All devices that TensorFlow sees here."""
    return tf.distribute.MirroredStrategy()


def several_machines() -> tf.distribute.Strategy:
    """All devices of all machines that `TF_CONFIG` names; waits for them. Nothing of TensorFlow may have run before.

    Raises:
        MachineLost: they cannot be reached.
    """
    try:
        with default_signals():  # it waits in native code, where no handler of ours would run
            return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise MachineLost(f"the machines of TF_CONFIG do not come together: {first_line(error)}") from error


def check_batch(batch_size: int, replicas: int) -> None:
    """Refuses a batch that cannot be shared evenly.

    Raises:
        UserError: and says the nearest that can.
    """
    if batch_size % replicas:
        nearest = max(1, round(batch_size / replicas)) * replicas
        raise UserError(f"data.batch_size: {batch_size} is not divisible by the {replicas} devices; {nearest} is")
