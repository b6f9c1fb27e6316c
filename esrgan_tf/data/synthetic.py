"""Photo-like images made from a seed, so that training needs no download.

Dead-leaves images consist of overlapping opaque shapes, with sizes by a power law. They share the edges, scales and
occlusions of natural images. Networks trained on them work on photos (Achddou, Gousseau and Ladjal,
"Synthetic images as a regularity prior for image restoration neural networks", SSVM 2021). These images add gradients,
thin strokes and text to flat and textured leaves.
"""

import colorsys
import math
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from esrgan_tf.data.store import Source
from esrgan_tf.imaging.resampling import bicubic

IMAGES = {"train": 96, "validation": 4}
SIZE = 256  # pixels on a side, divisible by every scale
_SUPERSAMPLING = 2  # shapes are drawn larger and downscaled, so that their edges are as soft as in photos
_LEAVES = 450


def synthetic_source(split: str, seed: int, scale: int) -> Source:
    """A source of dead-leaves images for the split `train` or `validation`; LR images are made by Pillow's bicubic.

    The splits have no image in common.
    """

    def decode(numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        for i in numbers:  # measured: threads make it slower
            hr = dead_leaves(np.random.default_rng([seed, list(IMAGES).index(split), i]))
            yield i, bicubic(hr, SIZE // scale, SIZE // scale), hr

    facts = {"source": "synthetic", "version": 2, "split": split, "seed": seed, "scale": scale}
    numbers = range(IMAGES[split])
    return Source(facts, [f"{split}/{i:04d}" for i in numbers], [[facts, i] for i in numbers], decode)


def dead_leaves(rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """Draws one image, uint8 `[size, size, 3]`."""
    side = size * _SUPERSAMPLING
    palette = _palette(rng)
    noise = _natural_noise(rng, side)
    canvas = _texture(rng, palette, noise, side, side)
    # Radii between 3 pixels and a third of the image, with the scale-invariant density r^-3.
    smallest, largest = 3.0 * _SUPERSAMPLING, side / 3
    u = rng.random(_LEAVES)
    radii = (smallest**-2 - u * (smallest**-2 - largest**-2)) ** -0.5
    for radius in radii:
        _paint_shape(canvas, _leaf(rng, radius), rng, palette, noise)
    for _ in range(rng.integers(4, 12)):
        _paint_shape(canvas, _stroke(rng, side), rng, palette, noise)
    if rng.random() < 0.5:
        for _ in range(rng.integers(1, 5)):
            _paint_shape(canvas, _text(rng), rng, palette, noise)
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))


def _paint_shape(canvas, mask, rng, palette, noise):
    """Draws a textured shape at a random position of the canvas, perhaps partly outside."""
    height, width = mask.shape
    top = int(rng.integers(-height // 2, canvas.shape[0] - height // 2))
    left = int(rng.integers(-width // 2, canvas.shape[1] - width // 2))
    mask = mask[max(0, -top) : canvas.shape[0] - top, max(0, -left) : canvas.shape[1] - left]
    top, left = max(0, top), max(0, left)
    region = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
    np.copyto(region, _texture(rng, palette, noise, *mask.shape), where=mask[..., None])


def _leaf(rng, radius):
    """Draws the mask of a disk, an ellipse or a polygon."""
    side = int(np.ceil(2 * radius)) + 1
    mask = Image.new("1", (side, side))
    draw = ImageDraw.Draw(mask)
    kind = rng.random()
    if kind < 0.4:
        draw.ellipse((0, 0, side - 1, side - 1), fill=1)
    else:
        corners = 64 if kind < 0.6 else int(rng.integers(3, 7))
        angles = np.sort(rng.random(corners)) * 2 * np.pi if corners < 64 else np.linspace(0, 2 * np.pi, 64)
        x, y = np.cos(angles), np.sin(angles) * rng.uniform(0.2, 1.0)
        turn = rng.uniform(0, 2 * np.pi)
        points = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=-1)
        draw.polygon([tuple(point) for point in radius * (1 + points)], fill=1)
    return np.asarray(mask)


def _stroke(rng, side):
    """Draws the mask of a thin curved line, such as a twig, a whisker or a wire."""
    length = int(rng.uniform(0.1, 0.8) * side)
    mask = Image.new("1", (length, length))
    corners = rng.random((4, 1, 2)) * length
    t = np.linspace(0, 1, 40)[:, None]
    a, b, c, d = corners
    curve = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    width = int(rng.integers(1, 5)) * _SUPERSAMPLING
    ImageDraw.Draw(mask).line([tuple(point) for point in curve], fill=1, width=width, joint="curve")
    return np.asarray(mask)


def _text(rng):
    letters = "".join(chr(rng.integers(33, 127)) if rng.random() < 0.85 else " " for _ in range(rng.integers(3, 16)))
    font = ImageFont.load_default(size=int(rng.integers(9, 40)) * _SUPERSAMPLING)
    left, top, right, bottom = font.getbbox(letters)
    mask = Image.new("L", (max(1, int(right - left)), max(1, int(bottom - top))))
    ImageDraw.Draw(mask).text((-left, -top), letters, fill=255, font=font)
    rotated = mask.rotate(rng.normal(0, 15) if rng.random() < 0.5 else 0, expand=True)
    return np.asarray(rotated) > 127


def _palette(rng):
    """Draws a few base colours for an image, mostly muted, sometimes bright."""
    hues = (rng.random() + rng.normal(0, 0.12, 5)) % 1 if rng.random() < 0.6 else rng.random(5)
    saturations, values = rng.beta(1.5, 4, 5), rng.uniform(0.08, 1.0, 5)
    return 255 * np.array([colorsys.hsv_to_rgb(*hsv) for hsv in zip(hues, saturations, values, strict=True)])


def _natural_noise(rng, side):
    """Draws noise with the amplitude spectrum 1/f of natural images, `[side, side]`, standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) / frequency ** rng.uniform(0.7, 1.5)
    spectrum[0, 0] = 0.0
    noise = np.fft.irfft2(spectrum, (side, side))
    return (noise / noise.std()).astype(np.float32)


def _texture(rng, palette, noise, height, width):
    """Draws the colours of a shape, float32 `[height, width, 3]`, about 0 … 255: a shade, a gradient and a pattern."""
    color = (palette[rng.integers(len(palette))] + rng.normal(0, 15, 3)).astype(np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    direction = rng.uniform(0, 2 * np.pi)
    cosine, sine = math.cos(direction), math.sin(direction)  # with NumPy's functions, all arrays would be float64
    along = cosine * x + sine * y
    light = 1 + rng.normal(0, 0.25) * along / max(height, width)
    kind = rng.random()
    if kind < 0.35:  # flat, such as sky or paint
        pattern = np.zeros((height, width), np.float32)
    elif kind < 0.7:  # stone, bark, fur
        top, left = rng.integers(0, noise.shape[0] - height + 1), rng.integers(0, noise.shape[1] - width + 1)
        pattern = noise[top : top + height, left : left + width] * rng.uniform(3, 30)
    else:  # fabric, bricks, blinds: waves of 3 to 40 pixels, smooth or square
        period = math.exp(rng.uniform(math.log(3), math.log(40))) * _SUPERSAMPLING
        wave = np.sin(2 * np.pi * along / period + rng.uniform(0, 2 * np.pi))
        if rng.random() < 0.3:
            across = cosine * y - sine * x
            wave = wave * np.sin(2 * np.pi * across / period)
        pattern = (np.sign(wave) if rng.random() < 0.5 else wave) * rng.uniform(5, 50)
    return color * light[..., None] + pattern[..., None] * rng.uniform(0.7, 1.0, 3).astype(np.float32)
