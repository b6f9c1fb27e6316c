"""The queue of photos to upscale. Jobs run one at a time, in the order of arrival, and can be cancelled."""

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

Progress = Callable[[int, int], None]  # finished input pixels, all input pixels
UpscaleFile = Callable[[str, Path, Path, Progress], None]  # a model's name, the source, the target

OVER = ("done", "failed", "stopped")
WAITING = 20  # the most waiting jobs, without the running job
ABANDONED = 60.0  # seconds without a request by its page until a job is cancelled
KEPT = 10  # results; the oldest is deleted first
# Bytes on the disk, or in memory if the folder for temporary files is a RAM disk.
MAX_UPLOADED = 2**30  # of all waiting and arriving photos together
MAX_KEPT = 2**31  # of all results together; the newest result is kept at any size
MIN_FREE = 2**28  # free disk space that uploads must leave


@dataclasses.dataclass
class Job:
    """A photo to upscale.

    Attributes:
        model: the model's name.
        state: `waiting`, `running`, `done`, `failed` or `stopped`.
        done: the finished part, 0 to 1.
        left: the estimated seconds left, or None.
        error: the reason of a failure, for users.
        requested_at: the time of the last report to the job's page, in seconds of `time.monotonic`.
    """

    id: str
    model: str
    source: Path
    target: Path
    state: str = "waiting"
    done: float = 0.0
    left: float | None = None
    error: str = ""
    requested_at: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """Whether the job is done, failed or stopped."""
        return self.state in OVER


class _Stopped(Exception):
    pass


class Jobs:
    """The queue and the thread that runs its jobs.

    Args:
        upscale: upscales a file with a model; raises `UserError` for files that cannot be upscaled.
    """

    def __init__(self, upscale: UpscaleFile):
        self._upscale = upscale
        self._folder = Path(tempfile.mkdtemp(prefix="esrgan_tf_web_"))
        self._jobs: dict[str, Job] = {}  # in the order of arrival
        self._arriving: dict[Path, int] = {}  # uploads, and their sizes in bytes
        self._changed = threading.Condition()
        self._closed, self._version = False, 0
        self._thread = threading.Thread(target=self._work, name="upscaling")
        self._thread.start()

    @contextlib.contextmanager
    def uploading(self, size: int) -> Iterator[Path]:
        """Reserves space for an upload of `size` bytes and yields its path, in a folder private to this process.

        At the end the file is deleted unless `add` has put it in the queue.

        Raises:
            UserError: the waiting and arriving photos are too many or too large, or the disk is nearly full.
        """
        path = self._folder / secrets.token_hex(16)
        with self._changed:
            self._check_space(size)
            self._arriving[path] = size
        try:
            yield path
        finally:
            with self._changed:
                if self._arriving.pop(path, None) is not None:  # it was not added
                    _delete(path)

    def add(self, source: Path, model: str) -> Job:
        """Puts the uploaded `source` at the end of the queue.

        Raises:
            UserError: the queue is closed.
        """
        with self._changed:
            if self._closed:
                raise UserError("the server is shutting down; start esrgan-tf web again")
            job = Job(secrets.token_urlsafe(16), model, source, source.with_name(f"{source.name}.png"))
            self._jobs[job.id] = job
            self._arriving.pop(source, None)
            self._remove_old()
            self._notify()
            return job

    def _check_space(self, size):
        waiting = [job for job in self._jobs.values() if not job.over]
        if self._closed or len(waiting) + len(self._arriving) > WAITING:
            raise UserError(f"{WAITING} photos are waiting already; try again when some are done")
        uploaded = sum(_size(job.source) for job in waiting)
        arriving = sum(self._arriving.values())
        if uploaded + arriving + size > MAX_UPLOADED:
            raise UserError("the waiting photos are too large already; try again when some are done")
        # Bytes of arriving photos that are already on the disk count twice, on the safe side.
        if shutil.disk_usage(self._folder).free - arriving - size < MIN_FREE:
            raise UserError("the disk of this computer is nearly full; free some space for temporary files")

    def get(self, key: str) -> Job | None:
        """The job with an id, or None."""
        return self._jobs.get(key)

    def state(self, job: Job, version: int = -1, seconds: float = 0.0) -> tuple[dict, int]:
        """The job's state for its page, and the queue's version.

        Args:
            job: the job.
            version: the version that the caller already has; the call waits for another version.
            seconds: the longest wait.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, seconds)
            others = list(self._jobs.values())
            before = others[: others.index(job)] if job in others else []
            ahead = sum(not other.over for other in before)
            state = {"state": job.state, "done": job.done, "left": job.left, "error": job.error, "ahead": ahead}
            return state, self._version

    def keep_alive(self, job: Job) -> None:
        """Records that the job's page is still open."""
        job.requested_at = time.monotonic()

    def stop(self, job: Job) -> None:
        """Cancels the job in any state and deletes its files."""
        with self._changed:
            running = job.state == "running"
            job.state = "stopped"
            if not running:  # the thread removes a running job
                self._remove(job)
            self._notify()

    def close(self) -> None:
        """Cancels all jobs and deletes the folder, after the current tile is finished."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.state = job.state if job.over else "stopped"
                _delete(job.source)
                _delete(job.target)
            self._notify()
        try:
            self._thread.join()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _notify(self):
        """Counts a change and wakes all waiting threads. Requires the lock."""
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
                self._notify()
            self._run(waiting)

    def _run(self, job):
        began = time.monotonic()

        def progress(done, total):
            nonlocal began
            if job.state != "running" or time.monotonic() - job.requested_at > ABANDONED:
                raise _Stopped
            if done == 0:
                began = time.monotonic()  # the model is loaded by now
            job.done = done / total if total else 0.0
            job.left = (time.monotonic() - began) * (1 - job.done) / job.done if job.done else None
            with self._changed:
                self._notify()

        state, error = "done", ""
        try:
            self._upscale(job.model, job.source, job.target, progress)
        except _Stopped:
            state = "stopped"
        except UserError as refusal:
            state, error = "failed", str(refusal)
        except Exception as exception:  # an error on a photo must not end the thread
            state, error = "failed", f"{type(exception).__name__}: {first_line(exception)}"
        with self._changed:
            job.error = error.replace(str(job.source), "the photo")
            job.state = "stopped" if job.state == "stopped" else state
            _delete(job.source)
            if job.state == "stopped":
                self._remove(job)
            self._remove_old()
            self._notify()

    def _remove_old(self):
        """Removes the oldest results until number and total size are within their limits. Requires the lock."""
        over = [job for job in self._jobs.values() if job.over]
        for job in [job for job in over if job.state != "done"][:-KEPT]:
            self._remove(job)
        kept, total = 0, 0
        for job in reversed([job for job in over if job.state == "done"]):
            kept, total = kept + 1, total + _size(job.target)
            if kept > KEPT or (kept > 1 and total > MAX_KEPT):
                self._remove(job)

    def _remove(self, job):
        _delete(job.source)
        _delete(job.target)
        self._jobs.pop(job.id, None)


def _delete(path):
    """Deletes a file; on Windows, a result that is being sent stays until the folder is deleted."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _size(path):
    try:
        return path.stat().st_size
    except OSError:  # another thread has deleted it
        return 0
