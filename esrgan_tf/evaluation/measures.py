"""The table of measures; a new measure needs a function and a row."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from esrgan_tf.evaluation.lpips import load_lpips
from esrgan_tf.evaluation.metrics import psnr, ssim

Compute = Callable[[np.ndarray, np.ndarray, int], float]  # hr and sr, uint8 [H, W, 3], and the border in pixels


@dataclass(frozen=True)
class Measure:
    """A measure of a result against its ground truth.

    Attributes:
        key: in reports.
        title: in tables.
        format: of its values, as in `format(value, …)`.
        load: returns the function. Raises ImportError or OSError if the function is not available.
        needs: the packages and files that the measure needs, if they may be absent.
        protocol: the words that the measure adds to the protocol; may be empty.
        is_infinite_if_exact: whether an exact result has no finite value, so that means leave the image out.
    """

    key: str
    title: str
    format: str
    load: Callable[[], Compute]
    needs: str = ""
    protocol: str = ""
    is_infinite_if_exact: bool = False


def _loader_for(compute, channels):
    return lambda: functools.partial(compute, channels=channels)


MEASURES = (
    Measure("psnr_y", "PSNR Y", ".2f", _loader_for(psnr, "y"), is_infinite_if_exact=True),
    Measure("ssim_y", "SSIM Y", ".4f", _loader_for(ssim, "y")),
    Measure("psnr_rgb", "PSNR RGB", ".2f", _loader_for(psnr, "rgb"), is_infinite_if_exact=True),
    Measure("ssim_rgb", "SSIM RGB", ".4f", _loader_for(ssim, "rgb")),
    Measure(
        "lpips", "LPIPS", ".4f", load_lpips,
        needs="the packages lpips and torchvision, and AlexNet's weights",
        protocol="LPIPS of AlexNet, version 0.1",
    ),
)  # fmt: skip


def available_measures(say: Callable[[str], None]) -> dict[Measure, Compute]:
    """The measures that can be computed here; `say` receives a line for each other measure."""
    available = {}
    for measure in MEASURES:
        try:
            available[measure] = measure.load()
        except (ImportError, OSError) as error:
            say(f"{measure.title} is left out: it needs {measure.needs} ({error})")
    return available
