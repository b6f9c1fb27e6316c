import functools
import shutil
import sys

import keras
import numpy as np
import pytest
import skimage.data
from safetensors.numpy import save

from esrgan_tf.errors import UserError
from esrgan_tf.models import vgg19_features
from tests.conftest import needs_shared, run_process


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """Keras' network with random weights, saved in the form of the official file."""
    keras.utils.set_random_seed(3)
    path = tmp_path_factory.mktemp("vgg") / "vgg19.weights.h5"
    keras.applications.VGG19(include_top=False, weights=None).save_weights(path)
    return path


def photo():
    return skimage.data.chelsea()[None, 50:146, 100:196].astype(np.float32) / 255.0


@functools.cache
def vgg19_of_keras(path):
    return keras.applications.VGG19(include_top=False, weights=path)


def activations_of_keras(path, image, layer):
    model = vgg19_of_keras(path)
    output = model.get_layer(layer.replace("conv", "block").replace("_", "_conv")).output
    return np.asarray(keras.Model(model.input, output)(keras.applications.vgg19.preprocess_input(255.0 * image)))


@pytest.mark.parametrize("layer", ["conv1_2", "conv3_4", "conv5_4"])
def test_features_are_those_of_keras_before_activation(weights_file, layer):
    features = np.asarray(vgg19_features([layer], weights_file)(photo())[layer])
    activations = activations_of_keras(weights_file, photo(), layer)
    assert features.shape == activations.shape
    assert (features < 0).any()
    factor = activations.max() / features.max()
    np.testing.assert_allclose(np.maximum(features, 0) * factor, activations, atol=1e-3 * activations.max())


@pytest.mark.parametrize("layer", ["relu2_2", "relu5_4"])
def test_activations_are_those_of_keras_divided_by_the_factor_of_srgan(weights_file, layer):
    activations = activations_of_keras(weights_file, photo(), layer.replace("relu", "conv"))
    found = vgg19_features([layer, "conv1_1"], weights_file)(photo())[layer]
    np.testing.assert_allclose(found, activations / 12.75, atol=1e-5 * activations.max())


def test_the_content_of_the_file_decides_and_not_its_extension(weights_file, tmp_path):
    shutil.copyfile(weights_file, tmp_path / "x.download")
    found, expected = (vgg19_features(["conv1_1"], path) for path in (tmp_path / "x.download", weights_file))
    np.testing.assert_array_equal(found.get_layer("conv1_1").kernel, expected.get_layer("conv1_1").kernel)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>404</html>", "x.h5 is a web page, so the download failed"),
        (save({"features.0.weight": np.zeros((64, 3, 3, 3), np.float32)}), "it is a safetensors file, not HDF5"),
    ],
)
def test_a_file_of_another_kind_is_named(content, words, tmp_path):
    (tmp_path / "x.h5").write_bytes(content)
    with pytest.raises(UserError, match="the VGG19 weights cannot be loaded") as error:
        vgg19_features(["conv1_1"], tmp_path / "x.h5")
    assert words in str(error.value)


def test_only_what_is_needed_is_computed_and_nothing_trains(weights_file):
    model = vgg19_features(["conv2_2"], weights_file)
    assert model.layers[-2].name == "conv2_2"
    assert not model.trainable_variables


@pytest.mark.shared
def test_published_magnitude_of_conv5_4():
    """The published loss weights assume a mean of 1.2 to 1.8 between a photo and its bicubic version, after / 12.75."""
    path = needs_shared("vgg19", "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5")
    from esrgan_tf.imaging.resampling import bicubic

    hr = skimage.data.chelsea()[40:296, 100:356]
    blurred = bicubic(bicubic(hr, 64, 64), 256, 256)
    model = vgg19_features(["conv5_4"], path)
    a, b = (np.asarray(model(image[None] / np.float32(255))["conv5_4"]) for image in (hr, blurred))
    assert 1.0 < np.abs(a - b).mean() < 2.0
    activations = activations_of_keras(path, hr[None] / np.float32(255), "conv5_4")
    np.testing.assert_allclose(np.maximum(a, 0) * 12.75, activations, atol=1e-2)


@pytest.mark.shared
def test_every_layer_has_the_scale_of_conv5_4():
    path = needs_shared("vgg19", "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5")
    layers = ["conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4"]
    features = vgg19_features(layers, path)(skimage.data.astronaut()[None, :256, :256] / np.float32(255))
    magnitudes = {layer: float(np.abs(features[layer]).mean()) for layer in layers}
    assert max(magnitudes.values()) < 3 * min(magnitudes.values())


def test_unknown_layer_is_refused(weights_file):
    with pytest.raises(UserError, match="no layer 'conv3_5'"):
        vgg19_features(["conv3_5"], weights_file)


def test_unavailable_weights_are_an_error(tmp_path):
    with pytest.raises(UserError, match="no file"):
        vgg19_features(weights=str(tmp_path / "absent.h5"))
    (tmp_path / "broken.h5").write_bytes(b"not HDF5")
    with pytest.raises(UserError, match="cannot be loaded"):
        vgg19_features(weights=str(tmp_path / "broken.h5"))


def test_a_failed_download_explains_the_manual_download(tmp_path):
    program = "from esrgan_tf.models import vgg19_features; vgg19_features()"
    # Nothing remains from an earlier download, and the network refuses connections.
    environment = {"KERAS_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    result = run_process(sys.executable, "-c", program, env=environment)
    assert result.returncode != 0
    assert "UserError: gan.vgg_weights=imagenet" in result.stderr
    assert "give the path of vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5" in result.stderr
