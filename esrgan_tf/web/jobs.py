"""Photos that wait to be enlarged: one at a time, in their order, each of which can be given up."""

import contextlib
import dataclasses
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from esrgan_tf.errors import UserError, first_line

Progress = Callable[[int, int], None]
Enlarge = Callable[[str, Path, Path, Progress], None]  # a model's name, a source, a target

OVER = ("done", "failed", "stopped")
WAITING = 20  # at most, beside the one that is computed
ABANDONED = 60.0  # seconds, after which a job is given up that nobody asks for: its page was closed
KEPT = 10  # results, the oldest of which goes first
# Bytes on the disk, which is memory where the folder for temporary files is a RAM disk.
MAX_UPLOADED = 2**30  # of all photos together that wait or are being uploaded
MAX_KEPT = 2**31  # of all results together; the newest stays whatever its size
MIN_FREE = 2**28  # what uploads leave of the disk


@dataclasses.dataclass
class Job:
    """A photo on its way.

    Attributes:
        model: by name.
        state: `waiting`, `running`, `done`, `failed` or `stopped`.
        done: the part that is computed, 0 to 1.
        left: seconds, as far as can be told.
        error: why it failed, in words for people.
        asked_for: when somebody last was told of it.
    """

    id: str
    model: str
    source: Path
    target: Path
    state: str = "waiting"
    done: float = 0.0
    left: float | None = None
    error: str = ""
    asked_for: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in OVER


class _Stopped(Exception):
    pass


class Jobs:
    """The queue, and the thread that works through it.

    Args:
        enlarge: enlarges a file with a model; raises `UserError` for what cannot be enlarged.
    """

    def __init__(self, enlarge: Enlarge):
        self._upscale = enlarge
        self._folder = Path(tempfile.mkdtemp(prefix="esrgan_tf_web_"))
        self._jobs: dict[str, Job] = {}  # in the order that they came
        self._arriving: dict[Path, int] = {}  # uploads, and the bytes that they will have
        self._changed = threading.Condition()
        self._closed, self._version = False, 0
        self._thread = threading.Thread(target=self._work, name="enlarging")
        self._thread.start()

    @contextlib.contextmanager
    def uploading(self, size: int) -> Iterator[Path]:
        """A new name for an upload of `size` bytes, in a folder that nobody else reads; its room is held meanwhile.

        What was not added to the queue is deleted at the end.

        Raises:
            UserError: too many photos, or too large ones, are waiting or being uploaded; or the disk is full.
        """
        place = self._folder / secrets.token_hex(16)
        with self._changed:
            self._check_room(size)
            self._arriving[place] = size
        try:
            yield place
        finally:
            with self._changed:
                if self._arriving.pop(place, None) is not None:  # it was not added
                    _delete(place)

    def add(self, source: Path, model: str) -> Job:
        """Puts the uploaded `source` at the end of the queue.

        Raises:
            UserError: the queue is closed.
        """
        with self._changed:
            if self._closed:
                raise UserError("the page is ending")
            job = Job(secrets.token_urlsafe(16), model, source, source.with_name(f"{source.name}.png"))
            self._jobs[job.id] = job
            self._arriving.pop(source, None)
            self._forget_old()
            self._change()
            return job

    def _check_room(self, size):
        waiting = [job for job in self._jobs.values() if not job.over]
        if self._closed or len(waiting) + len(self._arriving) > WAITING:
            raise UserError(f"{WAITING} photos are waiting already; try again when some are done")
        there = sum(_size(job.source) for job in waiting)
        arriving = sum(self._arriving.values())
        if there + arriving + size > MAX_UPLOADED:
            raise UserError("the photos that are waiting are too large already; try again when some are done")
        # Of what is arriving, some is on the disk by now: counted twice, on the safe side.
        if shutil.disk_usage(self._folder).free - arriving - size < MIN_FREE:
            raise UserError("the disk of this computer is nearly full; free some space for temporary files")

    def get(self, key: str) -> Job | None:
        """The job of that id."""
        return self._jobs.get(key)

    def state(self, job: Job, version: int = -1, seconds: float = 0.0) -> tuple[dict, int]:
        """How it is, once that is of another version or after so long; and of which version it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, seconds)
            others = list(self._jobs.values())
            before = others[: others.index(job)] if job in others else []
            ahead = sum(not other.over for other in before)
            state = {"state": job.state, "done": job.done, "left": job.left, "error": job.error, "ahead": ahead}
            return state, self._version

    def keep_alive(self, job: Job) -> None:
        """Somebody was told of it."""
        job.asked_for = time.monotonic()

    def stop(self, job: Job) -> None:
        """Gives it up, whatever state it is in, and deletes its files."""
        with self._changed:
            running = job.state == "running"
            job.state = "stopped"
            if not running:  # else the thread does, once it notices
                self._forget(job)
            self._change()

    def close(self) -> None:
        """Gives all up and deletes the folder. A tile that is being computed is waited for."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.state = job.state if job.over else "stopped"
                _delete(job.source)
                _delete(job.target)
            self._change()
        try:
            self._thread.join()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _change(self):
        """Something is another: told to all who wait. With the lock held."""
        self._version += 1
        self._changed.notify_all()

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
                self._change()
            self._run(waiting)

    def _run(self, job):
        began = time.monotonic()

        def progress(done, total):
            nonlocal began
            if job.state != "running" or time.monotonic() - job.asked_for > ABANDONED:
                raise _Stopped
            if done == 0:
                began = time.monotonic()  # what was before was loading
            job.done = done / total if total else 0.0
            job.left = (time.monotonic() - began) * (1 - job.done) / job.done if job.done else None
            with self._changed:
                self._change()

        state, error = "done", ""
        try:
            self._upscale(job.model, job.source, job.target, progress)
        except _Stopped:
            state = "stopped"
        except UserError as refusal:
            state, error = "failed", str(refusal)
        except Exception as mistake:  # whatever it is, the next photo may do
            state, error = "failed", f"{type(mistake).__name__}: {first_line(mistake)}"
        with self._changed:
            job.error = error.replace(str(job.source), "the photo")
            job.state = "stopped" if job.state == "stopped" else state
            _delete(job.source)
            if job.state == "stopped":
                self._forget(job)
            self._forget_old()
            self._change()

    def _forget_old(self):
        """Deletes results that are too many or too large together, the oldest first. With the lock held."""
        over = [job for job in self._jobs.values() if job.over]
        for job in [job for job in over if job.state != "done"][:-KEPT]:
            self._forget(job)
        kept, total = 0, 0
        for job in reversed([job for job in over if job.state == "done"]):
            kept, total = kept + 1, total + _size(job.target)
            if kept > KEPT or (kept > 1 and total > MAX_KEPT):
                self._forget(job)

    def _forget(self, job):
        _delete(job.source)
        _delete(job.target)
        self._jobs.pop(job.id, None)


def _delete(path):
    """What cannot be deleted goes with the folder: on Windows, a result that is being sent."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _size(path):
    try:
        return path.stat().st_size
    except OSError:  # deleted meanwhile
        return 0
