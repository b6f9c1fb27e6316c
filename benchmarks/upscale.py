"""Time and memory of `esrgan-tf upscale` by photo size, and for a folder of many sizes, with start-up and file access.

    python -m benchmarks.upscale [--model realesr-general-x4v3.safetensors] [--plot growth.png] [--folder]

The photos are resized copies of a free photo of scikit-image. Each measurement runs in a new process. The folder has
200 images of 40 sizes. A folder of 200 images of equal size shows the cost of tracing and tuning per size.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import skimage.data
from PIL import Image

from benchmarks.conversion import measure
from esrgan_tf.weights.bundled import DEFAULT
from esrgan_tf.weights.model_names import find_model

SIZES = ("866x577", "2048x1465", "4000x3000", "8000x6000")  # 0.5 to 48 megapixels
Image.MAX_IMAGE_PIXELS = None  # the files are trusted
PROGRAM = Path(sys.executable).with_name("esrgan-tf")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT, help="a file, or a name of `esrgan-tf models`")
    parser.add_argument("--sizes", nargs="*", default=SIZES)
    parser.add_argument("--format", default="png")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--plot", type=Path, help="a .png file for a plot of seconds and memory")
    parser.add_argument("--folder", action="store_true", help="also measure folders of 200 images")
    arguments = parser.parse_args()
    model = str(find_model(arguments.model).resolve())
    flags = ("--format", arguments.format, "--precision", arguments.precision, "--model", model)
    print("| photo | megapixels | result | seconds | seconds per megapixel | peak MB |\n| --- " + "| --- " * 5 + "|")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.sizes:
            width, height = map(int, size.split("x"))
            photo(width, height).save(Path(folder) / "photo.jpg", quality=92)
            seconds, peak = measure(PROGRAM, "upscale", "photo.jpg", "--output", "out", *flags, cwd=folder)
            with Image.open(next((Path(folder) / "out").iterdir())) as result:
                result_size = "x".join(map(str, result.size))
            empty(Path(folder) / "out")
            megapixels = width * height / 1e6
            rows.append((megapixels, seconds, peak))
            cells = (size, f"{megapixels:.1f}", result_size, f"{seconds:.1f}", f"{seconds / megapixels:.1f}")
            print(f"| {' | '.join(cells)} | {peak:,.0f} |", flush=True)
    if arguments.plot:
        draw(rows, arguments.plot)
    if arguments.folder:
        for sizes in (1, 40):
            seconds, peak = many_images(sizes, flags)
            print(f"\n200 images of {sizes} size(s): {seconds:.1f} seconds, {peak:,.0f} MB peak memory", flush=True)


def photo(width, height):
    return Image.fromarray(skimage.data.astronaut()).resize((width, height), Image.Resampling.BICUBIC)


def empty(folder):
    for path in folder.iterdir():
        path.unlink()


def many_images(sizes, flags):
    """Seconds and peak MB for 200 images in `sizes` sizes from 60x45 to 140x105 pixels, with equal mean area."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "photos").mkdir()
        widths = [round((60**2 + (140**2 - 60**2) * (i + 0.5) / sizes) ** 0.5) for i in range(sizes)]
        for i in range(200):
            width = widths[i % sizes]
            photo(width, round(0.75 * width)).save(Path(folder) / "photos" / f"{i:03}.png")
        return measure(PROGRAM, "upscale", "photos", "--output", "out", *flags, cwd=folder)


def draw(rows, path):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    megapixels, seconds, peaks = zip(*rows, strict=True)
    figure = Figure(figsize=(8, 3), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, values, label in zip(figure.subplots(1, 2), (seconds, peaks), ("seconds", "peak MB"), strict=True):
        axes.plot(megapixels, values, "o-", color="#1f77b4")
        axes.set(xlabel="megapixels of the photo", ylabel=label, xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
