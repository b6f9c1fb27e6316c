"""From a path or a name, run folders included, to a Keras model."""

from pathlib import Path

import keras

from esrgan_tf.errors import UserError
from esrgan_tf.runs.folder import network_paths, run_config
from esrgan_tf.weights.interpolation import interpolate
from esrgan_tf.weights.loading import load_generator
from esrgan_tf.weights.model_names import find_model


def load_model(path: str | Path, alpha: float | None = None) -> keras.Model:
    """Opens a generator: float RGB in [0, 1] in, float32 in [0, 1] out, not clipped.

    Args:
        path: one of

            - a file: a Keras model that training saved, or PyTorch weights (safetensors or `torch.save`), with any
              extension;
            - a SavedModel folder that `export_saved_model` wrote;
            - a run folder: the interpolation that would be exported, or the network of the only phase that has one;
            - the name of a bundled or downloadable model, which is downloaded on first use.
        alpha: of a run of both phases: 0 is the PSNR network, 1 the GAN network; None is the run's `export.alpha`.

    Raises:
        UserError: no such file or name, another kind of file, an unknown network, or `alpha` for what is no run of
            both phases.
    """
    path = find_model(path)
    paths, config = network_paths(path), run_config(path)
    if alpha is not None and config is None:
        raise UserError(f"alpha blends both phases of a run, and {path} is a single network")
    if alpha is not None and len(paths) == 1:
        raise UserError(f"alpha blends both phases of a run, and {path} has phase {paths[0].parent.name} only")
    models = [load_generator(path) for path in paths]
    if config is None or len(models) == 1:
        return models[0]
    return interpolate(models[0], models[1], config.export.alpha if alpha is None else alpha)
