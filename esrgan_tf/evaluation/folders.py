"""PSNR, SSIM and LPIPS of a model over folders of images, by the field's protocol."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np

from esrgan_tf.data.folder import folder_source
from esrgan_tf.data.store import NAMED, Pair, Source, UnusableImages
from esrgan_tf.errors import UserError, first_line, listed, printable
from esrgan_tf.evaluation.measures import Compute, Measure, available_measures
from esrgan_tf.evaluation.metrics import SSIM_WINDOW
from esrgan_tf.evaluation.results import CROP, WORST_AND_BEST, Evaluation, ImageMeasures, worst_to_best
from esrgan_tf.imaging.resampling import bicubic
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.runs.loading import load_model
from esrgan_tf.weights.model_names import find_model
from esrgan_tf.weights.torch_files import describe


def evaluate(
    model: keras.Model | str | Path,
    hr_dir: str | Path,
    lr_dir: str | Path | None = None,
    *,
    models_dir: str | None = None,
    keys: tuple[str, str] = ("hr_dir", "lr_dir"),
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Measures a model's results on a folder of images against ground truth, beside bicubic interpolation.

    The protocol is that of the field's papers. The result is rounded to 8 bits, and `scale` pixels are removed at each
    border. PSNR and SSIM (Wang et al. 2004) are computed on BT.601 luma and on RGB. LPIPS (arXiv 1801.03924) is added
    if its package and weights are installed.

    Args:
        model: a generator of RGB in [0, 1], or what `load_model` takes.
        hr_dir: folder of HR images, including subfolders.
        lr_dir: folder of LR images, paired by name (`esrgan_tf.data.pairing`). None crops HR images to a multiple of
            the scale and downscales them by Pillow's antialiased bicubic.
        models_dir: folder of downloaded models; else `$ESRGAN_TF_MODELS`, else the user's cache.
        keys: the names of the two folders in messages.
        say: receives lines: the model's architecture, the protocol, measures that are not available, LR images
            without a partner.
        progress: receives the number of images done and of all.

    Returns:
        The measures per image and their means. An image that cannot be read or measured is in `left_out`.

    Raises:
        UserError: a model or folder does not exist, the model is not for RGB, HR images have no partner, or no image
            can be measured.
    """
    folder_source(str(hr_dir), None, 1, keys=keys)  # a missing folder is reported before the model is read
    title = model.name if isinstance(model, keras.Model) else printable(model)
    if not isinstance(model, keras.Model):
        model = load_model(find_model(model, models_dir))
    upscaler = Upscaler(model)
    if {upscaler.channels, model.outputs[0].shape[-1]} != {3}:
        raise UserError(f"{title}: {describe(model)}; evaluation is on RGB")
    say(f"{title}: {describe(model)}")
    protocol = _protocol(upscaler.scale, lr_dir is not None)
    say(protocol)
    measures = available_measures(say)
    protocol = "; ".join([protocol, *(measure.protocol for measure in measures if measure.protocol)])
    source = folder_source(str(hr_dir), None if lr_dir is None else str(lr_dir), upscaler.scale, keys=keys, say=say)
    images, crops, left_out = _measure_all(source, upscaler, measures, progress)

    exact = [image for image in images if math.inf in (*image.model.values(), *image.bicubic.values())]
    finite = [image for image in images if image not in exact]
    note = ""
    if exact and finite:
        names = listed([image.name for image in exact], 3)
        note = (
            f"the mean PSNR leaves out {len(exact)} of {len(images)} images, exact by the model or by bicubic: {names}"
        )
    means = {
        who: {
            measure.key: _mean(who, measure.key, finite or images if measure.is_infinite_if_exact else images)
            for measure in measures
        }
        for who in ("model", "bicubic")
    }
    return Evaluation(
        title, "; ".join([protocol, *([note] if note else [])]), tuple(images), ImageMeasures("mean", **means), note,
        tuple(left_out), crops,
    )  # fmt: skip


def _protocol(scale: int, given: bool) -> str:
    low = "given" if given else "made by Pillow's antialiased bicubic, HR cropped to a multiple of the scale"
    return (
        f"protocol: 8-bit output, {scale} pixels of border removed; Y is BT.601 studio-range luma; SSIM with an 11x11 "
        f"Gaussian window of sigma 1.5 where it fits whole, of RGB the mean over channels; low resolution {low}"
    )


def _measure_all(
    source: Source, upscaler: Upscaler, measures: dict[Measure, Compute], progress: Callable[[int, int], None]
) -> tuple[list[ImageMeasures], dict[str, tuple[np.ndarray, ...]], list[str]]:
    """The measures of every image, crops of some, and a line for each image that was not measured.

    Raises:
        UserError: no image could be measured.
    """
    scale, smallest = upscaler.scale, 2 * upscaler.scale + SSIM_WINDOW
    images: list[ImageMeasures] = []
    crops: dict[str, tuple[np.ndarray, ...]] = {}
    problems: list[str] = []
    unusable: UnusableImages | None = None

    def pairs() -> Iterator[Pair]:
        nonlocal unusable
        try:
            yield from source.pairs()
        except UnusableImages as error:  # the source names broken files at its end
            unusable = error

    for done, (path, lr, hr) in enumerate(pairs()):
        progress(done, source.count)
        name = printable(path)
        if min(hr.shape[:2]) < smallest:
            problems.append(f"{name} is {hr.shape[1]}x{hr.shape[0]}; SSIM needs {smallest} pixels on both sides")
            continue
        try:
            cubic, result = bicubic(lr, *hr.shape[:2]), upscaler(lr)
            found = {
                who: {measure.key: compute(hr, sr, scale) for measure, compute in measures.items()}
                for who, sr in (("model", result), ("bicubic", cubic))
            }
        except Exception as error:  # a failure concerns one image; the others are measured
            words = "there is not enough memory for it" if isinstance(error, MemoryError) else first_line(error)
            problems.append(f"{name}: {words}")
            continue
        images.append(ImageMeasures(name, **found))
        pixels = lr.repeat(scale, axis=0).repeat(scale, axis=1)
        crops[name] = tuple(_crop_middle(image) for image in (pixels, cubic, result, hr))
        _drop_other_crops(crops, images)
    progress(source.count, source.count)
    if not images:
        raise UserError(listed([*([str(unusable)] if unusable else []), *problems], NAMED))
    return images, crops, [*problems, *(unusable.problems if unusable else [])]


def _drop_other_crops(crops, images):
    """Drops all crops but those of the worst and the best images so far, so that memory stays bounded."""
    ranked = worst_to_best([image for image in images if image.name in crops])
    for image in ranked[WORST_AND_BEST:-WORST_AND_BEST]:
        del crops[image.name]


def _crop_middle(image):
    """Crops the middle of an image; smaller images are padded with gray."""
    top, left = (max(0, size - CROP) // 2 for size in image.shape[:2])
    crop = image[top : top + CROP, left : left + CROP]
    square = np.full((CROP, CROP, 3), 128, np.uint8)
    square[: crop.shape[0], : crop.shape[1]] = crop
    return square


def _mean(who, key, images):
    return sum(getattr(image, who)[key] for image in images) / len(images)
