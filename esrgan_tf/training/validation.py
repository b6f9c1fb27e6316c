"""PSNR and SSIM of a generator on whole validation images, and sample pictures."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from esrgan_tf.data.store import Images
from esrgan_tf.errors import UserError, listed
from esrgan_tf.evaluation.metrics import psnr, ssim, to_uint8
from esrgan_tf.imaging.resampling import bicubic
from esrgan_tf.models.noise_level import with_noise_level

Upscale = Callable[
    [np.ndarray], np.ndarray
]  # uint8 [h, w, 3], or 4 with a noise level, to uint8 [scale * h, scale * w, 3]
_SSIM_WINDOW = 11


def check_sizes(store: Images, scale: int) -> None:
    """Refuses validation images that are too small for the measures, before training starts."""
    least = 2 * scale + _SSIM_WINDOW
    small = [name for i, name in enumerate(store.names) if min(store.hr_size(i)) < least]
    if small:
        raise UserError(f"validation images must be at least {least} pixels on both sides: {listed(small)}")


def validate(
    upscale: Upscale, store: Images, scale: int, interrupted: Callable[[], object] = lambda: None
) -> dict[str, float]:
    """Mean PSNR (dB) and SSIM of the luma, with `scale` border pixels cropped. An interruption gives `{}`.

    An exact result, for instance of a flat image, has infinite PSNR and is not part of the mean.
    """
    scores = []
    for i in range(len(store)):
        if interrupted():
            return {}
        hr, sr = store.hr(i), upscale(store.lr(i))
        scores.append((psnr(hr, sr, border=scale), ssim(hr, sr, border=scale)))
    psnrs, ssims = np.transpose(scores)
    finite = np.isfinite(psnrs)
    return {"psnr": float(psnrs[finite].mean()) if finite.any() else float("inf"), "ssim": float(ssims.mean())}


def draw_comparison(upscale: Upscale, store: Images, scale: int, images: int = 3, side: int = 256) -> np.ndarray:
    """Draws LR, bicubic, SR and HR side by side, a row per image, cropped to the middle `side` pixels; uint8 RGB."""
    rows = []
    lr_side = side // scale
    for i in range(min(images, len(store))):
        lr = store.lr(i)
        top, left = max(0, lr.shape[0] - lr_side) // 2, max(0, lr.shape[1] - lr_side) // 2
        lr = np.ascontiguousarray(lr[top : top + lr_side, left : left + lr_side])
        height, width = lr.shape[0] * scale, lr.shape[1] * scale
        hr = store.hr(i)[top * scale : top * scale + height, left * scale : left * scale + width]
        rgb = np.ascontiguousarray(lr[..., :3])  # without a noise level
        pixels = np.repeat(np.repeat(rgb, scale, axis=0), scale, axis=1)
        row = np.concatenate([pixels, bicubic(rgb, height, width), upscale(lr), hr], axis=1)
        rows.append(np.pad(row, ((0, 0), (0, 4 * side - row.shape[1]), (0, 0)), constant_values=255))
    return np.concatenate(rows)


def build_upscaler(generator: keras.Model) -> Upscale:
    """Compiles a generator of float `[1, h, w, C]` in [0, 1] for 8-bit images; a missing noise level is 0."""
    signature = [tf.TensorSpec((1, None, None, generator.inputs[0].shape[-1]), tf.float32)]
    forward = tf.function(generator, input_signature=signature, autograph=False)

    def upscale(image: np.ndarray) -> np.ndarray:
        pixels = with_noise_level(image[None].astype(np.float32) / 255.0, generator)
        return to_uint8(np.asarray(forward(pixels))[0])

    return upscale
