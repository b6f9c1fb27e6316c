"""The card of a published model, from the facts of its run."""

from pathlib import Path

from esrgan_tf.config import Config, GanConfig
from esrgan_tf.runs.folder import checkpoint_steps, read_metrics

_DATA = {
    "div2k": "DIV2K (Agustsson and Timofte, 2017), 800 training images{given}",
    "folder": "a folder of images{given}",
    "synthetic": "synthetic dead-leaves images made from a seed; no photo",
}
_DEGRADED = {
    "none": "",
    "jpeg": ", then JPEG",
    "noise": ", then Gaussian noise",
    "second_order": "; reduced by blur, resizing, noise and JPEG, twice (Real-ESRGAN, arXiv 2107.10833)",
}
_LIMITS = {
    "none": "It was trained on clean reductions: noise and compression artefacts in the input are enlarged with it.",
    "jpeg": "It was trained on reductions with JPEG artefacts: blur and noise in the input are enlarged with it.",
    "noise": "It was trained to remove noise: blur and compression artefacts in the input are enlarged with it.",
    "second_order": "It was trained to remove blur, noise and JPEG artefacts, and may take fine texture for such.",
}


def model_card(name: str, config: Config, alpha: float, parameters: int, records: dict[str, Path]) -> str:
    """Writes the card as Markdown.

    Args:
        name: the model's title.
        config: the run's configuration.
        alpha: the interpolation that is exported.
        parameters: how many weights the generator has.
        records: `{phase: metrics.csv}` of the phases that went into the export.
    """
    data, generator, scale = config.data, config.generator, config.generator.scale
    kind = config.degradation.kind
    taken, made = generator.channels_in_and_out
    level = condition = ""
    if taken == made + 1:
        level = "\nimage = tf.concat([image, 5 * tf.ones_like(image[..., :1])], axis=-1)  # the noise: 5 of 255"
        condition = " (RGB, and the standard deviation of its noise)"
    likewise = "" if kind == "none" or data.val_lr_dir else ", with low resolution degraded as in training"
    rows = "\n".join(_row(phase, path, getattr(config, phase)) for phase, path in records.items())
    return f"""# {name}

Enlarges RGB images {scale} times. A generator of the ESRGAN family (Wang et al., arXiv 1809.00219).

| | |
| --- | --- |
| architecture | {", ".join([generator.title, *generator.sizes(), *generator.packed()])} |
| parameters | {parameters:,} |
| interpolation | alpha {alpha:g}: {1 - alpha:g} of the PSNR network, {alpha:g} of the GAN network, weight by weight |
{_starts(records)}| trained on | {_trained_on(config)}{_DEGRADED[kind]} |
| batch | {data.batch_size} patches of {data.hr_patch}x{data.hr_patch} pixels |

## Training

| phase | steps | learning rate | validation PSNR | validation SSIM |
| --- | --- | --- | --- | --- |
{rows}

PSNR in dB and SSIM on the luma of whole validation images, {scale} border pixels cropped, measured on each phase's own
network before interpolation{likewise}. {_objective(config.gan) if "gan" in records else ""}

## Use

```python
import tensorflow as tf
import tensorflow_hub as hub

model = hub.load("PATH")
image = tf.io.decode_image(tf.io.read_file("photo.png"), channels=3)[tf.newaxis]{level}
enlarged = model.signatures["uint8"](image=image)["super_resolution"]  # uint8 [1, {scale} * H, {scale} * W, 3]
```

`model(x)` and the signature `serving_default` map float32 `[B, H, W, {taken}]` in [0, 255]{condition} to float32
`[B, {scale} * H, {scale} * W, 3]`, not clipped; gradients reach `model.trainable_variables`.

## Limits

The network invents plausible detail. Do not read text, faces or measurements from its output as if they had been
photographed. {_LIMITS[kind]}
"""


def _trained_on(config: Config) -> str:
    data, given = config.data, ""
    if config.degradation.kind != "second_order":
        if data.source == "div2k":
            given = ", bicubic reduction"
        else:
            given = f", low resolution {'given' if data.lr_dir else 'made by antialiased bicubic reduction'}"
    return _DATA[data.source].format(given=given)


def _objective(gan: GanConfig) -> str:
    layers = ", ".join(f"{layer} ({weight:g})" for layer, weight in gan.perceptual_layers.items())
    squared = {"l1": "", "l2": ", squared"}
    objective = (
        f"Phase `gan` weighs its losses {gan.pixel_weight:g} (pixel{squared[gan.pixel_loss]}), "
        f"{gan.perceptual_weight:g} (perceptual{f', VGG19 {layers}' if gan.perceptual_weight else ''}"
        f"{squared[gan.perceptual_loss]}), {gan.adversarial_weight:g} (adversarial"
        f"{', not relativistic' if gan.adversarial_loss == 'plain' else ''})."
    )
    if gan.checkerboard_weight:
        objective += f" A loss on what repeats with every input pixel weighs {gan.checkerboard_weight:g}."
    if gan.sharpen_targets:
        objective += " Targets of pixel and perceptual losses are sharpened."
    return objective


def _starts(records: dict[str, Path]) -> str:
    """A row for each phase that was started from somebody's file, by the file's name."""
    rows = []
    for phase in ("psnr", "gan"):
        # The GAN network descends from the PSNR network even where that is not exported, unless it has its own start.
        paths = [path.parents[1] / phase / "init_from.txt" for path in records.values()]
        descends = phase in records or not (paths[0].parents[1] / "gan" / "init_from.txt").is_file()
        if paths[0].is_file() and descends:
            name = Path(paths[0].read_text(encoding="utf-8", errors="replace").strip()).name
            rows.append(f"| phase {phase} started from | {name} |\n")
    return "".join(rows)


def _row(phase, path, phase_config):
    """The facts of the network that was saved: records may run on past it, and measurements stop before it."""
    saved = max(checkpoint_steps(path.parent / "checkpoints"), default=None)
    rows = []
    if saved is not None:
        rows = [row for row in read_metrics(path.parent) if int(row["step"]) <= saved and row["psnr"]]
    psnr, ssim = (f"{float(rows[-1]['psnr']):.2f}", f"{float(rows[-1]['ssim']):.4f}") if rows else ("-", "-")
    if rows and int(rows[-1]["step"]) != saved:
        psnr += f" at step {rows[-1]['step']}"
    steps = "unknown" if saved is None else saved
    return f"| {phase} | {steps} | {phase_config.learning_rate:g}, {phase_config.schedule} | {psnr} | {ssim} |"
