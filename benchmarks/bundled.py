"""Puts a trained network into the package: weights in float16, and a card from its run and from what it measures.

    python -m benchmarks.bundled RUN_DIR --name faithful --config configs/bundled_faithful.yaml \
      --measure Kodak=kodak --measure Set5=Set5 --measure Set14=Set14 --measure BSD100=BSD100

Each set is a folder with `hr` and `lr_x4` (`lr_x2` for a network of that scale), or of images alone; what has no
low resolution of the network's scale is reduced by antialiased bicubic. Refuses a network that loses more than a
hundredth of a dB by float16. The packaged network's figures are printed beside.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from safetensors.numpy import save
from tabulate import tabulate

from esrgan_tf.config import load_config
from esrgan_tf.data import folder_source
from esrgan_tf.evaluation.metrics import psnr, ssim
from esrgan_tf.imaging.resampling import bicubic
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.runs.folder import read_metrics
from esrgan_tf.weights.architecture import recognise_model, to_torch
from esrgan_tf.weights.bundled import bundled_models
from esrgan_tf.weights.interpolation import interpolate
from esrgan_tf.weights.loading import load_model

MADE_FOR = {
    "faithful": "clean images: as near to the truth as pixels can tell, nothing invented",
    "sharp": "clean and slightly degraded images: detail for the eye, some of it invented",
    "photo": "photos as they are, with noise and compression",
    "photo-x2": "photos as they are, with noise and compression",
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
            "Creative Commons of Flickr, photo by photo",
        ],
        ["wallpapers of Budgie, deepin, Solus, Pop!_OS, elementary and MATE", 61, "free licences, photo by photo"],
    ],
    ["photos", "how many", "terms"],
    tablefmt="github",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--name", required=True, choices=MADE_FOR)
    parser.add_argument("--config", required=True, help="the recipe, for the card")
    parser.add_argument("--phase", default="psnr", choices=("psnr", "gan"))
    parser.add_argument("--alpha", type=float, default=1.0, help="how much of it, the rest being of --with")
    parser.add_argument("--with", dest="other", help="the network that is blended with it: a file, or a name")
    parser.add_argument("--on", default="a machine not noted", help="what it was trained on, for the card")
    parser.add_argument("--before", default="", help="what the run went on from, for the card")
    parser.add_argument("--measure", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--write", action="store_true", help="into the package; else only measures")
    arguments = parser.parse_args()
    if arguments.alpha != 1 and not arguments.other:
        parser.error("--alpha blends the network with another: say which by --with")
    phase = arguments.run_dir / arguments.phase
    trained = load_model(phase / "generator.keras")
    if arguments.other:
        trained = interpolate(load_model(arguments.other), trained, arguments.alpha)
    rounded = keras.models.clone_model(trained)
    rounded.set_weights([w.astype(np.float16).astype(np.float32) for w in trained.get_weights()])
    networks = {"trained": trained, "in float16": rounded}
    if arguments.name in bundled_models():
        networks["packaged before"] = load_model(bundled_models()[arguments.name].path)
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
        results = [bicubic(lr, *hr.shape[:2]), *(enlarge(lr) for enlarge in upscalers)]
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
    table = tabulate(
        [[name, *(f"{p:.2f} dB, {s:.4f}" for p, s in (bicubic_, ours))] for name, bicubic_, _, ours, *_ in rows],
        ["luma PSNR, SSIM", "bicubic (Pillow)", arguments.name],
        tablefmt="github",
    )
    before = f", from {arguments.before}" if arguments.before else ""
    return f"""\
# {arguments.name}

Enlarges RGB images {scale} times. Made for {facts["made_for"]}.

| | |
| --- | --- |
| network | `{facts["architecture"]}`, {config.generator.filters} filters, {config.generator.blocks} blocks: \
{int(facts["parameters"]):,} parameters, {size / 1e6:.1f} MB in float16 |
| recipe | `{arguments.config}`, phase `{arguments.phase}`{before} |
| trained for | {int(last["step"]):,} steps of {config.data.batch_size} patches of {config.data.hr_patch}x\
{config.data.hr_patch}, {float(last["seconds"]) / 3600:.1f} hours on {arguments.on} |
| optimizer | {settings.optimizer.capitalize()}, rate {settings.learning_rate:g}, {settings.schedule} |
{terms(settings)}
{table}

By the protocol of `esrgan-tf evaluate`: 8-bit results, {scale} border pixels removed, luma of BT.601. No image of these
sets was trained on; Kodak's are those that training was watched with.

## Trained on

{PHOTOS}
{TAUGHT.get(arguments.name, "")}
The weights are under this project's licence, Apache 2.0. Where the terms of training photos matter to you, train your
own with the recipe.

## Use

```sh
esrgan-tf upscale photo.jpg --model {arguments.name}
```

## Limits

What is not in the pixels is guessed. Do not read text, faces or measurements from the result as if they had been
photographed. {LIMITS[arguments.name]}
"""


def terms(settings) -> str:
    """The losses of the second phase, for the card."""
    if not hasattr(settings, "perceptual_weight"):
        return ""
    layers = ", ".join(f"{weight:g} {layer}" for layer, weight in settings.perceptual_layers.items())
    grids = f"{settings.checkerboard_weight:g} grid, " if settings.checkerboard_weight else ""
    return (
        f"| losses | {grids}{settings.pixel_weight:g} pixel, {settings.perceptual_weight:g} VGG19 ({layers}), "
        f"{settings.adversarial_weight:g} adversarial ({settings.adversarial_loss}) |\n"
    )


TAUGHT = {
    "photo": """
It also learned from another network, as its recipe tells: `realesr-general-x4v3` of Real-ESRGAN (Wang et al., arXiv
2107.10833; BSD 3-Clause). Of its later targets, seven tenths and more are what that network makes.
"""
}
CLEAN = "It was trained on clean reductions: noise and compression artefacts in the input are enlarged with it."
CLEANING = "It was trained to remove noise and compression artefacts, and may take fine texture for such."
LIMITS = {
    "faithful": CLEAN,
    "sharp": "It takes away most of what compression left and of strong noise, but makes faint grain, on\n"
    "skin for instance, finer and stronger.",
    "photo": f"{CLEANING} Some of the texture that it gives is invented.",
    "photo-x2": CLEANING,
}


if __name__ == "__main__":
    main()
