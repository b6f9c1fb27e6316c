"""A bundled model and a model trained in a minute: PSNR, SSIM and a picture of both.

    python examples/demo.py [--output DIR] [--set section.key=value]…

Trains both phases on images made from a seed (configs/demo.yaml), exports, loads the export, and upscales real photos
that neither model was trained on.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from esrgan_tf.evaluation.metrics import psnr, ssim
from esrgan_tf.imaging.drawing import side_by_side
from esrgan_tf.imaging.resampling import bicubic, crop_to_multiple
from esrgan_tf.quiet import quiet_tensorflow

REPOSITORY = Path(__file__).parents[1]
CROPS = {"astronaut": (30, 150), "chelsea": (60, 130)}  # photo: top and left of what the picture shows
SIDE = 192


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="where the picture goes; the run is beside it")
    parser.add_argument("--set", action="append", default=[], help="section.key=value, for training")
    arguments = parser.parse_args()
    output = (arguments.output or REPOSITORY / "runs" / "demo").resolve()
    output.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    # A fresh run each time, so that the demo always shows all of it.
    with tempfile.TemporaryDirectory(prefix="run-", dir=output) as run:
        settings = [f"--set={setting}" for setting in (f"data.cache_dir={output / 'cache'}", *arguments.set)]
        for phase in ("psnr", "gan"):
            command("train.py", "--phase", phase, "--config", "configs/demo.yaml", "--run_dir", run, *settings)
        model_path = Path(run) / "saved_model"
        command("export.py", "--run_dir", run, "--output", str(model_path))

        with quiet_tensorflow():
            import tensorflow_hub as hub

            from esrgan_tf.inference.tiles import Upscaler
            from esrgan_tf.runs.loading import load_model

        model, bundled = hub.load(str(model_path)), Upscaler(load_model("faithful"))
        rows = []
        for name, (top, left) in CROPS.items():
            hr = crop_to_multiple(getattr(skimage.data, name)(), 4)
            lr = bicubic(hr, hr.shape[0] // 4, hr.shape[1] // 4)
            results = {
                "bicubic": bicubic(lr, *hr.shape[:2]),
                "just trained": model.signatures["uint8"](image=lr[np.newaxis])["super_resolution"][0].numpy(),
                "bundled": bundled(lr),
            }
            for title, image in results.items():
                scores = psnr(hr, image, border=4), ssim(hr, image, border=4)
                gain = scores[0] - psnr(hr, results["bicubic"], border=4)
                print(f"{name}, {title:<13} {scores[0]:6.2f} dB ({gain:+.2f})  SSIM {scores[1]:.4f}")
            pixels = np.repeat(np.repeat(lr, 4, axis=0), 4, axis=1)
            rows.append([image[top : top + SIDE, left : left + SIDE] for image in (pixels, *results.values(), hr)])

    picture = output / "comparison.png"
    Image.fromarray(side_by_side(rows, ("LR", *results, "ground truth"))).save(picture)
    print(f"finished in {time.monotonic() - began:.0f} seconds; comparison picture: {picture}")


def command(*argv):
    print(f"\n$ python {' '.join(argv)}", flush=True)
    subprocess.run([sys.executable, *argv], cwd=REPOSITORY, check=True)


if __name__ == "__main__":
    main()
