"""ESRGAN for TensorFlow 2 and Keras 3: train it, publish it as a SavedModel, upscale images with it."""

import importlib
import importlib.metadata
import warnings

_PUBLIC = {
    "Upscaler": "esrgan_tf.inference.tiles",
    "deblur_upscale": "esrgan_tf.inference.images",
    "degrade": "esrgan_tf.data.degraded_files",
    "evaluate": "esrgan_tf.evaluation.folders",
    "export_litert": "esrgan_tf.publish.litert",
    "export_onnx": "esrgan_tf.publish.onnx",
    "export_saved_model": "esrgan_tf.publish.serving",
    "interpolate": "esrgan_tf.weights.interpolation",
    "load_model": "esrgan_tf.runs.loading",
    "train": "esrgan_tf.workflows.train",
    "upscale": "esrgan_tf.inference.images",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str):
    # Imported on first use, so that the command line reports a mistake before TensorFlow loads, which takes seconds.
    if name == "Enlarger":  # the name of version 0.1.0
        warnings.warn("esrgan_tf.Enlarger is now esrgan_tf.Upscaler", FutureWarning, stacklevel=2)
        name = "Upscaler"
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    if name == "__version__":
        try:
            return importlib.metadata.version("esrgan-tf")
        except importlib.metadata.PackageNotFoundError:  # a clone without an installed package
            return "unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_PUBLIC, "__version__"])
