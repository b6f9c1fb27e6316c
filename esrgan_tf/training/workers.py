"""The machines of a distributed training, read from `TF_CONFIG`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from esrgan_tf.errors import UserError

_EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Cluster:
    """All machines, and this machine's index. The first machine is the chief, which writes the files."""

    machines: tuple[str, ...]
    index: int

    @property
    def chief(self) -> bool:
        return self.index == 0


def read_cluster(environment: Mapping[str, str]) -> Cluster | None:
    """Reads `TF_CONFIG`; None if it is not set or names one machine.

    Raises:
        UserError: the form differs from TensorFlow's documentation of MultiWorkerMirroredStrategy.
    """
    text = environment.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        tree = json.loads(text)
        jobs = tree.get("cluster", {})
        machines = [(job, i, str(host)) for job in ("chief", "worker") for i, host in enumerate(jobs.get(job, ()))]
        task = (tree.get("task", {}).get("type"), int(tree.get("task", {}).get("index", 0)))
    except (json.JSONDecodeError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"TF_CONFIG is not of the form {_EXAMPLE}: {error}") from error
    others = sorted(set(jobs) - {"chief", "worker"})
    if others:
        raise UserError(f"TF_CONFIG: tasks must be chief or worker, not {', '.join(others)}")
    if len(machines) < 2:
        return None
    found = [i for i, machine in enumerate(machines) if machine[:2] == task]
    if not found:
        raise UserError(
            f"TF_CONFIG: this machine's task, {task[0]} {task[1]}, is not in its cluster of {len(machines)}; "
            f"the form is {_EXAMPLE}"
        )
    for *_, host in machines:
        if not host.rpartition(":")[2].isdecimal():
            raise UserError(f"TF_CONFIG: {host!r} has no port; write it as host:2222")
    return Cluster(tuple(host for *_, host in machines), found[0])
