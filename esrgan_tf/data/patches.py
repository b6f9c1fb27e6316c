"""Training batches as a pure function of (seed, step).

Only seed and step determine the image, position, flip and rotation of a patch. So training resumes at any step without
iterator state, any number of replicas divides the same global batch, and parallel reading is deterministic.
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

Degrade = Callable[[np.ndarray, np.ndarray, Sequence[Sequence[int]]], np.ndarray]  # (lr, hr, seeds) to degraded lr

_THREADS = 4
_AHEAD = 8  # batches waiting for the device


class Patches:
    """Random patch pairs from a store, augmented by flips and rotations by 90° (ESRGAN, section 4.1)."""

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
            degrade: degrades a batch of patches; the seed per patch is (seed, step, 1 + index in the batch).
            margin: pixels by which a patch is larger during degradation, rounded down to a multiple of `scale`. Then
                the patch is cropped at a random position.

        Raises:
            UserError: no image is large enough.
        """
        self._margin = margin // scale
        self._side = hr_patch + self._margin * scale  # pixels on a side
        self.left_out = [name for i, name in enumerate(store.names) if min(store.hr_size(i)) < self._side]
        sizes = [(name, store.hr_size(i)) for i, name in enumerate(store.names)]
        self.digest = hashlib.sha256(repr(sizes).encode()).hexdigest()[
            :16
        ]  # of all that the positions of patches depend on
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
        """The batch of `step`, or a part of it: uint8 lr `[B, p / scale, p / scale, 3]` and hr `[B, p, p, 3]`.

        An image that can no longer be read is reported once and replaced by the next image.

        Raises:
            UserError: no image can be read.
        """
        rng = np.random.default_rng([self._seed, step])
        images = rng.integers(len(self._images), size=self.batch_size)
        corners = rng.random((self.batch_size, 2))
        turns = rng.integers(8, size=self.batch_size)
        indices = range(self.batch_size)[part]
        pairs = [self._crop_pair(images[b], corners[b], turns[b]) for b in indices]
        lr, hr = (np.stack(patches) for patches in zip(*pairs, strict=True))
        if self._degrade is None:
            return lr, hr
        # 1 + b, because NumPy ignores a last 0 of a seed.
        lr = self._degrade(lr, hr, [(self._seed, step, 1 + b) for b in indices])
        offsets = rng.integers(1 + self._margin, size=(self.batch_size, 2))[part]
        return _crop(lr, offsets, self.hr_patch // self._scale), _crop(hr, offsets * self._scale, self.hr_patch)

    def _crop_pair(self, first, corner, turn):
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
                return _flip_and_rotate(lr, turn), _flip_and_rotate(hr, turn)
            except OSError as error:
                with self._lock:
                    if image not in self._unreadable:
                        tqdm.write(
                            f"{error.strerror} ({error.filename}); the next image replaces it from now on", sys.stderr
                        )
                    self._unreadable.add(image)
        raise UserError("no training image can be read any more; check the disk of data.cache_dir")

    def batches(
        self, start: int, stop: int, part: slice = slice(None)
    ) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
        """Yields the batches of steps `start` … `stop - 1`, or the same part of each; threads prepare them ahead.

        The threads are Python's, because Python inside `tf.data` can deadlock (seen with TensorFlow 2.21 when training
        stopped early). To delete an iterator over several devices, TensorFlow holds the interpreter's lock and waits
        for a worker that needs the lock.
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


def _crop(patches, offsets, side):
    return np.stack([patch[y : y + side, x : x + side] for patch, (y, x) in zip(patches, offsets, strict=True)])


def _flip_and_rotate(patch, turn):
    """Applies one of the eight combinations of a flip and a rotation."""
    patch = np.rot90(patch, turn % 4)
    return patch[:, ::-1] if turn >= 4 else patch
