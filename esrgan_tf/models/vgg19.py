"""VGG19 (Simonyan and Zisserman, arXiv 1409.1556) as the feature extractor of the perceptual loss."""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import h5py
import keras
from keras import layers

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.file_kinds import FileKind, identify

_BLOCKS = {1: (64, 2), 2: (128, 2), 3: (256, 4), 4: (512, 4), 5: (512, 4)}  # block: (filters, convolutions)
_CONVOLUTIONS = tuple(f"conv{b}_{i}" for b, (_, n) in _BLOCKS.items() for i in range(1, n + 1))
LAYERS = (*_CONVOLUTIONS, *(name.replace("conv", "relu") for name in _CONVOLUTIONS))

# The papers' loss weights assume torchvision's VGG19. Keras has the original Caffe weights, with larger features. The
# SRGAN paper (section 3.2) divides Caffe's features by 12.75.
_CAFFE_SCALE = 12.75
# Features of middle layers are even larger. These are mean absolute values before activation, over BSDS500 train photos
# (crops of 256x256). They scale every layer to the range of conv5_4, for which the papers' loss weights were chosen.
_MEAN_ABSOLUTE = {
    **{"conv1_1": 42.0, "conv1_2": 129.5, "conv2_1": 227.5, "conv2_2": 285.3},
    **{"conv3_1": 318.6, "conv3_2": 291.6, "conv3_3": 393.7, "conv3_4": 678.7},
    **{"conv4_1": 988.6, "conv4_2": 1050.1, "conv4_3": 822.5, "conv4_4": 614.0},
    **{"conv5_1": 267.7, "conv5_2": 148.6, "conv5_3": 76.0, "conv5_4": 46.0},
}


def vgg19_features(layer_names: Iterable[str] = ("conv5_4",), weights: str = "imagenet") -> keras.Model:
    """Builds a frozen model from RGB float `[B, H, W, 3]` in [0, 1] to `{layer: features}`.

    Features are float `[B, H / 2^(b-1), W / 2^(b-1), C]`. `convb_i` is before the activation. Its division gives every
    layer the scale of conv5_4 that the papers' loss weights expect (ESRGAN, section 3.3). `relub_i` is after the
    activation and only divided by 12.75 (SRGAN, section 3.2).

    Args:
        layer_names: any of `conv1_1` … `conv5_4`, `relu1_1` … `relu5_4`.
        weights: `imagenet` (Keras downloads the weights once), or the path of Keras' own file
            `vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5`.

    Raises:
        UserError: the layer does not exist, or the weights cannot be loaded or do not fit.
    """
    layer_names = tuple(layer_names)
    for name in layer_names:
        if name not in LAYERS:
            raise UserError(f"VGG19 has no layer {name!r}; choose from conv1_1 … conv5_4, relu1_1 … relu5_4")

    trained = _trained_vgg19(weights)
    image = keras.Input((None, None, 3), name="image")  # [B, H, W, 3], RGB in [0, 1]
    x = layers.Concatenate(name="bgr")([image[..., 2:], image[..., 1:2], image[..., :1]])
    x = layers.Rescaling(255.0, offset=[-103.939, -116.779, -123.68], name="caffe_range")(x)
    outputs = {}
    for block, (filters, count) in _BLOCKS.items():
        for i in range(1, count + 1):
            name = f"conv{block}_{i}"
            x = layers.Conv2D(filters, 3, padding="same", name=name)(x)
            if name in layer_names:
                scale = _CAFFE_SCALE * _MEAN_ABSOLUTE[name] / _MEAN_ABSOLUTE["conv5_4"]
                outputs[name] = layers.Rescaling(1 / scale, name=f"{name}_scale")(x)
            name = f"relu{block}_{i}"
            x = layers.ReLU(name=name)(x)
            if name in layer_names:
                outputs[name] = layers.Rescaling(1 / _CAFFE_SCALE, name=f"{name}_scale")(x)
        x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
    model = keras.Model(image, outputs, name="vgg19_features")  # drops layers after the last output
    for layer in model.layers:
        if layer.name in _CONVOLUTIONS:
            layer.set_weights(
                trained.get_layer(layer.name.replace("conv", "block").replace("_", "_conv")).get_weights()
            )
    model.trainable = False
    return model


def _trained_vgg19(weights: str) -> keras.Model:
    source = weights if weights == "imagenet" else Path(weights).expanduser()
    if isinstance(source, Path) and not source.is_file():
        raise UserError(
            f"gan.vgg_weights: no file {source.absolute()}; give Keras' "
            "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5 or the word imagenet to download it"
        )
    try:
        return _open_vgg19(source)
    except Exception as error:  # Keras raises a bare Exception if a download fails
        raise UserError(
            f"gan.vgg_weights={source}: the VGG19 weights cannot be loaded ({first_line(error)}); give the path of "
            "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5, or set gan.perceptual_weight=0 to train without VGG19"
        ) from error


def _open_vgg19(source: str | Path) -> keras.Model:
    """Opens VGG19's weights. Keras selects the format by extension, so a file with another extension is copied."""
    if isinstance(source, Path):
        kind = identify(source)
        if kind is not FileKind.HDF5:
            raise UserError(f"it is {kind.value}, not HDF5")
        with h5py.File(source) as file:
            is_keras_2 = "layer_names" in file.attrs or "model_weights" in file
        extension = ".h5" if is_keras_2 else ".weights.h5"
        if not source.name.endswith(extension) or (is_keras_2 and source.name.endswith(".weights.h5")):
            with tempfile.TemporaryDirectory() as folder:
                copy = shutil.copyfile(source, Path(folder, f"vgg19{extension}"))
                return keras.applications.VGG19(include_top=False, weights=copy)
    return keras.applications.VGG19(include_top=False, weights=source)
