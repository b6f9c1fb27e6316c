"""Export of a generator as a SavedModel for RGB images in [0, 255]."""

import tarfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from esrgan_tf.files import check_absent, replacing
from esrgan_tf.publish.signatures import Servable, servable
from esrgan_tf.publish.verification import verify_signatures


def export_saved_model(model: keras.Model, path: str | Path, card: str | None = None) -> None:
    """Writes `model` as a SavedModel at `path`, after a comparison of the reloaded SavedModel with the model.

    The loaded object takes float32 `x`, `[B, H, W, 3]` (or the model's number of channels) in [0, 255], any B, H, W:

    - `loaded(x)` and `loaded.call(x)` return float32 `[B, scale * H, scale * W, 3]`, not clipped.
    - `loaded.signatures["serving_default"](image=x)["super_resolution"]` is equal to `loaded(x)`.
    - `loaded.signatures["uint8"](image=x)["super_resolution"]` takes and returns uint8, clipped and rounded.
    - `.variables`, `.trainable_variables` and `.regularization_losses` are for fine-tuning.

    Args:
        model: a generator of float32 RGB in [0, 1].
        path: the new folder.
        card: the model card in Markdown, written as `MODEL_CARD.md`.

    Raises:
        UserError: `path` exists.
        RuntimeError: the SavedModel's results differ from the model's; nothing is left at `path`.
    """
    path = Path(path)
    check_absent(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as staging:
        write_saved_model(servable(model), staging)
        verify(model, staging)
        if card is not None:
            (staging / "MODEL_CARD.md").write_text(card, encoding="utf-8")


def verify(model: keras.Model, path: str | Path) -> None:
    """Loads the SavedModel at `path` and compares its results and weights with those of `model`.

    Raises:
        RuntimeError: they differ.
    """
    loaded = tf.saved_model.load(str(path))
    calls = {"__call__": loaded, "call": loaded.call}

    def run(name, pixels):
        with tf.device("CPU"):
            if name in calls:
                return calls[name](tf.constant(pixels)).numpy()
            return loaded.signatures[name](image=tf.constant(pixels))["super_resolution"].numpy()

    verify_signatures(model, run, [*calls, *loaded.signatures])
    for exported, original in zip(loaded.variables, model.weights, strict=True):
        if not np.array_equal(exported.numpy(), np.asarray(original)):
            raise RuntimeError(f"the exported weight {original.path} differs from the model's")


def archive(path: str | Path, archive_path: str | Path) -> None:
    """Packs the SavedModel folder `path` in TF Hub's format: a `.tar.gz` with `saved_model.pb` at its root.

    Raises:
        UserError: `archive_path` exists.
    """
    archive_path = Path(archive_path)
    check_absent(archive_path)
    archive_path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(archive_path) as staging, tarfile.open(staging, "w:gz") as tar:
        for entry in sorted(Path(path).iterdir()):
            tar.add(entry, arcname=entry.name)


def write_saved_model(published: Servable, path: str | Path) -> None:
    """Writes the SavedModel without a check.

    The saved object tracks the model's variables, not the Keras model: `saved_model_cli` cannot run a SavedModel that
    tracks the Keras model. Each weight is stored once.
    """
    root = tf.train.Checkpoint()
    root.variables = [v.value for v in published.network.weights]
    root.trainable_variables = [v.value for v in published.network.trainable_weights]
    root.regularization_losses = []
    root.call = published.enlarge
    root.__call__ = published.enlarge
    tf.saved_model.save(root, str(path), published.signatures)
