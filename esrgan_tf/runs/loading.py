"""From a path or a name, run folders included, to a Keras model."""

from pathlib import Path

import keras

from esrgan_tf.errors import UserError, as_typed
from esrgan_tf.runs.folder import is_run, run_config, saved_generators
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
    if is_run(path):
        return _load_run(path, alpha)
    if alpha is not None:
        raise UserError(f"alpha blends both phases of a run, and {path} is a single network")
    if path.is_dir() and not (path / "saved_model.pb").is_file():
        raise UserError(f"{path} holds neither a SavedModel (saved_model.pb) nor a run (config.yaml)")
    return load_generator(path)


def _load_run(run_dir, alpha):
    saved = saved_generators(run_dir)
    if not saved:
        first = as_typed("train", "--phase", "psnr", "--run_dir", run_dir)
        raise UserError(f"{run_dir} has no generator yet; first run: {first}")
    if alpha is not None and len(saved) == 1:
        raise UserError(f"alpha blends both phases of a run, and {run_dir} has phase {next(iter(saved))} only")
    models = [load_generator(path) for path in saved.values()]
    if len(models) == 1:
        return models[0]
    config = run_config(run_dir)
    assert config is not None  # it makes the folder a run
    return interpolate(models[0], models[1], config.export.alpha if alpha is None else alpha)
