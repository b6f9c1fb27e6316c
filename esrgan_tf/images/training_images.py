"""Images for training: which files of a folder, and RGB uint8 `[H, W, 3]` at other sizes."""

from pathlib import Path

import numpy as np
from PIL import Image


def image_files(folder: Path) -> list[Path]:
    """All image files below `folder` by their ending, sorted; hidden files are passed over."""
    endings = {ending for ending, name in Image.registered_extensions().items() if name in Image.OPEN}
    found = (path for path in folder.rglob("*") if path.suffix.lower() in endings and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def bicubic(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pillow's bicubic resize of uint8 `[H, W, 3]`, antialiased when it reduces, as MATLAB's `imresize` is."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """Cuts rows and columns off the bottom and right until `scale` divides both sides."""
    return image[: image.shape[0] // scale * scale, : image.shape[1] // scale * scale]
