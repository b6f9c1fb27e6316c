"""Luma PSNR and perceptual distance (VGG19's features) of upscaled images to the ground truth.

    python -m benchmarks.perceptual_distance --vgg19 vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5 \
      --set Set14=Set14/hr:Set14/lr_x4 --set Set14,degraded=Set14/hr:Set14/degraded \
      --model faithful --alpha 0.5 --model sharp --model photo --model realesr-general-x4v3

The perceptual distance is LPIPS without learnt weights (Zhang et al., arXiv 1801.03924, section 3). Features of
relu1_2, relu2_2 and relu3_4 are normalised to unit length over their channels. The squares of their differences are
summed over channels, and averaged over pixels and layers. `esrgan-tf degrade` writes degraded images.
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from tabulate import tabulate
from tqdm import tqdm

from esrgan_tf.data import folder_source
from esrgan_tf.evaluation.metrics import psnr
from esrgan_tf.imaging.resampling import bicubic
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.models import vgg19_features
from esrgan_tf.runs.loading import load_model
from esrgan_tf.weights.loading import load_blend

LAYERS = ("relu1_2", "relu2_2", "relu3_4")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vgg19", default="imagenet", help="Keras' notop .h5 file; by default Keras downloads it")
    parser.add_argument("--set", action="append", required=True, metavar="NAME=HR_DIR:LR_DIR", dest="sets")
    parser.add_argument("--model", action="append", default=[], help="a file, or a name of `esrgan-tf models`")
    parser.add_argument("--alpha", action="append", default=[], type=float, help="blend of faithful (0) and sharp (1)")
    parser.add_argument("--report", type=Path, help="a .json file of results; its existing results are not repeated")
    arguments = parser.parse_args()
    distance = feature_distance(arguments.vgg19)
    results = json.loads(arguments.report.read_text()) if arguments.report and arguments.report.exists() else {}
    loaders = {"bicubic": None}
    loaders |= {f"alpha {alpha:g}": lambda alpha=alpha: load_blend(alpha) for alpha in arguments.alpha}
    loaders |= {Path(name).stem: lambda name=name: load_model(name) for name in arguments.model}
    for title, load in loaders.items():
        missing = [text for text in arguments.sets if text.partition("=")[0] not in results.get(title, {})]
        upscale = Upscaler(load()) if load and missing else None
        for text in missing:
            name, _, folders = text.partition("=")
            results.setdefault(title, {})[name] = measured(folders, upscale, distance, f"{title}, {name}")
            if arguments.report:
                arguments.report.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    names = [text.partition("=")[0] for text in arguments.sets]
    rows = [[title, *(f"{p:.2f} dB, {d:.4f}" for p, d in map(results[title].get, names))] for title in loaders]
    print(tabulate(rows, ["PSNR, perceptual distance", *names], tablefmt="github"))


def feature_distance(weights: str):
    """The perceptual distance, as a function of two uint8 images `[H, W, 3]`."""
    features = vgg19_features(LAYERS, weights)

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)] * 2)
    def distance(a, b):
        pair = tf.cast(tf.stack([a, b]), tf.float32) / 255.0
        terms = []
        for values in features(pair).values():
            unit = values / (tf.norm(values, axis=-1, keepdims=True) + 1e-10)
            terms.append(tf.reduce_mean(tf.reduce_sum(tf.square(unit[0] - unit[1]), axis=-1)))
        return tf.add_n(terms) / len(terms)

    return lambda a, b: float(distance(a, b))


def measured(folders, upscale, distance, title) -> tuple[float, float]:
    """The mean PSNR in dB and the mean perceptual distance over a set's images; of bicubic if `upscale` is None."""
    hr_dir, _, lr_dir = folders.partition(":")
    source = folder_source(hr_dir, lr_dir or None, 4)
    scores = []
    for _, lr, hr in tqdm(source.pairs(), title, source.count, leave=False, file=sys.stderr):
        sr = bicubic(lr, *hr.shape[:2]) if upscale is None else upscale(lr)
        scores.append((psnr(hr, sr, border=4), distance(hr, sr)))
    return tuple(map(float, np.mean(scores, axis=0)))


if __name__ == "__main__":
    main()
