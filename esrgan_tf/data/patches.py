"""Training batches as a pure function of (seed, step).

Nothing else decides which image, corner, flip and turn a patch has. So training resumes at step s without iterator
state, any number of replicas cuts the same global batch among themselves, and parallel reading stays deterministic.
"""

import hashlib
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from esrgan_tf.data.store import ImageStore
from esrgan_tf.errors import UserError

Degrade = Callable[[np.ndarray, np.ndarray, Sequence[Sequence[int]]], np.ndarray]  # lr, hr, their seeds to other lr

_THREADS = 4
_AHEAD = 8  # batches waiting for the device


class Patches:
    """Random patch pairs from a store, augmented by flips and quarter turns (ESRGAN, section 4.1)."""

    def __init__(
        self,
        store: ImageStore,
        scale: int,
        hr_patch: int,
        batch_size: int,
        seed: int,
        degrade: Degrade | None = None,
        margin: int = 0,
    ):
        """Images smaller than a patch with its margin are left out; `left_out` names them.

        Args:
            degrade: makes another low resolution for each patch, from (seed, step, 1 + place in the batch) alone.
            margin: by so many pixels, or a few less where `scale` does not divide them, a patch is larger while it is
                degraded; then it is cut from anywhere in that.

        Raises:
            UserError: no image is large enough.
        """
        self._margin = margin // scale
        self._side = hr_patch + self._margin * scale  # pixels on a side
        self.left_out = [name for i, name in enumerate(store.names) if min(store.hr_size(i)) < self._side]
        sizes = [(name, store.hr_size(i)) for i, name in enumerate(store.names)]
        self.digest = hashlib.sha256(repr(sizes).encode()).hexdigest()[:16]  # of what a batch's places depend on
        self._images = [i for i in range(len(store)) if min(store.hr_size(i)) >= self._side]
        if not self._images:
            largest = max(min(store.hr_size(i)) for i in range(len(store)))
            key = "data.hr_patch with degradation.margin" if self._margin else "data.hr_patch"
            raise UserError(
                f"{key}: none of the {len(store)} images is {self._side} pixels on both sides; "
                f"the largest patch that fits is {max(0, largest // scale - self._margin) * scale}"
            )
        self._store, self._scale, self._seed, self._degrade = store, scale, seed, degrade
        self.hr_patch, self.batch_size = hr_patch, batch_size
        self._unreadable: set[int] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many images are large enough."""
        return len(self._images)

    def batch(self, step: int, part: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """The batch of `step`: lr `[B, p / scale, p / scale, 3]` and hr `[B, p, p, 3]`, uint8; or a part of it.

        An image that cannot be read any more is told once and replaced by the next.

        Raises:
            UserError: none can be read.
        """
        rng = np.random.default_rng([self._seed, step])
        images = rng.integers(len(self._images), size=self.batch_size)
        corners = rng.random((self.batch_size, 2))
        turns = rng.integers(8, size=self.batch_size)
        places = range(self.batch_size)[part]
        pairs = [self._pair(images[b], corners[b], turns[b]) for b in places]
        lr, hr = (np.stack(patches) for patches in zip(*pairs, strict=True))
        if self._degrade is None:
            return lr, hr
        # 1 + b, since a seed ending in 0 is the same as without it.
        lr = self._degrade(lr, hr, [(self._seed, step, 1 + b) for b in places])
        offsets = rng.integers(1 + self._margin, size=(self.batch_size, 2))[part]
        return _cut(lr, offsets, self.hr_patch // self._scale), _cut(hr, offsets * self._scale, self.hr_patch)

    def _pair(self, first, corner, turn):
        for i in (*range(first, len(self._images)), *range(first)):
            image = self._images[i]
            if image in self._unreadable:
                continue
            try:
                lr_patch, scale = self._side // self._scale, self._scale
                y, x = (corner * (np.array(self._store.lr_size(image)) - lr_patch + 1)).astype(int)
                lr = self._store.lr(image, slice(y, y + lr_patch))[:, x : x + lr_patch]
                y, x = y * scale, x * scale
                hr = self._store.hr(image, slice(y, y + self._side))[:, x : x + self._side]
                return _turned(lr, turn), _turned(hr, turn)
            except OSError as error:
                with self._lock:
                    if image not in self._unreadable:
                        tqdm.write(
                            f"{error.strerror} ({error.filename}); it is replaced by the next from now on", sys.stderr
                        )
                    self._unreadable.add(image)
        raise UserError("none of the training images can be read any more; look after the disk of data.cache_dir")

    def batches(
        self, start: int, stop: int, part: slice = slice(None)
    ) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
        """The batches of steps `start` … `stop - 1`, or the same part of each, cut ahead of time by threads.

        Plain threads, because Python inside `tf.data` deadlocks: to collect an iterator over several devices TensorFlow
        waits, holding the interpreter's lock, for a worker that needs it (seen with 2.21 when training stopped early).
        """
        pending: deque[Future] = deque()
        with ThreadPoolExecutor(_THREADS) as pool:
            try:
                for step in range(start, stop):
                    pending.append(pool.submit(self.batch, step, part))
                    if len(pending) > _AHEAD:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()


def _cut(patches, offsets, side):
    return np.stack([patch[y : y + side, x : x + side] for patch, (y, x) in zip(patches, offsets, strict=True)])


def _turned(patch, turn):
    """One of the eight ways to lay a square."""
    patch = np.rot90(patch, turn % 4)
    return patch[:, ::-1] if turn >= 4 else patch
