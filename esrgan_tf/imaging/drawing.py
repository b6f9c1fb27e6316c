"""Comparison grids with titles and captions."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_TITLE_HEIGHT = 36


def side_by_side(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], zoom: int = 2, captions: Sequence[str] = ()
) -> np.ndarray:
    """Arranges rows of uint8 `[H, W, 3]` images of equal size under column titles; returns uint8 `[H', W', 3]`.

    Args:
        captions: a line above each row.
        zoom: pixels per image pixel on each side.
    """
    tiles = [np.concatenate([tile.repeat(zoom, axis=0).repeat(zoom, axis=1) for tile in row], axis=1) for row in rows]
    width = tiles[0].shape[1]
    column = width // len(titles)
    parts = [text_line(width, {i * column: title for i, title in enumerate(titles)})]
    for i, tile in enumerate(tiles):
        parts += [text_line(width, {0: captions[i]})] if captions else []
        parts += [tile]
    return np.concatenate(parts)


def text_line(width: int, texts: dict[int, str], size: int = 20) -> np.ndarray:
    """Draws texts at their columns on a white line; uint8 `[36, width, 3]`."""
    line = Image.new("RGB", (width, _TITLE_HEIGHT), "white")
    for left, text in texts.items():
        ImageDraw.Draw(line).text((left + 8, 6), text, fill="black", font=ImageFont.load_default(size=size))
    return np.asarray(line)
