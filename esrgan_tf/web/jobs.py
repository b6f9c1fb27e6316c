"""Photos that wait to be enlarged: one at a time, in their order, each of which can be given up."""

import dataclasses
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from esrgan_tf.errors import UserError, first_line

Progress = Callable[[int, int], None]
Enlarge = Callable[[str, Path, Path, Progress], None]  # a model's name, a source, a target

WAITING = 20  # at most, beside the one that is computed
KEPT = 10  # results, the oldest of which goes first


@dataclasses.dataclass
class Job:
    """A photo on its way.

    Attributes:
        model: by name.
        state: `waiting`, `running`, `done`, `failed` or `stopped`.
        done: the part that is computed, 0 to 1.
        left: seconds, as far as can be told.
        error: why it failed, in words for people.
    """

    id: str
    model: str
    source: Path
    target: Path
    state: str = "waiting"
    done: float = 0.0
    left: float | None = None
    error: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ("done", "failed", "stopped")


class _Stopped(Exception):
    pass


class Jobs:
    """The queue, and the thread that works through it.

    Args:
        enlarge: enlarges a file with a model; raises `UserError` for what cannot be enlarged.
    """

    def __init__(self, enlarge: Enlarge):
        self._enlarge = enlarge
        self._folder = Path(tempfile.mkdtemp(prefix="esrgan_tf_web_"))
        self._jobs: dict[str, Job] = {}  # in the order that they came
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="enlarging")
        self._thread.start()

    def place(self) -> Path:
        """A new name for an upload, in a folder that nobody else reads."""
        return self._folder / secrets.token_hex(16)

    def add(self, source: Path, model: str) -> Job:
        """Puts the uploaded `source` at the end of the queue.

        Raises:
            UserError: too many are waiting.
        """
        with self._changed:
            self.check_room()
            job = Job(secrets.token_urlsafe(16), model, source, source.with_name(f"{source.name}.png"))
            self._jobs[job.id] = job
            for old in [each for each in self._jobs.values() if each.over][:-KEPT]:
                self._forget(old)
            self._changed.notify_all()
            return job

    def check_room(self) -> None:
        """Refuses where no more may wait.

        Raises:
            UserError: too many are waiting.
        """
        with self._changed:
            if self._closed or sum(not job.over for job in self._jobs.values()) > WAITING:
                raise UserError(f"{WAITING} photos are waiting already; try again when some are done")

    def get(self, key: str) -> Job | None:
        """The job of that id."""
        return self._jobs.get(key)

    def ahead(self, job: Job) -> int:
        """How many come before it."""
        before = 0
        for other in list(self._jobs.values()):
            if other is job:
                break
            before += not other.over
        return before

    def wait(self, seconds: float) -> None:
        """Until something has changed, or so long."""
        with self._changed:
            self._changed.wait(seconds)

    def stop(self, job: Job) -> None:
        """Gives it up, whatever state it is in, and deletes its files."""
        with self._changed:
            running = job.state == "running"
            job.state = "stopped"
            if not running:  # else the thread does, once it notices
                self._forget(job)
            self._changed.notify_all()

    def close(self) -> None:
        """Gives all up and deletes the folder. A tile that is being computed is waited for."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.state = job.state if job.over else "stopped"
            self._changed.notify_all()
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _work(self):
        while True:
            with self._changed:
                waiting = next((job for job in self._jobs.values() if job.state == "waiting"), None)
                if self._closed:
                    return
                if waiting is None:
                    self._changed.wait()
                    continue
                waiting.state = "running"
                self._changed.notify_all()
            self._run(waiting)

    def _run(self, job):
        began = time.monotonic()

        def progress(done, total):
            if job.state != "running":
                raise _Stopped
            job.done = done / total if total else 0.0
            job.left = (time.monotonic() - began) * (1 - job.done) / job.done if job.done else None
            with self._changed:
                self._changed.notify_all()

        state, error = "done", ""
        try:
            self._enlarge(job.model, job.source, job.target, progress)
        except _Stopped:
            state = "stopped"
        except UserError as refusal:
            state, error = "failed", str(refusal)
        except Exception as mistake:  # whatever it is, the next photo may do
            state, error = "failed", f"{type(mistake).__name__}: {first_line(mistake)}"
        with self._changed:
            job.state = "stopped" if job.state == "stopped" else state
            job.error = error.replace(str(job.source), "the photo")
            job.source.unlink(missing_ok=True)
            if job.state == "stopped":
                self._forget(job)
            self._changed.notify_all()

    def _forget(self, job):
        job.source.unlink(missing_ok=True)
        job.target.unlink(missing_ok=True)
        self._jobs.pop(job.id, None)
