"""Blur kernels of deblurring, as users give them."""

from pathlib import Path

import numpy as np

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.imaging.reading import read_picture


def read_kernel(path: str | Path) -> np.ndarray:
    """Reads a kernel from an image or from a `.npy` file of an array `[h, w]`, as `checked_kernel` returns it.

    Raises:
        UserError: the file does not exist, cannot be read, or holds no kernel.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no file {path}; expected a kernel, an image or a .npy array")
    if path.suffix.lower() != ".npy":
        picture = read_picture(path)
        pixels = picture.colour
        if pixels.shape[2] == 3 and (pixels != pixels[..., :1]).any():
            raise UserError(f"{path}: its colours differ; a kernel is gray, one number per pixel")
        return checked_kernel(pixels[..., 0], str(path))
    try:
        kernel = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not a .npy array: {first_line(error)}") from error
    return checked_kernel(kernel, str(path))


def checked_kernel(kernel: np.ndarray, where: str = "the kernel") -> np.ndarray:
    """A kernel's numbers divided by their sum: float32 `[h, w]`.

    The kernel's middle is the pixel `(h // 2, w // 2)`. Images are convolved with the kernel, not correlated: the
    kernel is the point-spread function.

    Raises:
        UserError: the kernel has another shape, or its numbers are not real, not finite, negative or all zero.
    """
    kernel = np.asarray(kernel)
    if kernel.ndim != 2 or kernel.size == 0 or kernel.dtype.kind not in "fiub":
        raise UserError(f"{where} is {kernel.dtype} {list(kernel.shape)}; expected numbers [h, w], one per pixel")
    kernel = kernel.astype(np.float64)
    if not np.isfinite(kernel).all():
        raise UserError(f"{where} has numbers that are not finite")
    if kernel.min() < 0:
        raise UserError(f"{where} has negative numbers, the least {kernel.min():g}; blur only adds light")
    if kernel.max() == 0:
        raise UserError(f"{where} is all zeros; at least one number must be above 0")
    return (kernel / kernel.sum()).astype(np.float32)
