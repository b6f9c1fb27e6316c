"""Adds a trained model to the package: weights in float16, and a model card with the facts and measurements of its run.

    python -m benchmarks.bundled RUN_DIR --name faithful --config configs/bundled_faithful.yaml \
      --measure Kodak=kodak --measure Set5=Set5 --measure Set14=Set14 --measure BSD100=BSD100

Each set is a folder with `hr` and `lr_x4` (`lr_x2` at scale 2), or a folder of HR images. Missing LR images are made by
antialiased bicubic downscaling. A network that loses more than 0.01 dB in float16 is refused. The program also prints
the results of the present bundled model.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from safetensors.numpy import save
from tabulate import tabulate

from esrgan_tf.config import GanConfig, load_config
from esrgan_tf.data import folder_source
from esrgan_tf.evaluation.metrics import psnr, ssim
from esrgan_tf.imaging.resampling import bicubic
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.runs.folder import read_metrics
from esrgan_tf.runs.loading import load_model
from esrgan_tf.training.loss_terms import loss_table
from esrgan_tf.weights.architecture import recognise_model, to_torch
from esrgan_tf.weights.bundled import bundled_models
from esrgan_tf.weights.interpolation import interpolate

MADE_FOR = {
    "faithful": "clean images: highest PSNR, no invented detail",
    "sharp": "clean and slightly degraded images: detail for the eye, partly invented",
    "photo": "real photos with noise and compression",
    "photo-x2": "real photos with noise and compression",
}
PHOTOS = tabulate(
    [
        ["BSDS500 (Arbelaez et al.), its splits `train` and `test`", 400, "research and education"],
        [
            "[imagenet-sample-images](https://github.com/EliSchwartz/imagenet-sample-images): single objects",
            676,
            "ImageNet's: research and education, not commercial",
        ],
        [
            "[COCO](https://github.com/lightly-ai/coco128_yolo): scenes of streets and homes",
            236,
            "Creative Commons of Flickr, per photo",
        ],
        ["wallpapers of Budgie, deepin, Solus, Pop!_OS, elementary and MATE", 61, "free licences, per photo"],
    ],
    ["photos", "number", "terms"],
    tablefmt="github",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--name", required=True, choices=MADE_FOR)
    parser.add_argument("--config", required=True, help="recipe, for the card")
    parser.add_argument("--phase", default="psnr", choices=("psnr", "gan"))
    parser.add_argument("--alpha", type=float, default=1.0, help="share of the run's weights; the rest is --with's")
    parser.add_argument("--with", dest="other", help="network to blend with the run's: a file, or a name")
    parser.add_argument("--on", default="a machine not noted", help="training machine, for the card")
    parser.add_argument("--before", default="", help="the run's start, for the card")
    parser.add_argument("--measure", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--write", action="store_true", help="write to the package instead of measuring only")
    arguments = parser.parse_args()
    if arguments.alpha != 1 and not arguments.other:
        parser.error("--alpha needs --with, the network to blend with")
    phase = arguments.run_dir / arguments.phase
    trained = load_model(phase / "generator.keras")
    if arguments.other:
        trained = interpolate(load_model(arguments.other), trained, arguments.alpha)
    rounded = keras.models.clone_model(trained)
    rounded.set_weights([w.astype(np.float16).astype(np.float32) for w in trained.get_weights()])
    networks = {"trained": trained, "in float16": rounded}
    if arguments.name in bundled_models():
        networks["bundled now"] = load_model(bundled_models()[arguments.name].path)
    rows = []
    for text in arguments.measure:
        name, _, folder = text.partition("=")
        rows.append([name, *measured(Path(folder), networks)])
        print(tabulate([rows[-1]], ["set", "bicubic", *networks], tablefmt="plain"), flush=True)
        (before, _), (after, _) = rows[-1][2:4]
        if before - after > 0.01:
            raise SystemExit(f"{name}: float16 costs {before - after:.3f} dB")
    if arguments.write:
        write(arguments, rounded, phase, rows)


def measured(folder: Path, networks: dict) -> list[tuple[float, float]]:
    """Mean luma PSNR and SSIM of bicubic and of each network, by the protocol of `evaluate`."""
    upscalers = [Upscaler(network) for network in networks.values()]
    scale = upscalers[0].scale
    hr_dir = folder / "hr" if (folder / "hr").is_dir() else folder
    lr_dir = folder / f"lr_x{scale}"
    source = folder_source(str(hr_dir), str(lr_dir) if lr_dir.is_dir() else None, scale)
    scores = []
    for _, lr, hr in source.pairs():
        results = [bicubic(lr, *hr.shape[:2]), *(upscale(lr) for upscale in upscalers)]
        scores.append([(psnr(hr, sr, border=scale), ssim(hr, sr, border=scale)) for sr in results])
    return [tuple(round(float(value), 4) for value in pair) for pair in np.mean(scores, axis=0)]


def write(arguments, model, phase, rows):
    architecture = recognise_model(model)
    facts = {
        "architecture": architecture.family.name,
        "scale": str(architecture.options.scale),
        "parameters": str(model.count_params()),
        "licence": "Apache-2.0",
        "made_for": MADE_FOR[arguments.name],
    }
    styled = architecture.styled(architecture.style_to_write)
    state = to_torch(styled, {v.path: np.asarray(v) for v in model.weights})
    path = Path(__file__).parents[1] / "esrgan_tf" / "weights" / "bundled_weights" / f"{arguments.name}.safetensors"
    path.write_bytes(save({n: np.ascontiguousarray(t, np.float16) for n, t in state.items()}, metadata=facts))
    path.with_suffix(".md").write_text(card(arguments, facts, phase, rows, path.stat().st_size), encoding="utf-8")
    print(f"written: {path}, {path.stat().st_size / 1e6:.2f} MB")


def card(arguments, facts, phase, rows, size):
    config, last = load_config(arguments.run_dir / "config.yaml"), read_metrics(phase)[-1]
    settings, scale = getattr(config, arguments.phase), facts["scale"]
    name = arguments.name
    losses = f"\n{loss_table(settings)}" if isinstance(settings, GanConfig) else ""
    table = tabulate(
        [
            [title, f"{bicubic_[0]:.2f} dB", f"{ours[0]:.2f} dB", f"{bicubic_[1]:.4f}", f"{ours[1]:.4f}"]
            for title, bicubic_, _, ours, *_ in rows
        ],
        ["images", "bicubic PSNR", f"{name} PSNR", "bicubic SSIM", f"{name} SSIM"],
        tablefmt="github",
        disable_numparse=True,
    )
    before = f"| start | {arguments.before} |\n" if arguments.before else ""
    return f"""\
# {name}

Upscales RGB images by {scale}. Made for {facts["made_for"]}.

| | |
| --- | --- |
| network | `{facts["architecture"]}`, {config.generator.filters} filters, {config.generator.blocks} blocks: \
{int(facts["parameters"]):,} parameters |
| size | {size / 1e6:.1f} MB in float16 |
| recipe | `{arguments.config}`, phase `{arguments.phase}` |
{before}| training | {int(last["step"]):,} steps of {config.data.batch_size} patches of {config.data.hr_patch}x\
{config.data.hr_patch} |
| time | {float(last["seconds"]) / 3600:.1f} hours on {arguments.on} |
| optimizer | {settings.optimizer.capitalize()}, learning rate {settings.learning_rate:g}, {settings.schedule} |
{losses}
{table}

The protocol is that of `esrgan-tf evaluate`: 8-bit results, {scale} border pixels removed, luma of BT.601. The training
used no image of these sets. Kodak's photos were its validation images.

## Trained on

{PHOTOS}
{TEACHERS.get(name, "")}
The weights have this project's licence, Apache 2.0. If the terms of the training photos matter to you, train a model of
your own with the recipe.

## Use

```sh
esrgan-tf upscale photo.jpg --model {name}
```

## Limits

The network invents detail that the input lacks. Do not trust text, faces or measurements in the result.
{LIMITS[name]}
"""


TEACHERS = {
    "photo": """
The model was also distilled from `realesr-general-x4v3` of Real-ESRGAN (Wang et al., arXiv 2107.10833; BSD 3-Clause).
In the later trainings, at least 0.7 of each target is the result of that network.
"""
}
CLEAN = "It was trained on clean downscaled images, so it upscales noise and compression artefacts as well."
DENOISING = "It was trained to remove noise and compression artefacts, and can remove fine texture with them."
LIMITS = {
    "faithful": CLEAN,
    "sharp": "It removes most compression artefacts and strong noise. It makes faint grain finer and stronger, for "
    "example on skin.",
    "photo": f"{DENOISING}\nSome of its texture is invented.",
    "photo-x2": DENOISING,
}


if __name__ == "__main__":
    main()
