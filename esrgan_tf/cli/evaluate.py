"""`esrgan-tf evaluate`: PSNR and SSIM of a model on a folder of images, by the field's protocol."""

import csv
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags
from tabulate import tabulate

from esrgan_tf.cli.common import define_models_dir, named_model, parse
from esrgan_tf.errors import UserError, first_line, listed, printable
from esrgan_tf.files import check_folder
from esrgan_tf.quiet import quiet_tensorflow

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "model", None,
    ".keras file, SavedModel folder, run folder, PyTorch weights (.safetensors, .pth), or a name of `models`.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string("hr_dir", None, "Folder of high-resolution images.", flag_values=FLAGS)
flags.DEFINE_string(
    "lr_dir", None, "Their low-resolution partners, of the same names; else made by bicubic reduction.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_multi_string("report", [], "Also write the table to this .json or .csv. Repeat it.", flag_values=FLAGS)
flags.DEFINE_string("comparison_grid", None, "Also write the images side by side to this .png.", flag_values=FLAGS)
define_models_dir(FLAGS)
flags.mark_flags_as_required(["model", "hr_dir"], flag_values=FLAGS)

_KEYS = ("--hr_dir", "--lr_dir")
_TITLES = {"psnr_y": "PSNR Y", "ssim_y": "SSIM Y", "psnr_rgb": "PSNR RGB", "ssim_rgb": "SSIM RGB", "lpips": "LPIPS"}
_FORMATS = {"psnr_y": ".2f", "ssim_y": ".4f", "psnr_rgb": ".2f", "ssim_rgb": ".4f", "lpips": ".4f"}
_GRID_ROWS = 6
_SIDE = 160


def main(argv: list[str]) -> None:
    """Measures as the flags say. See `esrgan-tf evaluate --help`."""
    extra = parse(FLAGS, argv, "evaluate --model M --hr_dir D [--lr_dir D] [--report F.json] [--comparison_grid F.png]")
    if extra:
        raise UserError(f"evaluate takes flags only; what is {extra[0]!r}?")
    outputs = [(path, (".json", ".csv")) for path in FLAGS.report] + (
        [(FLAGS.comparison_grid, (".png",))] if FLAGS.comparison_grid else []
    )
    for path, extensions in outputs:
        if Path(path).suffix.lower() not in extensions:
            raise UserError(f"{path}: must end in {' or '.join(extensions)}")
        check_folder(Path(path))
    place = named_model(FLAGS, "model")

    with quiet_tensorflow():
        from esrgan_tf.data import folder_source
        from esrgan_tf.inference.tiles import Upscaler
        from esrgan_tf.weights.loading import load_model
        from esrgan_tf.weights.torch_files import describe

    folder_source(FLAGS.hr_dir, None, 1, keys=_KEYS)  # no folder, no image: said before the model is read
    model = load_model(place)
    upscaler = Upscaler(model)
    if {upscaler.channels, model.outputs[0].shape[-1]} != {3}:
        raise UserError(f"--model {FLAGS.model}: {describe(model)}; evaluation is on RGB")
    protocol = _protocol(upscaler.scale)
    print(f"{FLAGS.model}: {describe(model)}\n{protocol}\n")
    source = folder_source(FLAGS.hr_dir, FLAGS.lr_dir, upscaler.scale, keys=_KEYS)
    lpips = _lpips()
    protocol += "" if lpips is None else "; LPIPS of AlexNet, version 0.1"
    images, crops, problems = _measured(source, upscaler, lpips)

    measures = list(images[0]["model"])
    exact = [image for image in images if math.inf in (*image["model"].values(), *image["bicubic"].values())]
    finite = [image for image in images if image not in exact]
    means = {who: _means(who, measures, images, finite) for who in ("model", "bicubic")}
    note = ""
    if exact and finite:
        names = listed([image["name"] for image in exact], 3)
        note = (
            f"the mean PSNR leaves out {len(exact)} of {len(images)} images, exact by the model or by bicubic: {names}"
        )
        protocol += f"; {note}"
    rows = [[image["name"], *image["model"].values()] for image in images]
    rows += [[f"mean of {len(images)}", *means["model"].values()], ["bicubic, mean", *means["bicubic"].values()]]
    formats = ("", *(_FORMATS[measure] for measure in measures))
    print(tabulate(rows, ["image", *(_TITLES[measure] for measure in measures)], floatfmt=formats))
    if note:
        print(note)
    report = {"model": printable(FLAGS.model), "protocol": protocol, "images": images, "mean": means}
    for path in map(Path, FLAGS.report):
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_json(path, report) if path.suffix.lower() == ".json" else _write_csv(path, report)
    if FLAGS.comparison_grid:
        Path(FLAGS.comparison_grid).parent.mkdir(parents=True, exist_ok=True)
        _write_comparison_grid(Path(FLAGS.comparison_grid), report, crops)
    for problem in problems:
        print(f"esrgan-tf: left out: {printable(problem)}", file=sys.stderr)
    if problems:
        raise SystemExit(1)


def _protocol(scale: int) -> str:
    low = "given" if FLAGS.lr_dir else "made by Pillow's antialiased bicubic, HR cropped to a multiple of the scale"
    return (
        f"protocol: 8-bit output, {scale} pixels of border removed; Y is BT.601 studio-range luma; SSIM with an 11x11 "
        f"Gaussian window of sigma 1.5 where it fits whole, of RGB the mean over channels; low resolution {low}"
    )


def _measured(source, upscaler, lpips: Callable | None) -> tuple[list[dict], dict[str, list], list[str]]:
    """The measures of every image, of each what the contact sheet shows, and a line for each that was not measured.

    Raises:
        UserError: no image could be measured.
    """
    from tqdm import tqdm

    from esrgan_tf.data.store import NAMED, UnusableImages
    from esrgan_tf.evaluation.metrics import psnr, ssim
    from esrgan_tf.imaging.resampling import bicubic

    scale, images, crops, problems, unusable = upscaler.scale, [], {}, [], None

    def pairs():
        nonlocal unusable
        try:
            yield from source.pairs()
        except UnusableImages as error:  # the source names broken files at its end
            unusable = error

    for path, lr, hr in tqdm(pairs(), total=source.count, unit="image", disable=None, leave=False):
        name = printable(path)
        if min(hr.shape[:2]) < 2 * scale + 11:
            small = f"{name} is {hr.shape[1]}x{hr.shape[0]}; SSIM needs {2 * scale + 11} pixels on both sides"
            problems.append(small)
            continue
        entry: dict[str, Any] = {"name": name}
        try:
            results = {"model": upscaler(lr), "bicubic": bicubic(lr, *hr.shape[:2])}
            for who, result in results.items():
                entry[who] = {
                    f"{measure.__name__}_{channels}": measure(hr, result, scale, channels)
                    for channels in ("y", "rgb")
                    for measure in (psnr, ssim)
                }
                if lpips is not None:
                    entry[who]["lpips"] = lpips(hr, result)
        except Exception as error:  # whatever one image does ends that image; the others are measured
            words = "there is not enough memory for it" if isinstance(error, MemoryError) else first_line(error)
            problems.append(f"{name}: {words}")
            continue
        images.append(entry)
        pixels = lr.repeat(scale, axis=0).repeat(scale, axis=1)
        crops[name] = [_middle(image) for image in (pixels, results["bicubic"], results["model"], hr)]
    if not images:
        raise UserError(listed([*([str(unusable)] if unusable else []), *problems], NAMED))
    return images, crops, [*problems, *(unusable.problems if unusable else [])]


def _middle(image):
    """The middle of an image, on gray where it is smaller."""
    import numpy as np

    top, left = (max(0, size - _SIDE) // 2 for size in image.shape[:2])
    piece = image[top : top + _SIDE, left : left + _SIDE]
    square = np.full((_SIDE, _SIDE, 3), 128, np.uint8)
    square[: piece.shape[0], : piece.shape[1]] = piece
    return square


def _lpips() -> Callable | None:
    """LPIPS (Zhang et al., arXiv 1801.03924) on AlexNet, of two uint8 images; None where it cannot be had."""
    try:
        import lpips
        import torch

        network = lpips.LPIPS(net="alex", verbose=False)
    except (ImportError, OSError) as error:  # no package, or no way to AlexNet's weights
        print(f"LPIPS is left out: it needs the packages lpips and torchvision, and AlexNet's weights ({error})\n")
        return None

    def distance(hr, sr) -> float:
        # It takes [B, 3, H, W] in [-1, 1].
        pair = [torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1.0 for image in (hr, sr)]
        with torch.no_grad():
            return float(network(*pair))

    return distance


def _means(who, measures, images, finite):
    """PSNR's over the images where it is finite for the model and for bicubic, so that both means are of the same."""
    means = {}
    for measure in measures:
        counted = finite or images if measure.startswith("psnr") else images
        means[measure] = sum(image[who][measure] for image in counted) / len(counted)
    return means


def _write_json(path, report):
    def plain(value):  # a perfect image has infinite PSNR, which JSON cannot say
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return None if value == math.inf else value

    path.write_text(json.dumps(plain(report), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _write_csv(path, report):
    with open(path, "w", newline="", encoding="utf-8") as file:
        file.write(f"# {report['model']}: {report['protocol']}\n")
        measures = list(report["mean"]["model"])
        writer = csv.writer(file)
        writer.writerow(["image", *measures, *(f"bicubic_{measure}" for measure in measures)])
        for image in (*report["images"], {"name": "mean", **report["mean"]}):
            writer.writerow([image["name"], *image["model"].values(), *image["bicubic"].values()])


def _write_comparison_grid(path, report, crops):
    """The worst and the best images, by luma PSNR."""
    import numpy as np
    from PIL import Image

    from esrgan_tf.imaging.drawing import side_by_side, text_line

    ranked = sorted(report["images"], key=lambda image: image["model"]["psnr_y"])
    half = _GRID_ROWS // 2
    shown = ranked if len(ranked) <= _GRID_ROWS else ranked[:half] + ranked[-half:]
    captions = []
    for image in shown:
        rank = "worst" if image is ranked[0] else "best" if image is ranked[-1] else ranked.index(image) + 1
        ours, cubic = image["model"], image["bicubic"]
        captions.append(
            f"{rank} of {len(ranked)}: {image['name']}, {ours['psnr_y']:.2f} dB, SSIM {ours['ssim_y']:.4f} "
            f"(bicubic {cubic['psnr_y']:.2f} dB, {cubic['ssim_y']:.4f})"
        )
    titles = ("low resolution", "bicubic", "model", "truth")
    sheet = side_by_side([crops[image["name"]] for image in shown], titles, captions=captions)
    words, lines = f"{Path(report['model']).name}, {report['protocol']}".split(), [""]
    for word in words:
        lines = [*lines[:-1], f"{lines[-1]} {word}".strip()] if len(lines[-1]) + len(word) < 125 else [*lines, word]
    header = [text_line(sheet.shape[1], {0: line}) for line in lines]
    Image.fromarray(np.concatenate([*header, sheet])).save(path)
