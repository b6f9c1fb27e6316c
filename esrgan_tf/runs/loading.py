"""Loads a Keras model from a path or a name, also from a run folder."""

from pathlib import Path

import keras

from esrgan_tf.errors import UserError
from esrgan_tf.runs.folder import network_paths, run_config
from esrgan_tf.weights.interpolation import interpolate
from esrgan_tf.weights.loading import load_generator
from esrgan_tf.weights.model_names import find_model


def load_model(path: str | Path, alpha: float | None = None) -> keras.Model:
    """Loads a generator with float RGB input in [0, 1] and unclipped float32 output.

    Args:
        path: one of

            - a file with any extension, either a Keras model from training or PyTorch weights (safetensors or
              `torch.save`);
            - a SavedModel folder that `export_saved_model` wrote;
            - a run folder, for the interpolation of both phases or the network of the only trained phase;
            - the name of a bundled or downloadable model, which is downloaded on first use.
        alpha: interpolation from the PSNR network (0) to the GAN network (1) of a run with both phases. None is the
            run's `export.alpha`.

    Raises:
        UserError: no such file or name, another kind of file, an unknown network, or `alpha` without a run of both
            phases.
    """
    path = find_model(path)
    paths, config = network_paths(path), run_config(path)
    if alpha is not None and config is None:
        raise UserError(f"alpha interpolates both phases of a run, and {path} is a single network")
    if alpha is not None and len(paths) == 1:
        raise UserError(f"alpha interpolates both phases of a run, and {path} has only phase {paths[0].parent.name}")
    models = [load_generator(path) for path in paths]
    if config is None or len(models) == 1:
        return models[0]
    return interpolate(models[0], models[1], config.export.alpha if alpha is None else alpha)
