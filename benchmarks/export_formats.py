"""Exported models in their runtimes: differences from Keras, file sizes and seconds.

    python -m benchmarks.export_formats --generators
    python -m benchmarks.export_formats --model photo --model realesr-general-x4v3 --hr Set5/hr --lr Set5/lr_x4

`--generators` exports all generators at three scales with random weights. It compares the results of LiteRT and ONNX
files, and of SavedModels in OpenVINO, with Keras' results for two images of odd sizes. `--model` prints median seconds
with a thread per core, and with `--hr` also PSNR. LiteRT, ONNX Runtime and OpenVINO run in a process without
TensorFlow.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from benchmarks.runtimes import FLOAT, measured
from esrgan_tf import export_litert, export_onnx, export_saved_model, load_model
from esrgan_tf.data import folder_source
from esrgan_tf.evaluation.metrics import psnr
from esrgan_tf.models import GENERATORS

SMALL = {"filters": 8, "growth": 4, "blocks": 2, "groups": 2, "reduction": 2}
SCALES = {"rrdb": (1, 2, 4), "srresnet": (2, 4, 8)}
KINDS = {"LiteRT": "model.tflite", "ONNX Runtime": "model.onnx", "OpenVINO": "saved_model"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generators", action="store_true")
    parser.add_argument("--model", action="append", default=[], help="a file, or a name of `esrgan-tf models`")
    parser.add_argument("--hr", help="folder of images")
    parser.add_argument("--lr", help="folder of their LR images")
    parser.add_argument("--sizes", type=int, nargs="*", default=(128, 256))
    arguments = parser.parse_args()
    if arguments.generators:
        print_differences()
    for name in arguments.model:
        print(f"\n{name}\n")
        print_model(name, arguments)


def print_differences():
    rows = []
    cases = [(family, scale) for name, family in GENERATORS.items() for scale in SCALES.get(name, (2, 3, 4))]
    for family, scale in tqdm(cases, file=sys.stderr):
        options = family.options(**{key: SMALL[key] for key in SMALL if hasattr(family.options(), key)})
        model = family.build(**dataclasses.replace(options, scale=scale).arguments)
        rng = np.random.default_rng(0)
        model.set_weights([w + 0.05 * rng.standard_normal(w.shape, dtype=np.float32) for w in model.get_weights()])
        image = rng.integers(0, 256, (2, 37, 23, model.inputs[0].shape[-1]), dtype=np.uint8)
        expected = 255 * np.asarray(model(image.astype(np.float32) / 255))
        span = max(255.0, float(np.ptp(expected)))
        row = [family.name, scale]
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            np.save(folder / "image.npy", image)
            export_litert(model, folder / "model.tflite")
            export_saved_model(model, folder / "saved_model")
            export_onnx(model, folder / "model.onnx")
            export_onnx(model, folder / "uint8.onnx", "uint8")
            files = {**KINDS, "LiteRT, uint8": "model.tflite", "ONNX Runtime, uint8": "uint8.onnx"}
            run_outside({name: [str(folder / file), 0] for name, file in files.items()}, folder)
            for name in files:
                result = np.load(folder / f"{name}.npy")
                error = np.abs(result - (np.clip(expected, 0, 255) if result.dtype == np.uint8 else expected)).max()
                row.append(f"{error:.2f}" if result.dtype == np.uint8 else f"{error / span:.0e}")
        rows.append(row)
    titles = ["generator", "scale", *(f"{name}, of the range" for name in KINDS), *list(files)[3:]]
    print("Greatest difference from Keras, as a share of the range, or in grey levels of 255 for uint8:\n")
    print(tabulate(rows, titles, tablefmt="github", disable_numparse=True))


def print_model(name, arguments):
    model = load_model(name)
    with tempfile.TemporaryDirectory() as folder:
        folder, kinds = Path(folder), {}
        for weights in ("float32", "float16", "dynamic"):
            kinds[f"LiteRT, {weights}"] = folder / f"{weights}.tflite"
            export_litert(model, kinds[f"LiteRT, {weights}"], weights)
        kinds["ONNX Runtime"] = folder / "model.onnx"
        export_onnx(model, kinds["ONNX Runtime"])
        kinds["OpenVINO"] = kinds["TensorFlow"] = folder / "saved_model"
        export_saved_model(model, folder / "saved_model")
        seconds = {}
        for size in arguments.sizes:
            shape = (1, size, size, model.inputs[0].shape[-1])
            np.save(folder / "image.npy", np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
            rounds = 9 if size <= 128 else 5
            for kind, path in kinds.items():
                run = run_inside if kind == "TensorFlow" else run_outside
                seconds[kind, size] = run({kind: [str(path), rounds]}, folder)[kind]
        scores = measure_quality(model, kinds, arguments, folder) if arguments.hr else {}
        rows = []
        for kind, path in kinds.items():
            megabytes = sum(f.stat().st_size for f in ([path] if path.is_file() else path.rglob("*")) if f.is_file())
            times = [f"{seconds[kind, size]:.3f} s" for size in arguments.sizes]
            rows.append([kind, f"{megabytes / 1e6:.1f} MB", *times, *scores.get(kind, ())])
    titles = ["runtime", "size", *(f"{size}x{size}" for size in arguments.sizes)]
    titles += ["PSNR to the ground truth", "PSNR to float32's result"] if scores else []
    print(tabulate(rows, titles, tablefmt="github", disable_numparse=True), flush=True)


def measure_quality(model, kinds, arguments, folder):
    """Per runtime, the mean luma PSNR to the ground truth, and the range of the PSNR to the float32 result."""
    found = {kind: [] for kind in kinds}
    for _, lr, hr in folder_source(arguments.hr, arguments.lr, 4).pairs():
        exact = to_pixels(255 * np.asarray(model(lr[np.newaxis] / np.float32(255))))
        np.save(folder / "image.npy", lr[np.newaxis])
        run_outside({kind: [str(path), 0] for kind, path in kinds.items() if kind != "TensorFlow"}, folder)
        for kind in kinds:
            result = exact if kind == "TensorFlow" else to_pixels(np.load(folder / f"{kind}.npy"))
            error = np.mean((result.astype(float) - exact) ** 2)
            found[kind].append((psnr(hr, result, border=4), 10 * np.log10(255**2 / error) if error else np.inf))
    return {
        kind: (f"{np.mean([a for a, _ in pairs]):.2f} dB", f"{min(b for _, b in pairs):.0f} to "
               f"{max(b for _, b in pairs):.0f} dB") for kind, pairs in found.items()
    }  # fmt: skip


def to_pixels(result):
    return np.round(np.clip(result[0], 0, 255)).astype(np.uint8)


def run_inside(files, folder):
    """The median seconds of TensorFlow, in this process."""
    import tensorflow as tf

    ((kind, (path, rounds)),) = files.items()
    signature = tf.saved_model.load(path).signatures[FLOAT]
    image = tf.constant(np.load(folder / "image.npy").astype(np.float32))
    return {kind: measured(lambda: signature(image=image)["super_resolution"].numpy(), rounds)[1]}


def run_outside(files, folder):
    """The median seconds of other runtimes, in a process without TensorFlow, which also writes their results."""
    command = [sys.executable, str(Path(__file__).with_name("runtimes.py")), str(folder), json.dumps(files)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


if __name__ == "__main__":
    main()
