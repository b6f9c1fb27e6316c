"""The model card of an export, from the facts of its run."""

from collections.abc import Collection
from pathlib import Path

from esrgan_tf.config import Config, GanConfig
from esrgan_tf.runs.folder import PHASES, checkpoint_steps, read_metrics
from esrgan_tf.runs.starts import recorded_start
from esrgan_tf.training.loss_terms import loss_table

_DATA = {
    "div2k": "DIV2K (Agustsson and Timofte, 2017), 800 training images{given}",
    "folder": "a folder of images{given}",
    "synthetic": "synthetic dead-leaves images from a seed; no photos",
}
_DEGRADED = {
    "none": "",
    "jpeg": ", then JPEG",
    "noise": ", then Gaussian noise",
    "second_order": "; LR images made by blur, resizing, noise and JPEG in two rounds (Real-ESRGAN, arXiv 2107.10833)",
}
_LIMITS = {
    "none": "It was trained on clean downscaled images, so it upscales noise and compression artefacts as well.",
    "jpeg": "It was trained on downscaled images with JPEG artefacts, so it upscales blur and noise as well.",
    "noise": "It was trained to remove noise, so it upscales blur and compression artefacts as well.",
    "second_order": "It was trained to remove blur, noise and JPEG artefacts, and can remove fine texture with them.",
}


def model_card(name: str, config: Config, alpha: float, parameters: int, run_dir: Path, phases: Collection[str]) -> str:
    """Returns the card as Markdown.

    Args:
        name: the model's title.
        config: the run's configuration.
        alpha: the exported interpolation.
        parameters: the generator's number of parameters.
        run_dir: the run's folder.
        phases: the exported phases.
    """
    data, generator, scale = config.data, config.generator, config.generator.scale
    kind = config.degradation.kind
    taken, made = generator.channels_in_and_out
    level = condition = ""
    if taken == made + 1:
        level = "\nimage = tf.concat([image, 5 * tf.ones_like(image[..., :1])], axis=-1)  # noise level: 5 of 255"
        condition = " (RGB, and the standard deviation of its noise)"
    degraded = "" if kind == "none" or data.val_lr_dir else " The validation images are degraded as in training."
    rows = "\n".join(_row(run_dir / phase, getattr(config, phase)) for phase in phases)
    return f"""# {name}

Upscales RGB images by {scale}. A generator of the ESRGAN family (Wang et al., arXiv 1809.00219).

| | |
| --- | --- |
| architecture | {", ".join([generator.title, *generator.sizes(), *generator.packed()])} |
| parameters | {parameters:,} |
| interpolation | alpha {alpha:g}: {1 - alpha:g} of the PSNR network's weights, {alpha:g} of the GAN network's |
{_starts(run_dir, phases)}| trained on | {_trained_on(config)}{_DEGRADED[kind]} |
| batch | {data.batch_size} patches of {data.hr_patch}x{data.hr_patch} pixels |

## Training

| phase | steps | learning rate | validation PSNR | validation SSIM |
| --- | --- | --- | --- | --- |
{rows}

PSNR in dB and SSIM are of each phase's own network, before interpolation. They are computed on the luma of whole
validation images, with {scale} border pixels cropped.{degraded}
{_objective(config.gan) if "gan" in phases else ""}
## Use

```python
import tensorflow as tf
import tensorflow_hub as hub

model = hub.load("PATH")
image = tf.io.decode_image(tf.io.read_file("photo.png"), channels=3)[tf.newaxis]{level}
upscaled = model.signatures["uint8"](image=image)["super_resolution"]  # uint8 [1, {scale} * H, {scale} * W, 3]
```

`model(x)` and the signature `serving_default` map float32 `[B, H, W, {taken}]` in [0, 255]{condition} to float32
`[B, {scale} * H, {scale} * W, 3]`, not clipped. Gradients reach `model.trainable_variables`.

## Limits

The network invents plausible detail. Do not trust text, faces or measurements in its output.
{_LIMITS[kind]}
"""


def _trained_on(config: Config) -> str:
    data, given = config.data, ""
    if config.degradation.kind != "second_order":
        if data.source == "div2k":
            given = ", bicubic downscaling"
        else:
            given = f", LR images {'given' if data.lr_dir else 'made by antialiased bicubic downscaling'}"
    return _DATA[data.source].format(given=given)


def _objective(gan: GanConfig) -> str:
    sharpened = "\nThe targets of the pixel and perceptual losses are sharpened.\n" if gan.sharpen_targets else ""
    return f"\n{loss_table(gan)}{sharpened}"


def _starts(run_dir: Path, phases: Collection[str]) -> str:
    """A row per phase that started from another file, with the file's name."""
    rows = []
    for phase in PHASES:
        # Without a start of phase gan, the GAN network descends from the PSNR network, even if that is not exported.
        descends = phase in phases or recorded_start(run_dir / "gan") is None
        started = recorded_start(run_dir / phase)
        if started is not None and descends:
            rows.append(f"| phase {phase} started from | {Path(started).name} |\n")
    return "".join(rows)


def _row(folder, phase_config):
    """The row of the saved network. Records can continue after its step, and validations can stop before it."""
    saved = max(checkpoint_steps(folder / "checkpoints"), default=None)
    rows = []
    if saved is not None:
        rows = [row for row in read_metrics(folder) if int(row["step"]) <= saved and row["psnr"]]
    psnr, ssim = (f"{float(rows[-1]['psnr']):.2f}", f"{float(rows[-1]['ssim']):.4f}") if rows else ("-", "-")
    if rows and int(rows[-1]["step"]) != saved:
        psnr += f" at step {rows[-1]['step']}"
    steps = "unknown" if saved is None else saved
    return f"| {folder.name} | {steps} | {phase_config.learning_rate:g}, {phase_config.schedule} | {psnr} | {ssim} |"
