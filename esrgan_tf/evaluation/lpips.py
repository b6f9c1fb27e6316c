"""LPIPS, a perceptual distance (Zhang et al., arXiv 1801.03924), by the authors' package."""

from collections.abc import Callable

import numpy as np


def load_lpips() -> Callable[[np.ndarray, np.ndarray, int], float]:
    """LPIPS of AlexNet, version 0.1: takes two uint8 `[H, W, 3]` images and a border, which it does not remove.

    Raises:
        ImportError: a package is absent.
        OSError: AlexNet's weights can be neither found nor downloaded.
    """
    import lpips
    import torch

    network = lpips.LPIPS(net="alex", verbose=False)

    def distance(hr: np.ndarray, sr: np.ndarray, border: int) -> float:
        # [B, 3, H, W] in [-1, 1]
        pair = [torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1.0 for image in (hr, sr)]
        with torch.no_grad():
            return float(network(*pair))

    return distance
