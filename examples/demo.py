"""A bundled model and a model trained in a minute: PSNR, SSIM and a picture of both.

    python examples/demo.py [--output DIR] [--set section.key=value]…

The program trains both phases on synthetic images (configs/demo.yaml), exports the model, loads the export, and
upscales two photos. Neither model was trained on these photos.
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
CROPS = {"astronaut": (30, 150), "chelsea": (60, 130)}  # photo: top and left of the crop in the picture
SIDE = 192


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="folder for the picture and the run; by default runs/demo")
    parser.add_argument("--set", action="append", default=[], help="a setting of the training, section.key=value")
    arguments = parser.parse_args()
    output = (arguments.output or REPOSITORY / "runs" / "demo").resolve()
    output.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    # Each demo is a new run, so that it includes all steps of the training.
    with tempfile.TemporaryDirectory(prefix="run-", dir=output) as run:
        settings = [f"--set={setting}" for setting in (f"data.cache_dir={output / 'cache'}", *arguments.set)]
        for phase in ("psnr", "gan"):
            run_python("train.py", "--phase", phase, "--config", "configs/demo.yaml", "--run_dir", run, *settings)
        model_path = Path(run) / "saved_model"
        run_python("export.py", "--run_dir", run, "--output", str(model_path))

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


def run_python(*argv):
    print(f"\n$ python {' '.join(argv)}", flush=True)
    subprocess.run([sys.executable, *argv], cwd=REPOSITORY, check=True)


if __name__ == "__main__":
    main()
