"""PSNR and SSIM as super-resolution papers report them: 8-bit, on the luma channel, without the border.

Both work in NumPy and float64. Images are RGB `[H, W, 3]`, float in [0, 1] or uint8. `channels` is "y", the BT.601
studio-range luma, or "rgb". For "rgb", PSNR is of the error over all three channels, and SSIM is the channels' mean.
"""

import numpy as np

SSIM_WINDOW = 11  # SSIM's Gaussian window (Wang et al. 2004, section III-B): 11 pixels, standard deviation 1.5
_SIGMA = 1.5


def psnr(hr: np.ndarray, sr: np.ndarray, border: int, channels: str = "y") -> float:
    """Peak signal-to-noise ratio in dB, `border` pixels cropped on each side."""
    error = np.mean((_planes(hr, border, channels) - _planes(sr, border, channels)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))


def ssim(hr: np.ndarray, sr: np.ndarray, border: int, channels: str = "y") -> float:
    """Mean structural similarity (Wang et al. 2004, section III-B), at all positions where the whole window fits.

    Raises:
        ValueError: less than 11x11 pixels remain after the border is cropped.
    """
    planes = zip(_planes(hr, border, channels), _planes(sr, border, channels), strict=True)
    return float(np.mean([_ssim(x, y) for x, y in planes]))


def _ssim(x, y):
    if min(x.shape) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels inside the border, not {x.shape}")
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return float(np.mean(luminance * structure))


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Float in [0, 1] to uint8, clipped and rounded; uint8 passes through."""
    if image.dtype == np.uint8:
        return image
    return np.round(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)


def _planes(image, border, channels):
    """Converts `[H, W, 3]` to `[C, H - 2 * border, W - 2 * border]`: MATLAB's luma, 16 … 235, or RGB, 0 … 255."""
    rgb = to_uint8(np.asarray(image)).astype(np.float64)
    rgb = rgb[border : rgb.shape[0] - border, border : rgb.shape[1] - border]
    if channels == "y":
        return 16.0 + (rgb @ np.array([65.481, 128.553, 24.966]) / 255.0)[np.newaxis]
    return np.moveaxis(rgb, -1, 0)


def _blur(x):
    offsets = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    for axis in (0, 1):
        x = np.lib.stride_tricks.sliding_window_view(x, SSIM_WINDOW, axis=axis) @ weights
    return x
