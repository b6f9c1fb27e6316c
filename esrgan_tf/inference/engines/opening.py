"""Choice of the engine that runs a model."""

from pathlib import Path
from typing import TYPE_CHECKING

from esrgan_tf.errors import UserError
from esrgan_tf.inference.runner import Runner
from esrgan_tf.weights.bundled import BLENDED, bundled_models

if TYPE_CHECKING:
    import keras

ENGINES = ("auto", "openvino", "tensorflow")


def open_runner(
    path: Path | None, alpha: float | None = None, engine: str = "auto", precision: str = "auto", noise: float = 0.0
) -> tuple[Runner, str]:
    """Opens a generator on an engine, and describes the network in one line.

    Args:
        path: a file or folder, as `runs.loading.load_model` takes it; None blends the bundled models by `alpha`.
        alpha: between the two phases of a run: 0 is the PSNR network, 1 the GAN network. Without `path`, 0 is
            `faithful` and 1 is `sharp`.
        engine: `openvino`, `tensorflow` or `auto`. `auto` is TensorFlow on computers with an NVIDIA GPU and for models
            without a graph file, else OpenVINO.
        precision: of 8-bit images: `float32`, `bfloat16`, or `auto` for bfloat16 if there are instructions for it.
        noise: standard deviation of the image's noise in [0, 1], for noise-conditioned networks.

    Raises:
        UserError: another engine, or as `load_model` and the runners.
    """
    if engine not in ENGINES:
        raise UserError(f"engine {engine!r}; expected {', '.join(ENGINES)}")
    files = _graph_files(path, alpha)
    if _engine(files, engine) == "openvino":
        from esrgan_tf.inference.engines.openvino_engine import OpenVINORunner

        runner = OpenVINORunner(_graph(files, path, alpha), precision, noise)
        return runner, runner.description
    from esrgan_tf.inference.engines.keras_engine import KerasRunner
    from esrgan_tf.weights.torch_files import describe

    model = load_keras(path, alpha)
    return KerasRunner(model, precision, noise), describe(model)


def needs_keras(path: Path | None, alpha: float | None = None, engine: str = "auto") -> bool:
    """Whether `open_runner` imports Keras and TensorFlow for these arguments."""
    files = _graph_files(path, alpha)
    return not files or _engine(files, engine) == "tensorflow"


def _engine(files, engine):
    if engine != "auto":
        return engine
    return "openvino" if files and not has_nvidia_gpu() else "tensorflow"


def has_nvidia_gpu() -> bool:
    """Whether Linux has an NVIDIA GPU. TensorFlow's packages use no other GPUs."""
    return Path("/dev/nvidia0").exists()


def _graph_files(path, alpha):
    """The graph file of a bundled model, or the two files of a blend. Other models have none."""
    models = bundled_models()
    chosen = BLENDED if path is None else [name for name in models if models[name].path == path and alpha is None]
    files = [models[name].path.with_suffix(".xml") for name in chosen]
    return files if all(file.is_file() for file in files) else []


def _graph(files, path, alpha):
    from esrgan_tf.inference.engines.openvino_graph import convert_generator, interpolate_graphs, read_graph

    if not files:
        return convert_generator(load_keras(path, alpha))
    graphs = [read_graph(file) for file in files]
    if len(graphs) == 1:
        return graphs[0]
    if not 0 <= alpha <= 1:
        raise UserError(f"alpha {alpha:g}: must be from 0 to 1")
    return interpolate_graphs(graphs[0], graphs[1], alpha)


def load_keras(path: Path | None, alpha: float | None = None) -> "keras.Model":
    """Opens the Keras model of `open_runner`'s arguments."""
    from esrgan_tf.runs.loading import load_model
    from esrgan_tf.weights.loading import load_blend

    if path is not None:
        return load_model(path, alpha)
    assert alpha is not None  # without a path, alpha blends
    return load_blend(alpha)
