import functools
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from esrgan_tf import export_saved_model
from esrgan_tf.errors import UserError
from esrgan_tf.models import rrdb_generator
from esrgan_tf.publish.serving import archive, verify
from tests.conftest import random_image

IMAGE = 255 * np.concatenate([random_image(9, 7, seed) for seed in (1, 2)])


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return rrdb_generator(filters=16, blocks=1, growth=8)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "saved_model"
    export_saved_model(model, path)
    return path


@pytest.fixture(scope="module")
def loaded(saved):
    return hub.load(str(saved))


def test_all_interfaces_compute_the_model(model, loaded):
    expected = 255 * np.asarray(model(IMAGE / 255))
    for output in (
        loaded(IMAGE),
        loaded.call(IMAGE),
        loaded.signatures["serving_default"](image=tf.constant(IMAGE))["super_resolution"],
    ):
        assert output.dtype == tf.float32
        assert output.shape == (2, 36, 28, 3)
        np.testing.assert_allclose(output, expected, atol=1e-3)


def test_float_output_is_not_clipped(loaded):
    extreme = tf.constant(np.where(IMAGE > 127, 2e4, -2e4).astype(np.float32))
    output = loaded(extreme).numpy()
    assert output.min() < 0
    assert output.max() > 255


def test_uint8_is_clipped_and_rounded(model, loaded):
    image = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    output = loaded.signatures["uint8"](image=tf.constant(image))["super_resolution"]
    assert output.dtype == tf.uint8
    exact = 255 * np.asarray(model(image.astype(np.float32) / 255))
    assert np.abs(np.clip(exact, 0, 255) - output.numpy()).max() <= 0.501


@pytest.mark.parametrize("size", [(1, 1), (5, 31), (64, 3)])
def test_any_size(loaded, size):
    assert loaded(255 * random_image(*size)).shape == (1, 4 * size[0], 4 * size[1], 3)


def test_gradients_reach_every_weight(loaded):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(loaded(IMAGE) ** 2)
    gradients = tape.gradient(loss, loaded.trainable_variables)
    assert len(gradients) == len(loaded.variables) == 2 * (1 + 15 + 5)
    assert all(g is not None and np.abs(g).max() > 0 for g in gradients)
    assert list(loaded.regularization_losses) == []


def test_fine_tuning_lowers_the_loss(saved):
    loaded = hub.load(str(saved))
    target = tf.random.stateless_uniform((2, 36, 28, 3), seed=(1, 2)) * 255
    optimizer = keras.optimizers.Adam(1e-3)
    losses = []
    for _ in range(5):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(loaded(IMAGE) - target))
        gradients = tape.gradient(loss, loaded.trainable_variables)
        optimizer.apply_gradients(zip(gradients, loaded.trainable_variables, strict=True))
        losses.append(float(loss))
    assert losses[-1] < losses[0]


def test_each_weight_is_stored_once(model, saved):
    weights = 4 * model.count_params()
    on_disk = sum(path.stat().st_size for path in (saved / "variables").iterdir())
    assert weights <= on_disk < 1.02 * weights + 8_000  # the index has a line per variable


def test_saved_model_cli_runs_it(saved, tmp_path, warm):
    for signature, dtype in (("serving_default", tf.float32), ("uint8", tf.uint8)):
        image = hub.load(str(saved)).signatures[signature].structured_input_signature[1]["image"]
        assert (image.shape.as_list(), image.dtype) == ([None, None, None, 3], dtype)
    np.save(tmp_path / "x.npy", IMAGE)
    ran = warm.run(
        *("saved_model_cli", "run", "--dir", saved, "--tag_set", "serve", "--signature_def", "serving_default"),
        *("--inputs", f"image={tmp_path / 'x.npy'}", "--outdir", tmp_path),
    )
    assert ran.returncode == 0, ran.stderr
    np.testing.assert_allclose(np.load(tmp_path / "super_resolution.npy"), hub.load(str(saved))(IMAGE), atol=1e-3)


def test_archive_has_the_model_at_its_root(model, saved, tmp_path):
    archive(saved, tmp_path / "model.tar.gz")
    with tarfile.open(tmp_path / "model.tar.gz") as tar:
        assert "saved_model.pb" in tar.getnames()
        tar.extractall(tmp_path / "unpacked", filter="data")
    verify(model, tmp_path / "unpacked")
    with pytest.raises(UserError, match="exists"):
        archive(saved, tmp_path / "model.tar.gz")


def test_hub_loads_the_archive_over_http(model, saved, tmp_path, monkeypatch):
    archive(saved, tmp_path / "served" / "model.tar.gz")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        downloaded = hub.load(f"http://127.0.0.1:{server.server_port}/model.tar.gz")
        server.shutdown()
    np.testing.assert_allclose(downloaded(IMAGE), 255 * np.asarray(model(IMAGE / 255)), atol=1e-3)


def test_a_wrong_export_is_noticed(model, saved):
    other = keras.models.clone_model(model)
    other.set_weights([w * 1.01 for w in model.get_weights()])
    with pytest.raises(RuntimeError, match="differs from the model"):
        verify(other, saved)


def test_nothing_is_overwritten(model, saved):
    with pytest.raises(UserError, match="exists"):
        export_saved_model(model, saved)


def test_a_failed_export_leaves_nothing(model, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no")

    monkeypatch.setattr("esrgan_tf.publish.serving.verify", fail)
    with pytest.raises(RuntimeError):
        export_saved_model(model, tmp_path / "out")
    assert not list(tmp_path.iterdir())
