"""Enlarging what was blurred after it was reduced, with a kernel that is known (DPSR, Zhang et al., arXiv 1903.12529).

The low resolution is taken to be `y = (x reduced by bicubic) * k + noise`. Two steps alternate (section 3): a least
squares problem with the kernel, solved in closed form in the frequency domain, and a network that enlarges its result
and is told how noisy that still is.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from esrgan_tf.errors import UserError
from esrgan_tf.inference.blur_kernels import check_noise, checked_kernel
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.models.noise_level import takes_noise_level, with_noise_level

ITERATIONS = 15
_LEVELS = 49.0, 2.55  # of 255: the noise that the network is told in the first iteration and in the last
# Solving spreads over a few kernels' sides; what a tile's own edges spoil must lie in its surroundings. With a trained
# network, a Gaussian and a motion kernel of 13 and 15 pixels, and two photos (`benchmarks/deblurring.py`), tiles lose
# 0.4 dB to the whole image with no surroundings, 0.07 dB with 8 pixels of them, 0.01 dB or less with 16, 24 and 32.
_KERNELS_AROUND = 2


class DeblurringUpscaler(Upscaler):
    """An `Upscaler` for images that are blurred by one kernel: each tile is solved and enlarged `ITERATIONS` times.

    Args:
        model: a generator that takes a noise level, such as DPSR's.
        kernel: what a point became, `[h, w]`.
        noise: standard deviation of the image's noise, of 255. Below 1 is taken as 1.
        tile, overlap, notice: as for `Upscaler`; by default surroundings are at least two kernels wide.

    Raises:
        UserError: another kind of network, no kernel, or a noise level out of range.
    """

    def __init__(
        self,
        model: keras.Model,
        kernel: np.ndarray,
        noise: float,
        tile: int | None = None,
        overlap: int | None = None,
        notice: Callable[[str], None] | None = None,
    ):
        if not takes_noise_level(model):
            raise UserError(
                "a kernel needs a network that is told the noise level, as DPSR's; the model takes "
                f"{model.inputs[0].shape[-1]} channels and no level"
            )
        check_noise(noise)
        self._kernel = checked_kernel(kernel)
        rest: dict[str, Any] = {} if notice is None else {"notice": notice}
        least = _KERNELS_AROUND * max(self._kernel.shape)
        super().__init__(model, tile, overlap, **rest, noise=noise, min_overlap=least)
        self._step = tf.function(self._iteration, autograph=False, reduce_retracing=True)
        self._model = model

    def check(self, height: int, width: int) -> None:
        """Refuses an image that is smaller than the kernel."""
        rows, columns = self._kernel.shape
        if rows > height or columns > width:
            raise UserError(
                f"the kernel has {columns}x{rows} pixels and the image {width}x{height}; it must be smaller"
            )

    def _upscale(self, batch: np.ndarray, full_precision: bool, part_done: Callable[[float], None]) -> np.ndarray:
        """Float `[B, h, w, 3]` in [0, 1] to the same enlarged, in [0, 1]; always in float32."""
        height, width = batch.shape[1:3]
        around = [
            fast_length(side + kernel - 1) for side, kernel in zip((height, width), self._kernel.shape, strict=True)
        ]
        extended = np.stack([extend_smoothly(image, *around) for image in batch])
        y = tf.constant(extended.transpose(0, 3, 1, 2))  # [B, 3, h', w'], as FFTs take the last axes
        transfer = transfer_function(self._kernel, *around)
        sigma = max(1.0, self.noise)
        levels = np.geomspace(*_LEVELS, ITERATIONS)
        z, x = y, None
        for i, level in enumerate(levels, 1):
            rho = sigma**2 / level**2 / 3
            x, z = self._step(y, transfer, z, tf.constant(rho, tf.float32), tf.constant(level / 255, tf.float32))
            part_done(i / ITERATIONS)
        assert x is not None
        return x.numpy()[:, : height * self.scale, : width * self.scale]

    def _iteration(self, y, transfer, z, rho, level):
        """One round: x, the enlarged image, and z, x reduced again, which the next round starts from."""
        solved = closed_form(y, transfer, z, rho)
        image = tf.transpose(solved, (0, 2, 3, 1))  # [B, h', w', 3]
        x = tf.clip_by_value(self._model(with_noise_level(image, self._model, level), training=False), 0.0, 1.0)
        reduced = tf.image.resize(x, tf.shape(image)[1:3], tf.image.ResizeMethod.BICUBIC, antialias=True)
        return x, tf.transpose(reduced, (0, 3, 1, 2))


def closed_form(y: tf.Tensor, transfer: tf.Tensor, z: tf.Tensor, rho: tf.Tensor) -> tf.Tensor:
    """The image that `|k * image - y|² + rho |image - z|²` is least for, with borders that go round (equation 8).

    Args:
        y, z: float32 `[B, C, H, W]`.
        transfer: complex64 `[H, W]`, as `transfer_function` returns it.
    """
    # A constant passes through unchanged, as the kernel's sum is 1; without it less is lost to float32.
    mean = tf.reduce_mean(y, axis=(2, 3), keepdims=True)
    of_y, of_z = (tf.signal.fft2d(tf.cast(image - mean, tf.complex64)) for image in (y, z))
    rho = tf.cast(rho, tf.complex64)
    power = tf.cast(tf.math.real(transfer) ** 2 + tf.math.imag(transfer) ** 2, tf.complex64)
    solved = (tf.math.conj(transfer) * of_y + rho * of_z) / (power + rho)
    return tf.math.real(tf.signal.ifft2d(solved)) + mean


def transfer_function(kernel: np.ndarray, height: int, width: int) -> tf.Tensor:
    """The Fourier transform of a kernel `[h, w]` whose middle, `(h // 2, w // 2)`, lies at the origin: complex64."""
    rows, columns = kernel.shape
    laid = np.zeros((height, width))
    laid[:rows, :columns] = kernel
    laid = np.roll(laid, (-(rows // 2), -(columns // 2)), axis=(0, 1))
    return tf.constant(np.fft.fft2(laid).astype(np.complex64))


def fast_length(least: int) -> int:
    """The smallest length that is not less and whose prime factors are 2, 3 and 5, which Fourier transforms like."""
    length = least
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


def extend_smoothly(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Continues float `[h, w, C]` down and to the right to `[height, width, C]`, so that its borders go round smoothly.

    What is added lies between opposite edges as a stretched skin does: every pixel is the mean of its four neighbours
    (after Liu and Jia, "Reducing boundary artifacts in image deconvolution", ICIP 2008).
    """
    rows, columns = height - image.shape[0], width - image.shape[1]
    below = _between(image[-1], image[0], rows)  # [rows, w, C]
    right = _between(image[:, -1], image[:, 0], columns).swapaxes(0, 1)  # [h, columns, C]
    # What is left is the corner, whose four sides these two end at.
    corner = np.zeros((rows + 2, columns + 2, image.shape[2]), np.float64)
    corner[0, 1:-1], corner[-1, 1:-1] = right[-1], right[0]
    corner[1:-1, 0], corner[1:-1, -1] = below[:, -1], below[:, 0]
    corner = _skin(corner)[1:-1, 1:-1]
    lower = np.concatenate([below, corner], axis=1)
    return np.concatenate([np.concatenate([image, right], axis=1), lower]).astype(np.float32)


def _between(first, last, lines):
    """`lines` rows `[lines, n, C]` between two rows `[n, C]`; the ends of each lie on a straight line."""
    frame = np.zeros((lines + 2, *first.shape), np.float64)
    frame[0], frame[-1] = first, last
    share = np.arange(1, lines + 1)[:, None] / (lines + 1)
    for end in (0, -1):
        frame[1:-1, end] = (1 - share) * first[end] + share * last[end]
    return _skin(frame)[1:-1]


def _skin(frame):
    """Solves Laplace's equation inside a frame `[h, w, C]` by sine transforms; its four sides are given."""
    height, width = frame.shape[0] - 2, frame.shape[1] - 2
    if height < 1 or width < 1:
        return frame
    inside = np.zeros((height, width, frame.shape[2]))
    inside[0] -= frame[0, 1:-1]
    inside[-1] -= frame[-1, 1:-1]
    inside[:, 0] -= frame[1:-1, 0]
    inside[:, -1] -= frame[1:-1, -1]
    rows, columns = (2 * np.cos(math.pi * np.arange(1, n + 1) / (n + 1)) - 2 for n in (height, width))
    solved = _sines(_sines(inside, 0), 1) / (rows[:, None, None] + columns[:, None])  # the Laplacian's eigenvalues
    frame[1:-1, 1:-1] = _sines(_sines(solved, 0), 1) * 4 / ((height + 1) * (width + 1))
    return frame


def _sines(x, axis):
    """The discrete sine transform of the first kind; twice of n values, it is (n + 1) / 2 times what it was."""
    n = x.shape[axis]
    line = np.moveaxis(x, axis, 0)
    zero = np.zeros((1, *line.shape[1:]))
    odd = np.concatenate([zero, line, zero, -line[::-1]])
    return np.moveaxis(-np.fft.rfft(odd, axis=0).imag[1 : n + 1] / 2, 0, axis)
