"""Images of any size through any generator, in memory that the tile bounds and not the image."""

import math
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from esrgan_tf.errors import UserError
from esrgan_tf.inference.blur_kernels import check_noise
from esrgan_tf.inference.memory import available_memory
from esrgan_tf.inference.runner import Runner

if TYPE_CHECKING:
    import keras

# For RRDBNet, which looks farther than any tile reaches. Of RealESRGAN_x4plus in tiles of 248 pixels, on two photos
# (`benchmarks/overlap.py`), the root mean square difference to the whole is 1.07 grey levels with an overlap of 24 (at
# most 28), 0.71 with 32 (20), 0.31 with 48 (6), 0.19 with 64 (5), 0.10 with 80 (1); the work is 1.5, 1.8, 2.7, 4.3 and
# 7.9 times the image's. In packed pixels: where a network packs 2x2 or 4x4 of the input's, so many times more of those.
# RCAN's attention differs in tiles whatever their overlap is. Of a small RCAN (`configs/small_rcan.yaml`) and three
# photos of 768x512 (`benchmarks/tiles.py`), PSNR to the whole is 57 dB in tiles of 96, 59 of 192 and 61 of 352 pixels,
# with overlaps of 16 to 48 alike; from the truth, tiles are no farther than the whole.
_MAX_OVERLAP = 48
_MIN_TILE = 64  # unless an overlap is asked for
# What activations may take when no tile is given, and where a larger tile no longer saves time: small beside any
# machine's memory, large enough that the overlap costs little. On a CPU never more than a quarter of what is free.
_BUDGET = {"CPU": 768 * 2**20, "GPU": 2 * 2**30}
_LARGEST_TILE = {"CPU": 448, "GPU": 1024}
# At once: of the largest activation a layer's input, its output and a convolution's scratch; of the result, its copies.
# Measured so: 13 kB for each pixel of RRDBNet's input, 1.3 kB of the compact network's, x4.
_ACTIVATIONS, _RESULTS = 3, 6
# Tiles begin at multiples of it, and of what the network packs, so that it packs the same pixels in every tile.
_GRID = 4


class Upscaler:
    """Upscales images of any size tile by tile, with any engine.

    Each tile is computed with `overlap` pixels of its surroundings on every side, which are then discarded. The image's
    own edges are the network's. An overlap of the receptive field makes tiles equal to the whole image. By default the
    overlap is the receptive field, up to 48 pixels and a quarter of the tile. After a pixel unshuffle by 2 or 4, the
    limit is 96 or 192 pixels. Threads may share an upscaler.

    Args:
        network: a `Runner`; or a Keras generator of float32 `[B, H, W, C]` in [0, 1], which runs in TensorFlow.
        tile: input pixels on a side that are computed at once, surroundings included; None: chosen from memory.
        overlap: input pixels of surroundings, rounded up to a multiple of 4 and of the pixel unshuffle; None: chosen
            by the network, as above.
        batch: number of tiles that are computed at once.
        ensemble: average the eight flips and quarter turns (Timofte et al., "Seven ways to improve", CVPR 2016).
        notice: called with a line when memory runs out and smaller tiles are tried. Also called once when a network
            with global pooling upscales an image in tiles.
        noise: standard deviation of the image's noise, of 255, for noise-conditioned Keras generators.
        min_overlap: least overlap if `overlap` is None.
        precision: of a Keras generator and 8-bit images: `float32`, `bfloat16` or `auto`, as for `KerasRunner`.

    Attributes:
        scale: the upscaling factor.
        channels: of the images that the generator takes, without the noise level.
        tile: as above; smaller once memory has run out.
        precision: of 8-bit images, `float32` or `bfloat16`.

    Raises:
        UserError: a tile that its overlap fills, numbers below their least, or as `KerasRunner`.
    """

    def __init__(
        self,
        network: "Runner | keras.Model",
        tile: int | None = None,
        overlap: int | None = None,
        batch: int = 1,
        ensemble: bool = False,
        notice: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
        noise: float = 0.0,
        min_overlap: int = 0,
        precision: str = "float32",
    ):
        if overlap is not None and overlap < 0:
            raise UserError(f"overlap {overlap}: the least is 0")
        if batch < 1:
            raise UserError(f"batch {batch}: the least is 1")
        check_noise(noise)
        if not isinstance(network, Runner):
            from esrgan_tf.inference.engines.keras_engine import KerasRunner

            network = KerasRunner(network, precision, noise / 255)
        facts = network.facts
        self.noise = noise
        self.channels, self.scale, self.precision = facts.image_channels, network.scale, network.precision
        self._runner, self._batch, self._ensemble, self._notice = network, batch, ensemble, notice
        self._lock = threading.Lock()  # held while what threads share is changed
        self._grid = math.lcm(_GRID, facts.size_multiple)
        self._overlap_asked = overlap is not None
        if overlap is None:
            overlap = max(min_overlap, math.ceil(min(facts.receptive_field, _MAX_OVERLAP * facts.size_multiple)))
        self._overlap = -(-overlap // self._grid) * self._grid
        least = self._min_tile() if self._overlap_asked or tile is None else 4 * self._grid
        if tile is None:
            tile = max(least, _affordable_tile(network, batch))
        if tile < least:
            raise UserError(
                f"tile {tile} is too small for an overlap of {self._overlap} on each side; the least is {least}"
            )
        self._set_tile(tile)
        self._tiles_differ = facts.has_global_pooling

    def tiles(
        self, image: np.ndarray, progress: Callable[[int], None] = lambda pixels: None
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Enlarges an image piece by piece.

        Args:
            image: uint8 or uint16 `[H, W, C]`. Gray `[H, W, 1]` goes through an RGB generator as three equal channels,
                and their mean comes out.
            progress: called after each piece with the number of input pixels done.

        Yields:
            Row and column in the result, and float32 `[h, w, C']` in [0, 1], not clipped, that belongs there. Pieces
            cover the result; after memory ran out, some come a second time.

        Raises:
            UserError: other channels than the generator's, or memory runs out for the smallest tile.
        """
        height, width, channels = image.shape
        if channels != self.channels and (channels, self.channels, self._runner.out_channels) != (1, 3, 3):
            raise UserError(f"the image has {channels} channels and the generator takes {self.channels}")
        self.check(height, width)
        if self._tiles_differ and max(height, width) > self.tile:
            self._tiles_differ = False  # said once
            self._notice(
                f"the network weighs its channels by all that it sees, here tiles of {self.tile} pixels: the result is "
                "not quite that of the whole image, though no worse"
            )
        top = 0
        while top < height:
            before = self.tile, self._batch
            try:
                bottom = top
                for piece, (row, column), bottom in self._row_of_tiles(image, top, progress):
                    yield row * self.scale, column * self.scale, piece
                    done = column * self.scale + piece.shape[1]
                    progress(top * width + (bottom - top) * done // self.scale)
                top = bottom
            except MemoryError as error:
                self._shrink(before, error)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Enlarges an image, as `tiles` takes it, into one array of its type, `[scale * H, scale * W, C']`."""
        channels = 1 if image.shape[2] == 1 else self._runner.out_channels
        shape = (image.shape[0] * self.scale, image.shape[1] * self.scale, channels)
        result = np.empty(shape, image.dtype)  # first: should it not fit, no time is lost
        for row, column, piece in self.tiles(image):
            result[row : row + piece.shape[0], column : column + piece.shape[1]] = quantise(piece, image.dtype)
        return result

    def check(self, height: int, width: int) -> None:
        """Raises UserError where an image of this size cannot be enlarged."""

    def _row_of_tiles(self, image, top, progress):
        """Yields `(piece, its place in the input, the row below it)` from left to right."""
        height, width = image.shape[:2]
        with self._lock:  # another thread may be shrinking the tiles
            sizes, at_once = (self.tile, self._overlap, self._grid), self._batch
        y = next(_spans(top, height, *sizes))
        columns = list(_spans(0, width, *sizes))
        while columns:
            size = columns[0][3] - columns[0][0]
            same = [x for x in columns[:at_once] if x[3] - x[0] == size]
            columns = columns[len(same) :]
            batch = np.stack([image[y[0] : y[3], x[0] : x[3]] for x in same])
            gray = batch.shape[3] < self.channels
            batch = np.repeat(batch, self.channels, axis=3) if gray else batch
            before, pixels = top * width + (y[2] - top) * same[0][1], (y[2] - top) * (same[-1][2] - same[0][1])
            upscaled = self._upscale(
                batch.astype(np.float32) / np.iinfo(image.dtype).max,
                image.dtype != np.uint8,
                lambda part, before=before, pixels=pixels: progress(before + round(part * pixels)),
            )
            upscaled = upscaled.mean(axis=3, keepdims=True) if gray else upscaled
            for x, piece in zip(same, upscaled, strict=True):
                rows, keep = (
                    slice((begin - start) * self.scale, (end - start) * self.scale) for start, begin, end, _ in (y, x)
                )
                yield piece[rows, keep], (y[1], x[1]), y[2]

    def _upscale(self, batch, full_precision, part_done):
        """Float `[B, h, w, C]` in [0, 1] to the same enlarged; `part_done` may be told the share that is done."""
        if not self._ensemble:
            return self._runner(batch, full_precision)
        total = np.zeros((), np.float32)
        for turns in range(4):
            for flip in (False, True):
                turned = np.rot90(batch, turns, axes=(1, 2))
                turned = turned[:, :, ::-1] if flip else turned
                upscaled = self._runner(np.ascontiguousarray(turned), full_precision)
                upscaled = upscaled[:, :, ::-1] if flip else upscaled
                total = total + np.rot90(upscaled, -turns, axes=(1, 2))
        return total / 8.0

    def _min_tile(self):
        return 2 * self._overlap + 4 * self._grid if self._overlap_asked else max(_MIN_TILE, 4 * self._grid)

    def _set_tile(self, tile):
        self.tile = tile // self._grid * self._grid
        if not self._overlap_asked:
            self._overlap = min(self._overlap, self.tile // 4 // self._grid * self._grid)

    def _shrink(self, before, error):
        """Goes on with less at a time, unless another thread has seen to that since the row began with `before`."""
        least = self._min_tile()
        with self._lock:
            if (self.tile, self._batch) != before:
                return
            if self._batch > 1:
                self._batch = 1
            elif self.tile > least:
                self._set_tile(max(least, self.tile // 2))
            else:
                raise UserError(
                    f"memory ran out even for tiles of {self.tile} pixels; close other programs, or lower the overlap"
                ) from error
        self._notice(f"memory ran out; going on with one tile of {self.tile} pixels at a time")


def quantise(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Float in [0, 1] to an integer type's whole range, clipped and rounded."""
    most = np.iinfo(dtype).max
    return np.rint(np.clip(image, 0.0, 1.0) * most).astype(dtype)


def _spans(first, length, tile, overlap, grid):
    """Divides `first` … `length`: yields where a tile's surroundings start, it begins, it ends, they stop.

    All but the last are as large as one another, and as small as their number allows.
    """
    if length > tile:
        count = math.ceil((length - 2 * overlap) / (tile - 2 * overlap))
        tile = math.ceil((length - 2 * overlap) / count / grid) * grid + 2 * overlap
    begin = first
    while begin < length:
        start = max(0, begin - overlap)
        stop = min(length, start + tile)
        end = length if stop == length else stop - overlap
        yield start, begin, end, stop
        begin = end


def _affordable_tile(runner, batch):
    """The side of a tile whose activations fit the budget: copies of the largest, and of the result."""
    numbers = _ACTIVATIONS * runner.facts.peak_channels + _RESULTS * runner.scale**2 * runner.out_channels
    budget = min(_BUDGET[runner.device], available_memory() // 4 if runner.device == "CPU" else sys.maxsize)
    return min(_LARGEST_TILE[runner.device], math.isqrt(int(budget / batch / 4 / numbers)))
