"""Upscaling tile by tile; the tile size bounds the memory, not the image size."""

import math
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from esrgan_tf.errors import UserError
from esrgan_tf.inference.memory import available_memory
from esrgan_tf.inference.runner import Runner
from esrgan_tf.models.noise_level import check_noise

if TYPE_CHECKING:
    import keras

# RRDBNet's receptive field is larger than any tile. Measured with RealESRGAN_x4plus, tiles of 248 pixels and two photos
# (`benchmarks/overlap.py`), as differences to the untiled result in grey levels:
#
# | overlap | RMS difference | largest difference | work per image |
# | ------- | -------------- | ------------------ | -------------- |
# | 24      | 1.07           | 28                 | ×1.5           |
# | 32      | 0.71           | 20                 | ×1.8           |
# | 48      | 0.31           | 6                  | ×2.7           |
# | 64      | 0.19           | 5                  | ×4.3           |
# | 80      | 0.10           | 1                  | ×7.9           |
#
# RCAN's attention differs in tiles with any overlap. Measured with a small RCAN (`configs/small_rcan.yaml`), overlaps
# from 16 to 48 and three photos of 768x512 pixels (`benchmarks/tiles.py`):
#
# | tile | PSNR to the untiled result |
# | ---- | -------------------------- |
# | 96   | 57 dB                      |
# | 192  | 59 dB                      |
# | 352  | 61 dB                      |
#
# The tiled results are as close to the ground truth as the untiled results.
_MAX_OVERLAP = 48  # in pixels after the network's pixel unshuffle
_MIN_TILE = 64  # unless the overlap is given
# Limits of the default tile: memory of its activations, and the side above which larger tiles save no time. The memory
# is small for any machine, and large enough for a low cost of overlap. On a CPU, at most a quarter of free memory.
_BUDGET = {"CPU": 768 * 2**20, "GPU": 2 * 2**30}
_LARGEST_TILE = {"CPU": 448, "GPU": 1024}
# Copies in memory at the same time. A layer holds its input, its output and a convolution's scratch, each as large as
# the largest activation. Measured memory per input pixel at ×4: 13 kB for RRDBNet, 1.3 kB for the compact network.
_ACTIVATION_COPIES, _RESULT_COPIES = 3, 6
# Tiles begin at multiples of this number and of the pixel unshuffle, so that every tile unshuffles the same pixels.
_GRID = 4


class Upscaler:
    """Upscales images of any size tile by tile, with any engine.

    Each tile is computed with `overlap` more pixels on every side, which are then discarded. The network pads the
    image's edges. With an overlap of the receptive field, the result equals that of an untiled image. The default
    overlap is the receptive field, at most 48 pixels and at most a quarter of the tile. For networks with a pixel
    unshuffle, the limit of 48 pixels is multiplied by its factor. Threads may share an upscaler.

    Args:
        network: a `Runner`, or a Keras generator of float32 `[B, H, W, C]` in [0, 1], which runs in TensorFlow.
        tile: side of a tile in input pixels, overlap included; None chooses it from the memory.
        overlap: overlap in input pixels, rounded up to a multiple of 4 and of the pixel unshuffle; None chooses it as
            described above.
        batch: number of tiles that are computed at once.
        ensemble: average a self-ensemble of 8 orientations (Timofte et al., "Seven ways to improve", CVPR 2016).
        notice: called with a line when memory runs out and smaller tiles are tried. Also called once when a network
            with global pooling upscales an image in tiles.
        noise: standard deviation of the image's noise, of 255, for noise-conditioned Keras generators.
        min_overlap: least overlap if `overlap` is None.
        precision: `float32`, `bfloat16` or `auto`, as for `KerasRunner`; for 8-bit images and Keras generators.

    Attributes:
        scale: the upscaling factor.
        channels: number of channels of input images, without the noise level.
        tile: side of a tile; smaller after memory has run out.
        precision: the precision for 8-bit images, `float32` or `bfloat16`.

    Raises:
        UserError: the tile is too small for its overlap, a number is below its minimum, or as `KerasRunner`.
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
        self._lock = threading.Lock()  # protects the tile size, the overlap and the batch size
        self._grid = math.lcm(_GRID, facts.size_multiple)
        self._overlap_given = overlap is not None
        if overlap is None:
            overlap = max(min_overlap, math.ceil(min(facts.receptive_field, _MAX_OVERLAP * facts.size_multiple)))
        self._overlap = -(-overlap // self._grid) * self._grid
        least = self._min_tile() if self._overlap_given or tile is None else 4 * self._grid
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
        """Upscales an image tile by tile.

        Args:
            image: uint8 or uint16 `[H, W, C]`. An RGB generator upscales gray `[H, W, 1]` as three equal channels; the
                result is their mean.
            progress: called after each tile with the number of finished input pixels.

        Yields:
            Row and column of a tile in the result, and the upscaled tile, float32 `[h, w, C']` in [0, 1], not clipped.
            Tiles cover the result. After memory has run out, some tiles are yielded again.

        Raises:
            UserError: the image and the generator differ in channels, or memory runs out for the smallest tile.
        """
        height, width, channels = image.shape
        if channels != self.channels and (channels, self.channels, self._runner.out_channels) != (1, 3, 3):
            raise UserError(f"the image has {channels} channels and the generator takes {self.channels}")
        self.check(height, width)
        if self._tiles_differ and max(height, width) > self.tile:
            self._tiles_differ = False  # prints the notice only once
            self._notice(
                f"the network pools each channel over its input, here tiles of {self.tile} pixels; the result differs "
                "slightly from an untiled result, at equal quality"
            )
        top = 0
        while top < height:
            before = self.tile, self._batch
            try:
                bottom = top
                for tile, (row, column), bottom in self._upscale_row(image, top, progress):
                    yield row * self.scale, column * self.scale, tile
                    done = column * self.scale + tile.shape[1]
                    progress(top * width + (bottom - top) * done // self.scale)
                top = bottom
            except MemoryError as error:
                self._shrink(before, error)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Upscales an image as `tiles` does, into an array of the image's type, `[scale * H, scale * W, C']`."""
        channels = 1 if image.shape[2] == 1 else self._runner.out_channels
        shape = (image.shape[0] * self.scale, image.shape[1] * self.scale, channels)
        result = np.empty(shape, image.dtype)  # allocated first, so that a lack of memory costs no time
        for row, column, tile in self.tiles(image):
            result[row : row + tile.shape[0], column : column + tile.shape[1]] = quantise(tile, image.dtype)
        return result

    def check(self, height: int, width: int) -> None:
        """Raises UserError if images of this size cannot be upscaled."""

    def _upscale_row(self, image, top, progress):
        """Yields `(tile, (row, column) in the input, the row below the tile)` from left to right."""
        height, width = image.shape[:2]
        with self._lock:  # another thread may reduce the tile size at the same time
            sizes, at_once = (self.tile, self._overlap, self._grid), self._batch
        y = next(_spans(top, height, *sizes))
        columns = list(_spans(0, width, *sizes))
        while columns:
            size = columns[0][3] - columns[0][0]
            equal = [x for x in columns[:at_once] if x[3] - x[0] == size]
            columns = columns[len(equal) :]
            batch = np.stack([image[y[0] : y[3], x[0] : x[3]] for x in equal])
            gray = batch.shape[3] < self.channels
            batch = np.repeat(batch, self.channels, axis=3) if gray else batch
            before, pixels = top * width + (y[2] - top) * equal[0][1], (y[2] - top) * (equal[-1][2] - equal[0][1])
            upscaled = self._upscale(
                batch.astype(np.float32) / np.iinfo(image.dtype).max,
                image.dtype != np.uint8,
                lambda part, before=before, pixels=pixels: progress(before + round(part * pixels)),
            )
            upscaled = upscaled.mean(axis=3, keepdims=True) if gray else upscaled
            for x, tile in zip(equal, upscaled, strict=True):
                rows, kept_columns = (
                    slice((begin - start) * self.scale, (end - start) * self.scale) for start, begin, end, _ in (y, x)
                )
                yield tile[rows, kept_columns], (y[1], x[1]), y[2]

    def _upscale(self, batch, full_precision, part_done):
        """Upscales float `[B, h, w, C]` in [0, 1]; slow methods call `part_done` with the finished fraction."""
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
        return 2 * self._overlap + 4 * self._grid if self._overlap_given else max(_MIN_TILE, 4 * self._grid)

    def _set_tile(self, tile):
        self.tile = tile // self._grid * self._grid
        if not self._overlap_given:
            self._overlap = min(self._overlap, self.tile // 4 // self._grid * self._grid)

    def _shrink(self, before, error):
        """Reduces the batch or the tile size, unless another thread has changed the sizes `before` already."""
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
        self._notice(f"memory ran out; continuing with one tile of {self.tile} pixels at a time")


def quantise(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Converts float in [0, 1] to an integer type's whole range, clipped and rounded."""
    most = np.iinfo(dtype).max
    return np.rint(np.clip(image, 0.0, 1.0) * most).astype(dtype)


def _spans(first, length, tile, overlap, grid):
    """Divides `first` … `length` into tiles: yields (start with overlap, start, end, end with overlap) of each tile.

    All tiles but the last are equally large, and as small as their number allows.
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
    """The side of the largest tile that fits the budget, with the copies of its largest activation and its result."""
    numbers = _ACTIVATION_COPIES * runner.facts.peak_channels + _RESULT_COPIES * runner.scale**2 * runner.out_channels
    budget = min(_BUDGET[runner.device], available_memory() // 4 if runner.device == "CPU" else sys.maxsize)
    return min(_LARGEST_TILE[runner.device], math.isqrt(int(budget / batch / 4 / numbers)))
