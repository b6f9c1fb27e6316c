"""Training batches as a pure function of (seed, step).

Nothing else decides which image, corner, flip and turn a patch has. So training resumes at step s without iterator
state, any number of replicas cuts the same global batch among themselves, and parallel reading stays deterministic.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from esrgan_tf.data.store import ImageStore
from esrgan_tf.errors import UserError

_THREADS = 4
_AHEAD = 8  # batches waiting for the device


class Patches:
    """Random patch pairs from a store, augmented by flips and quarter turns (ESRGAN, section 4.1)."""

    def __init__(self, store: ImageStore, scale: int, hr_patch: int, batch_size: int, seed: int):
        """Images smaller than a patch are left out; `left_out` names them.

        Raises:
            UserError: no image is large enough.
        """
        self.left_out = [name for i, name in enumerate(store.names) if min(store.hr_size(i)) < hr_patch]
        self._images = [i for i in range(len(store)) if min(store.hr_size(i)) >= hr_patch]
        if not self._images:
            largest = max(min(store.hr_size(i)) for i in range(len(store)))
            raise UserError(
                f"data.hr_patch: none of the {len(store)} images is {hr_patch} pixels on both sides; "
                f"the largest patch that fits is {largest // scale * scale}"
            )
        self._store, self._scale, self._hr_patch = store, scale, hr_patch
        self.batch_size, self._seed = batch_size, seed

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The batch of `step`: lr `[B, p / scale, p / scale, 3]` and hr `[B, p, p, 3]`, uint8."""
        rng = np.random.default_rng([self._seed, step])
        images = rng.integers(len(self._images), size=self.batch_size)
        corners = rng.random((self.batch_size, 2))
        turns = rng.integers(8, size=self.batch_size)
        lr_patch = self._hr_patch // self._scale
        lr = np.empty((self.batch_size, lr_patch, lr_patch, 3), np.uint8)
        hr = np.empty((self.batch_size, self._hr_patch, self._hr_patch, 3), np.uint8)
        for b in range(self.batch_size):
            image = self._images[images[b]]
            lr_image = self._store.lr(image)
            y, x = (corners[b] * (np.array(lr_image.shape[:2]) - lr_patch + 1)).astype(int)
            lr[b] = _turned(lr_image[y : y + lr_patch, x : x + lr_patch], turns[b])
            y, x = y * self._scale, x * self._scale
            hr_image = self._store.hr(image)
            hr[b] = _turned(hr_image[y : y + self._hr_patch, x : x + self._hr_patch], turns[b])
        return lr, hr

    def batches(self, start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The batches of steps `start` … `stop - 1`, cut ahead of time by threads.

        Plain threads, because Python inside `tf.data` deadlocks: to collect an iterator over several devices TensorFlow
        waits, holding the interpreter's lock, for a worker that needs it (seen with 2.21 when training stopped early).
        """
        pending: deque[Future] = deque()
        with ThreadPoolExecutor(_THREADS) as pool:
            try:
                for step in range(start, stop):
                    pending.append(pool.submit(self.batch, step))
                    if len(pending) > _AHEAD:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()


def _turned(patch, turn):
    """One of the eight ways to lay a square."""
    patch = np.rot90(patch, turn % 4)
    return patch[:, ::-1] if turn >= 4 else patch
