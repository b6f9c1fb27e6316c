"""Image files to pixels: whatever Pillow reads becomes RGB uint8 `[H, W, 3]`."""

import threading
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from esrgan_tf.errors import UserError
from esrgan_tf.images.limits import check_size

_opening = threading.Lock()


def image_files(folder: Path) -> list[Path]:
    """All image files below `folder` by their ending, sorted; hidden files are passed over."""
    endings = {ending for ending, name in Image.registered_extensions().items() if name in Image.OPEN}
    found = (path for path in folder.rglob("*") if path.suffix.lower() in endings and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def read_rgb(path: Path) -> np.ndarray:
    """Decodes one file: turned upright as its EXIF says, gray and palette spread to RGB, 16 bits rounded to 8.

    Transparent pixels are laid on white, since the colour behind them is arbitrary.

    Raises:
        ValueError: too large, or a pixel format without an agreed range (32-bit float).
        Exception: whatever Pillow raises for a broken file; it has no common base class.
    """
    with open_image(path) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode == "F":
            raise ValueError("32-bit float pixels have no agreed range; save it with 8 or 16 bits")
        if image.mode.startswith("I"):  # 16-bit gray, which Pillow's own conversion would clip at 255
            gray = np.asarray(image).astype(np.int64)
            return np.repeat(np.clip((gray + 128) // 257, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        return np.asarray(image.convert("RGB"))


def open_image(path: str | Path) -> Image.Image:
    """The file, decoded no further than its header, by our limit of pixels instead of Pillow's smaller one.

    Raises:
        UserError: it claims more pixels.
        Exception: as `read_rgb`.
    """
    with _opening:  # Pillow's limit is one for all threads
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path)
            if image.format == "TIFF":  # of which Pillow asks again while it decodes
                check_size(*image.size)
                image.load()
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    try:
        check_size(*image.size)
    except UserError:
        image.close()
        raise
    return image


def bicubic(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pillow's bicubic resize of uint8 `[H, W, 3]`, antialiased when it reduces, as MATLAB's `imresize` is."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """Cuts rows and columns off the bottom and right until `scale` divides both sides."""
    return image[: image.shape[0] // scale * scale, : image.shape[1] // scale * scale]
