"""The table of measures. A new measure is a function and a row."""

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
        load: returns the function. Raises ImportError or OSError where the function is not available.
        needs: the packages and files of a measure that may not be available.
        protocol: the words that the protocol adds; empty where the protocol already has them.
        is_infinite_if_exact: whether an exact result has no finite value, so that means leave the image out.
    """

    key: str
    title: str
    format: str
    load: Callable[[], Compute]
    needs: str = ""
    protocol: str = ""
    is_infinite_if_exact: bool = False


def _of(compute, channels):
    return lambda: functools.partial(compute, channels=channels)


MEASURES = (
    Measure("psnr_y", "PSNR Y", ".2f", _of(psnr, "y"), is_infinite_if_exact=True),
    Measure("ssim_y", "SSIM Y", ".4f", _of(ssim, "y")),
    Measure("psnr_rgb", "PSNR RGB", ".2f", _of(psnr, "rgb"), is_infinite_if_exact=True),
    Measure("ssim_rgb", "SSIM RGB", ".4f", _of(ssim, "rgb")),
    Measure(
        "lpips", "LPIPS", ".4f", load_lpips,
        needs="the packages lpips and torchvision, and AlexNet's weights",
        protocol="LPIPS of AlexNet, version 0.1",
    ),
)  # fmt: skip


def available_measures(say: Callable[[str], None]) -> dict[Measure, Compute]:
    """The measures that can be computed here; `say` receives a line for each other one."""
    available = {}
    for measure in MEASURES:
        try:
            available[measure] = measure.load()
        except (ImportError, OSError) as error:
            say(f"{measure.title} is left out: it needs {measure.needs} ({error})")
    return available
