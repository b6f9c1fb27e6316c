"""The results of an evaluation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

WORST_AND_BEST = 3  # the number of worst images with crops, and of best images
CROP = 160  # pixels on a side


@dataclass(frozen=True)
class ImageMeasures:
    """The measures of one image, or the means of all.

    Attributes:
        name: the image's path below its folder; `mean` for the means.
        model: of the model's result. `psnr_y` and `psnr_rgb` are in dB, infinite for an exact result. `ssim_y` and
            `ssim_rgb` are at most 1. `lpips`, if available, is 0 for an exact result.
        bicubic: the same measures of bicubic interpolation.
    """

    name: str
    model: Mapping[str, float]
    bicubic: Mapping[str, float]


@dataclass(frozen=True)
class Evaluation:
    """A model's measures over a folder.

    Attributes:
        model: the model's path or name.
        protocol: how the measures are computed, in one line.
        images: per image, in the order of their names.
        mean: over all images. The means of PSNR leave out images that the model or bicubic reproduces exactly.
        note: which images the means of PSNR leave out; empty if they leave out none.
        left_out: a line for each image that could not be measured.
        crops: by image name, of the three worst and the three best images by luma PSNR. Each has four middle crops,
            uint8 `[160, 160, 3]`: LR with repeated pixels, bicubic, the model's result, HR.
    """

    model: str
    protocol: str
    images: tuple[ImageMeasures, ...]
    mean: ImageMeasures
    note: str
    left_out: tuple[str, ...]
    crops: Mapping[str, tuple[np.ndarray, ...]] = field(repr=False, compare=False)


def worst_to_best(images: Iterable[ImageMeasures]) -> list[ImageMeasures]:
    """The images in ascending order of luma PSNR."""
    return sorted(images, key=lambda image: image.model["psnr_y"])
