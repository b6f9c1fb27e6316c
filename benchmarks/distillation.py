"""Distils a teacher into an upscaler in several stages; the command resumes an interrupted run.

    python -m benchmarks.distillation runs/next --photos photos --kodak kodak \
      --teacher RealESRGAN_x4plus.safetensors --vgg19 vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5

The program writes a stage's data (`benchmarks.distillation_data`), then trains the stage with `esrgan-tf train`, from
the network of the previous stage. Every two hours it copies the generator to `runs/next/snapshots`. Ctrl-C, or SIGINT
to the process group, ends it after the current step, with a checkpoint. `--status` prints the steps per stage. `--keep
FILE` writes the newest generator to a file in float16, as a backup:

    python -m benchmarks.distillation runs/next --keep benchmarks/next_photo.safetensors

On another machine, `--resume_from benchmarks/next_photo.safetensors` skips the stages before the file's stage, and
starts the file's stage from its weights.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.distillation_data import TRUTH
from esrgan_tf.runs.folder import checkpoint_steps, read_metrics

CONFIG = Path(__file__).parent.parent / "configs" / "bundled_next.yaml"
SNAPSHOT_HOURS = 2
VALIDATION_CROPS = 47  # all crops of Kodak's photos


@dataclass(frozen=True)
class Stage:
    """One run: phase, steps, number of crops, settings beside the configuration, and whether photos are targets too."""

    name: str
    phase: str
    steps: int
    crops: int
    settings: dict = field(default_factory=dict)
    truth: bool = False


STAGES = [
    Stage("pixels", "psnr", 12_000, 800, {"psnr.decay_steps": [7_000, 9_000, 11_000]}),
    Stage("pixels_2", "psnr", 50_000, 4_000, {"data.hr_patch": 192, "psnr.decay_steps": [30_000, 40_000]}),
    Stage("pixels_3", "psnr", 40_000, 12_000, {"data.hr_patch": 192, "psnr.schedule": "cosine"}),
    # VGG19's features without a discriminator: the adversarial weight is 0, and the discriminator is the smallest.
    Stage("features", "gan", 15_000, 12_000, {"gan.adversarial_weight": 0.0, "discriminator.filters": 1}),
    Stage("adversarial", "gan", 30_000, 12_000, truth=True),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--photos", type=Path, help="folder of training photos")
    parser.add_argument("--kodak", type=Path, help="folder of Kodak's photos, for validation")
    parser.add_argument("--teacher", help="a file, or a name of `esrgan-tf models`")
    parser.add_argument("--vgg19", default="imagenet", help="Keras' notop .h5 file; by default Keras downloads it")
    parser.add_argument("--precision", default="mixed_bfloat16", help="runtime.precision of the stages")
    parser.add_argument("--resume_from", type=Path, help="a file of --keep, if the runs are lost")
    parser.add_argument("--status", action="store_true", help="print the steps and the newest validation per stage")
    parser.add_argument("--keep", type=Path, help="write the newest generator to this .safetensors file")
    arguments = parser.parse_args()
    if arguments.keep:
        keep(arguments.runs, arguments.keep)
        return
    if arguments.status:
        print_status(arguments.runs)
        return
    if not (arguments.photos and arguments.kodak and arguments.teacher):
        parser.error("--photos, --kodak and --teacher are needed")
    # The programs run in the repository's folder, so relative paths become absolute.
    for name in ("runs", "photos", "kodak", "teacher", "vgg19", "resume_from"):
        value = getattr(arguments, name)
        if name == "runs" or (value is not None and Path(value).exists()):
            setattr(arguments, name, Path(getattr(arguments, name)).resolve())
    run = _Run(arguments)
    signal.signal(signal.SIGINT, run.stop)
    signal.signal(signal.SIGTERM, run.stop)
    run.run_stages()


class _Run:
    """Runs the programs of all stages in turn. A stop signal reaches the running program through the process group."""

    def __init__(self, arguments):
        self._arguments = arguments
        self._runs, self._stopping = arguments.runs, False

    def stop(self, signum, _):
        """The signals' handler."""
        self._stopping = True

    def run_stages(self) -> None:
        """Runs the stages that are not done, until a signal stops it."""
        arguments = self._arguments
        resumed = None if arguments.resume_from is None else _stage_of(arguments.resume_from)
        first = 0 if resumed is None else [stage.name for stage in STAGES].index(resumed)
        self._write_data(arguments.kodak, "validation", VALIDATION_CROPS)
        for i, stage in enumerate(STAGES):
            if i < first or _done(self._runs, stage):
                continue
            self._write_data(arguments.photos, "pairs", stage.crops)
            if stage.truth:
                pairs = str(self._runs / "pairs")
                self._call("-m", "benchmarks.distillation_data", "truth", str(arguments.photos), pairs)
            start = self._generator(STAGES[i - 1]) if i else None
            if stage.name == resumed:
                start = arguments.resume_from
            while not self._stopping and not _done(self._runs, stage):
                self._train(stage, start)
                snapshot(self._runs, stage)
            if self._stopping:
                return

    def _write_data(self, photos, name, crops) -> None:
        """Writes pairs to `runs/NAME` until it has `crops` pairs, with as many variants of the photos as needed."""
        pairs, tool = self._runs / name, "benchmarks.distillation_data"
        variant = 0
        while not self._stopping and _count(pairs / "hr") < crops:
            if (before := _count(pairs / "degraded")) < crops:
                self._call("-m", tool, "inputs", str(photos), str(pairs), "--variants", str(variant))
                if variant > 100 and _count(pairs / "degraded") == before:
                    raise SystemExit(f"{photos} yields {before} crops; {crops} are needed, so add photos")
                variant += 1
                continue
            self._call("-m", tool, "teach", str(pairs), "--model", str(self._arguments.teacher), "--crops", str(crops))
            self._call("-m", tool, "targets", str(pairs))

    def _generator(self, stage):
        return self._runs / stage.name / stage.phase / "generator.keras"

    def _train(self, stage, start) -> None:
        runs = self._runs
        settings = {
            "data.hr_dir": runs / "pairs" / "hr",
            "data.lr_dir": runs / "pairs" / "lr",
            "data.val_hr_dir": runs / "validation" / "hr",
            "data.val_lr_dir": runs / "validation" / "lr",
            "data.cache_dir": runs / "cache",
            "gan.vgg_weights": self._arguments.vgg19,
            "runtime.precision": self._arguments.precision,
            f"{stage.phase}.steps": stage.steps,
            **stage.settings,
        }
        command = ["train.py", "--phase", stage.phase, "--config", CONFIG, "--run_dir", runs / stage.name]
        command += ["--max_hours", SNAPSHOT_HOURS, "--allow_changes"]
        command += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        if start is not None:
            command += ["--init_from", start]
        self._call(*map(str, command))

    def _call(self, *command: str) -> None:
        """Runs a Python program to its end.

        Raises:
            SystemExit: it fails.
        """
        if self._stopping:
            return
        print(f"{time.strftime('%F %T')} python {' '.join(command)}", flush=True)
        code = subprocess.run([sys.executable, *command], cwd=CONFIG.parent.parent, check=False).returncode
        if code and not self._stopping:
            raise SystemExit(f"exit status {code}: {' '.join(command)}")


def snapshot(runs: Path, stage: Stage) -> None:
    """Copies the stage's generator to `snapshots/STAGE-STEP.keras`."""
    generator = runs / stage.name / stage.phase / "generator.keras"
    if generator.exists():
        (runs / "snapshots").mkdir(exist_ok=True)
        shutil.copyfile(generator, runs / "snapshots" / f"{stage.name}-{_steps(runs, stage)}.keras")


def keep(runs: Path, file: Path) -> None:
    """Writes the newest stage's generator as float16 weights with PyTorch's names, a file for `upscale --model`."""
    from safetensors.numpy import load_file, save_file

    from esrgan_tf.files import replacing
    from esrgan_tf.runs.loading import load_model
    from esrgan_tf.weights.torch_files import save_torch

    stage = next((stage for stage in reversed(STAGES) if _steps(runs, stage)), None)
    if stage is None:
        raise SystemExit(f"{runs} has no checkpoint yet")
    model = load_model(runs / stage.name / stage.phase / "generator.keras")
    with tempfile.TemporaryDirectory() as folder, replacing(file) as staging:
        save_torch(model, Path(folder) / "float32.safetensors")
        state = {n: t.astype("float16") for n, t in load_file(Path(folder) / "float32.safetensors").items()}
        save_file(state, staging, {"stage": stage.name, "steps": str(_steps(runs, stage))})
    print(f"{file}: stage {stage.name}, {_steps(runs, stage)} steps, {file.stat().st_size / 1e6:.1f} MB")


def print_status(runs: Path) -> None:
    """Prints a line per stage: the steps and the newest validation PSNR."""
    for stage in STAGES:
        steps = _steps(runs, stage)
        rows = [row for row in read_metrics(runs / stage.name / stage.phase) if row.get("psnr")]
        newest = f", {float(rows[-1]['psnr']):.2f} dB to the teacher at step {rows[-1]['step']}" if rows else ""
        print(f"{stage.name}: {steps} of {stage.steps} steps{newest}")


def _stage_of(file):
    from safetensors import safe_open

    with safe_open(file, "numpy") as opened:
        return opened.metadata()["stage"]


def _count(folder):
    return sum(not path.name.startswith(TRUTH) for path in folder.glob("*.png"))


def _steps(runs, stage):
    return max(checkpoint_steps(runs / stage.name / stage.phase / "checkpoints"), default=0)


def _done(runs, stage):
    return _steps(runs, stage) >= stage.steps


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
