"""Pictures to look at."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_TITLE_HEIGHT = 36


def side_by_side(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], zoom: int = 2) -> np.ndarray:
    """Lays out rows of equally large uint8 `[H, W, 3]` images under column titles; uint8 `[H', W', 3]`.

    Args:
        zoom: how many times larger each pixel is shown, so that it can be seen.
    """
    tiles = [np.concatenate([tile.repeat(zoom, axis=0).repeat(zoom, axis=1) for tile in row], axis=1) for row in rows]
    column = tiles[0].shape[1] // len(titles)
    header = Image.new("RGB", (tiles[0].shape[1], _TITLE_HEIGHT), "white")
    for i, title in enumerate(titles):
        place = (i * column + 8, 6)
        ImageDraw.Draw(header).text(place, title, fill="black", font=ImageFont.load_default(size=20))
    return np.concatenate([np.asarray(header), *tiles])
