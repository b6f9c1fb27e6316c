"""RGB uint8 `[H, W, 3]` images at other sizes."""

import numpy as np
from PIL import Image


def bicubic(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pillow's bicubic resize of uint8 `[H, W, 3]`, antialiased when downscaling, as MATLAB's `imresize`."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """Crops the bottom and right so that `scale` divides both sides."""
    return image[: image.shape[0] // scale * scale, : image.shape[1] // scale * scale]
