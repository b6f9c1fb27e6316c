"""Upscaling of images that a known kernel blurred after downscaling (DPSR, Zhang et al., arXiv 1903.12529).

The LR image is modelled as `y = (x downscaled by bicubic) * k + noise`. Two steps alternate (section 3). The first step
solves a least-squares problem with the kernel, in closed form in the frequency domain. The second step upscales the
solution by a noise-conditioned network, at the noise level that the solution still has.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.fft import dstn, idstn, next_fast_len

from esrgan_tf.errors import UserError
from esrgan_tf.inference.blur_kernels import checked_kernel
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.models.noise_level import check_noise, takes_noise_level, with_noise_level

ITERATIONS = 15
_LEVELS = 49.0, 2.55  # of 255: the network's noise level in the first and the last iteration
# Errors at a tile's edges spread over a few kernel sides, so the overlap must cover this distance. Loss of tiles to the
# untiled result (`benchmarks/deblurring.py`), with a trained network, two photos, a Gaussian and a motion kernel of 13
# and 15 pixels:
#
# | overlap in pixels | 0   | 8    | 16, 24 and 32 |
# | ----------------- | --- | ---- | ------------- |
# | loss in dB        | 0.4 | 0.07 | at most 0.01  |
_OVERLAP_IN_KERNELS = 2


class DeblurringUpscaler(Upscaler):
    """An `Upscaler` of images that one kernel blurred; it deblurs and upscales each tile `ITERATIONS` times.

    Args:
        model: a noise-conditioned generator, such as DPSR.
        kernel: the blur kernel, `[h, w]`.
        noise: standard deviation of the image's noise, of 255. Values below 1 count as 1.
        tile, overlap, notice: as for `Upscaler`; the default overlap is at least two kernels wide.

    Raises:
        UserError: the network is not noise-conditioned, the kernel is invalid, or the noise level is out of range.
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
                "a kernel needs a noise-conditioned network, such as DPSR; the model takes "
                f"{model.inputs[0].shape[-1]} channels and no noise level"
            )
        check_noise(noise)
        self._kernel = checked_kernel(kernel)
        rest: dict[str, Any] = {} if notice is None else {"notice": notice}
        least = _OVERLAP_IN_KERNELS * max(self._kernel.shape)
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
        """Upscales float `[B, h, w, 3]` in [0, 1] to `[B, scale * h, scale * w, 3]` in [0, 1], always in float32."""
        height, width = batch.shape[1:3]
        around = [
            next_fast_len(side + kernel - 1, real=True)
            for side, kernel in zip((height, width), self._kernel.shape, strict=True)
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
        """One iteration: the upscaled image x, and x downscaled, which is the z of the next iteration."""
        solved = closed_form(y, transfer, z, rho)
        image = tf.transpose(solved, (0, 2, 3, 1))  # [B, h', w', 3]
        x = tf.clip_by_value(self._model(with_noise_level(image, self._model, level), training=False), 0.0, 1.0)
        downscaled = tf.image.resize(x, tf.shape(image)[1:3], tf.image.ResizeMethod.BICUBIC, antialias=True)
        return x, tf.transpose(downscaled, (0, 3, 1, 2))


def closed_form(y: tf.Tensor, transfer: tf.Tensor, z: tf.Tensor, rho: tf.Tensor) -> tf.Tensor:
    """The image that minimises `|k * image - y|² + rho |image - z|²` with periodic borders (equation 8).

    Args:
        y, z: float32 `[B, C, H, W]`.
        transfer: complex64 `[H, W]`, as `transfer_function` returns it.
    """
    # The kernel's sum is 1, so the mean passes unchanged; float32 is more precise without the mean.
    mean = tf.reduce_mean(y, axis=(2, 3), keepdims=True)
    of_y, of_z = (tf.signal.fft2d(tf.cast(image - mean, tf.complex64)) for image in (y, z))
    rho = tf.cast(rho, tf.complex64)
    power = tf.cast(tf.math.real(transfer) ** 2 + tf.math.imag(transfer) ** 2, tf.complex64)
    solved = (tf.math.conj(transfer) * of_y + rho * of_z) / (power + rho)
    return tf.math.real(tf.signal.ifft2d(solved)) + mean


def transfer_function(kernel: np.ndarray, height: int, width: int) -> tf.Tensor:
    """The Fourier transform, complex64, of a kernel `[h, w]` with its middle, `(h // 2, w // 2)`, at the origin."""
    rows, columns = kernel.shape
    padded = np.zeros((height, width))
    padded[:rows, :columns] = kernel
    padded = np.roll(padded, (-(rows // 2), -(columns // 2)), axis=(0, 1))
    return tf.constant(np.fft.fft2(padded).astype(np.complex64))


def extend_smoothly(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Extends float `[h, w, C]` down and to the right to `[height, width, C]`, so that its periodic borders are smooth.

    The added pixels interpolate between opposite edges; each is the mean of its four neighbours. The method follows Liu
    and Jia, "Reducing boundary artifacts in image deconvolution", ICIP 2008.
    """
    rows, columns = height - image.shape[0], width - image.shape[1]
    below = _interpolate_rows(image[-1], image[0], rows)  # [rows, w, C]
    right = _interpolate_rows(image[:, -1], image[:, 0], columns).swapaxes(0, 1)  # [h, columns, C]
    # The corner's four sides are the sides of `right` and `below`.
    corner = np.zeros((rows + 2, columns + 2, image.shape[2]), np.float64)
    corner[0, 1:-1], corner[-1, 1:-1] = right[-1], right[0]
    corner[1:-1, 0], corner[1:-1, -1] = below[:, -1], below[:, 0]
    corner = _solve_laplace(corner)[1:-1, 1:-1]
    lower = np.concatenate([below, corner], axis=1)
    return np.concatenate([np.concatenate([image, right], axis=1), lower]).astype(np.float32)


def _interpolate_rows(first, last, lines):
    """Interpolates rows `[lines, n, C]` between two rows `[n, C]`; the ends of the rows are interpolated linearly."""
    frame = np.zeros((lines + 2, *first.shape), np.float64)
    frame[0], frame[-1] = first, last
    share = np.arange(1, lines + 1)[:, None] / (lines + 1)
    for end in (0, -1):
        frame[1:-1, end] = (1 - share) * first[end] + share * last[end]
    return _solve_laplace(frame)[1:-1]


def _solve_laplace(frame):
    """Solves Laplace's equation inside `[h, w, C]` by sine transforms, with its four sides as boundary values."""
    height, width = frame.shape[0] - 2, frame.shape[1] - 2
    if height < 1 or width < 1:
        return frame
    inside = np.zeros((height, width, frame.shape[2]))
    inside[0] -= frame[0, 1:-1]
    inside[-1] -= frame[-1, 1:-1]
    inside[:, 0] -= frame[1:-1, 0]
    inside[:, -1] -= frame[1:-1, -1]
    rows, columns = (2 * np.cos(math.pi * np.arange(1, n + 1) / (n + 1)) - 2 for n in (height, width))
    eigenvalues = rows[:, None, None] + columns[:, None]  # of the Laplacian
    frame[1:-1, 1:-1] = idstn(dstn(inside, 1, axes=(0, 1)) / eigenvalues, 1, axes=(0, 1))
    return frame
