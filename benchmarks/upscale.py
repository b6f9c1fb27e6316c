"""Time and memory of `esrgan-tf upscale` on large photos, start-up and files included.

    python benchmarks/upscale.py [--model realesr-general-x4v3.safetensors] [--sizes 1152x864 4000x3000]

The photos are a free one of scikit-image, enlarged. Each run is a process of its own.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import skimage.data
from PIL import Image

from esrgan_tf.weights.named import find_model
from esrgan_tf.weights.packaged import DEFAULT

sys.path.insert(0, str(Path(__file__).parent))
from conversion import measure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT, help="a file, or a name of `esrgan-tf models`")
    parser.add_argument("--sizes", nargs="+", default=["1152x864", "2048x1365", "4000x3000"])
    parser.add_argument("--format", default="png")
    arguments = parser.parse_args()
    program = Path(sys.executable).with_name("esrgan-tf")
    print(f"{'pixels in':<12} {'format':<7} {'seconds':>8} {'MB at most':>11}")
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.sizes:
            width, height = map(int, size.split("x"))
            photo = Image.fromarray(skimage.data.astronaut()).resize((width, height), Image.Resampling.BICUBIC)
            photo.save(Path(folder) / "photo.jpg", quality=92)
            flags = (
                "--output",
                "out",
                "--format",
                arguments.format,
                "--overwrite",
                "--model",
                find_model(arguments.model).resolve(),
            )
            seconds, peak = measure(program, "upscale", "photo.jpg", *map(str, flags), cwd=folder)
            print(f"{size:<12} {arguments.format:<7} {seconds:8.1f} {peak:11,.0f}", flush=True)


if __name__ == "__main__":
    main()
