"""Outputs of LiteRT and ONNX files in a process without TensorFlow."""

import dataclasses
import sys

import keras
import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter

from esrgan_tf import export_litert, export_onnx
from esrgan_tf.errors import UserError
from esrgan_tf.models import GENERATORS, compact_resnet_generator, rrdb_generator, vgg_discriminator
from esrgan_tf.publish import litert, verification
from esrgan_tf.publish.litert import read_facts, run_litert
from esrgan_tf.publish.onnx import run_onnx
from tests.conftest import randomise, run_process
from tests.test_families import small

# Runs each supported file of the folder, in a process that has neither TensorFlow nor this package.
RUNTIMES = """
import pathlib, sys
sys.modules |= dict.fromkeys(("tensorflow", "keras", "esrgan_tf"))
import numpy as np, onnxruntime
from ai_edge_litert.interpreter import Interpreter
for folder in map(pathlib.Path, sys.argv[1:]):
    image = np.load(folder / "image.npy")
    images = {"serving_default": image.astype(np.float32), "uint8": image}
    interpreter = Interpreter(str(folder / "model.tflite"))
    for name, given in images.items():
        made = interpreter.get_signature_runner(name)(image=given)["super_resolution"]
        np.save(folder / f"litert_{name}.npy", made)
        if (folder / f"{name}.onnx").exists():
            session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
            np.save(folder / f"onnx_{name}.npy", session.run(["super_resolution"], {"image": given})[0])
"""
# Networks with operations that no other network has. `python -m benchmarks.export_formats --generators` runs all.
NETWORKS = {name: small(GENERATORS[name]) for name in ("rrdb", "compact", "rcan", "span")}
NETWORKS["rrdb"] = dataclasses.replace(NETWORKS["rrdb"], scale=2)  # packs pixels
NETWORKS["msrresnet"] = dataclasses.replace(small(GENERATORS["srresnet"]), scale=3, batch_norm=False)  # bilinear
IN_UINT8 = ("compact", "rcan")  # ONNX files, each with one signature


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Returns a network's folder with the files and the results of all runtimes, and the output of Keras."""
    folders, expected = {}, {}
    for name, options in NETWORKS.items():
        family = next(family for family in GENERATORS.values() if family.options is type(options))
        model = randomise(family.build(**options.arguments))
        folders[name] = folder = tmp_path_factory.mktemp(name.replace(" ", "_"))
        image = np.random.default_rng(0).integers(0, 256, (2, 7, 9, model.inputs[0].shape[-1]), dtype=np.uint8)
        np.save(folder / "image.npy", image)
        expected[name] = 255 * np.asarray(model(image.astype(np.float32) / 255))
        export_litert(model, folder / "model.tflite")
        for signature in ("serving_default", "uint8") if name in IN_UINT8 else ("serving_default",):
            export_onnx(model, folder / f"{signature}.onnx", signature)
    run_process(sys.executable, "-c", RUNTIMES, *folders.values()).check_returncode()
    return folders, expected


@pytest.mark.parametrize("name", NETWORKS)
def test_a_generator_is_the_same_in_both_runtimes(name, written):
    folder, expected = written[0][name], written[1][name]
    span = max(255.0, np.ptp(expected))
    for runtime in ("litert", "onnx"):
        exact = np.load(folder / f"{runtime}_serving_default.npy")
        assert exact.dtype == np.float32
        assert exact.shape == expected.shape
        assert np.abs(exact - expected).max() < 1e-5 * span, runtime
    for runtime in ("litert", "onnx") if name in IN_UINT8 else ("litert",):
        pixels = np.load(folder / f"{runtime}_uint8.npy")
        assert pixels.dtype == np.uint8
        assert np.abs(pixels - np.clip(expected, 0, 255)).max() < 0.5 + 1e-5 * span, runtime


def test_networks_without_official_names_are_written_unchanged(tmp_path):
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Conv2D(3, 3, padding="same")(image))
    pixels = 255 * np.random.default_rng(0).random((1, 5, 4, 3), np.float32)
    for path, export, run in (("a.tflite", export_litert, run_litert), ("a.onnx", export_onnx, run_onnx)):
        assert export(model, tmp_path / path) > 100
        np.testing.assert_allclose(
            run(tmp_path / path)("serving_default", pixels), 255 * np.asarray(model(pixels / 255)), atol=1e-3
        )


def test_a_failed_conversion_is_one_line(tmp_path):
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.ops.erfinv(image / 2))
    with pytest.raises(UserError, match="has operations that LiteRT lacks"):
        export_litert(model, tmp_path / "a.tflite")
    for export, name in ((export_litert, "a.tflite"), (export_onnx, "a.onnx")):
        with pytest.raises(UserError, match="is a discriminator; expected a generator"):
            export(vgg_discriminator(32, 4), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_an_altered_network_is_exported_as_what_it_computes(tmp_path):
    """The network's weights alone imply a residual scale of 0.2."""
    model = randomise(rrdb_generator(2, 4, 1, 2, residual_scale=0.7))
    export_onnx(model, tmp_path / "a.onnx")
    pixels = 255 * np.random.default_rng(0).random((1, 6, 4, 3), np.float32)
    made = run_onnx(tmp_path / "a.onnx")("serving_default", pixels)
    np.testing.assert_allclose(made, 255 * np.asarray(model(pixels / 255)), atol=1e-2)


def test_a_tile_has_one_size(tmp_path):
    model = randomise(compact_resnet_generator(2, 4, 1))
    export_litert(model, tmp_path / "a.tflite", tile=24)
    export_onnx(model, tmp_path / "a.onnx", tile=24)
    (shape,) = (tensor.type.tensor_type.shape for tensor in onnx.load(tmp_path / "a.onnx").graph.input)
    assert [side.dim_value for side in shape.dim] == [1, 24, 24, 3]
    (first,) = Interpreter(str(tmp_path / "a.tflite")).get_input_details()  # for runtimes without signature names
    assert first["dtype"] is np.float32
    assert list(first["shape"]) == [1, 24, 24, 3]
    pixels = 255 * np.random.default_rng(0).random((1, 24, 24, 3), np.float32)
    expected = 255 * np.asarray(model(pixels / 255))
    for run in (run_litert(tmp_path / "a.tflite"), run_onnx(tmp_path / "a.onnx")):
        np.testing.assert_allclose(run("serving_default", pixels), expected, atol=1e-3)


def test_rounded_weights_are_smaller_and_not_the_same(tmp_path):
    model = compact_resnet_generator(2, 32, 2)
    whole = 4 * model.count_params()  # float32's weights, which both signatures share
    sizes, psnr = {}, {}
    for weights in ("float16", "dynamic"):
        psnr[weights] = export_litert(model, tmp_path / f"{weights}.tflite", weights)
        sizes[weights] = (tmp_path / f"{weights}.tflite").stat().st_size / whole
    assert psnr["float16"] > psnr["dynamic"] > 40
    assert sizes["dynamic"] < 0.4 < sizes["float16"] < 0.65  # the graph takes the remaining bytes


def test_an_exported_file_has_metadata(tmp_path, run_main):
    status, out, err = run_main("export", "--model", "faithful", "--output", tmp_path / "small.tflite")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("faithful: Compact ResNet: scale 4, 64 filters")
    assert lines[1].startswith(
        f"written, run in LiteRT and compared: {tmp_path / 'small.tflite'}, 3.0 MB; PSNR between "
    )
    facts = read_facts(tmp_path / "small.tflite")
    assert facts["name"] == "small"
    assert facts["licence"] == "Apache-2.0"
    assert facts["scale"] == "4"
    assert facts["source"].startswith("bundled with esrgan-tf, made for clean images")
    assert facts["image"] == "[B, H, W, 3], values from 0 to 255, channels last, RGB"
    assert facts["signatures"].count(" to ") == 2

    status, out, err = run_main("convert", "faithful", "sharp", "--alpha", 0.5, "--output", tmp_path / "half.onnx")
    assert (status, err) == (0, "")
    assert "written, run in ONNX Runtime and compared: " in out
    model = onnx.load(tmp_path / "half.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.doc_string.startswith("half: upscales images by a factor of 4. Compact ResNet")
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["source"] == "faithful and sharp, alpha 0.5"
    assert properties["licence"] == "Apache-2.0"
    assert properties["signatures"] == "serving_default: float32 to float32, not clipped"
    assert [entry.name for entry in (*model.graph.input, *model.graph.output)] == ["image", "super_resolution"]


def test_a_run_is_exported_for_phones(trained_run, tmp_path, run_main):
    status, out, err = run_main(
        *("export", "--run_dir", trained_run, "--output", tmp_path / "a.tflite"),
        *("--weights", "dynamic", "--format", "litert", "--tile", 32),
    )
    assert (status, err) == (0, "")
    assert out.endswith(" dB (8-bit weights change the image)\n")
    facts = read_facts(tmp_path / "a.tflite")
    assert facts["source"] == f"run {trained_run.name}, alpha 0.8"
    assert facts["image"] == "[1, 32, 32, 3], values from 0 to 255, channels last, RGB"
    assert facts["super_resolution"] == "[1, 128, 128, 3], values from 0 to 255"


@pytest.mark.parametrize(("export", "name"), [(export_litert, "a.tflite"), (export_onnx, "a.onnx")])
def test_a_file_that_computes_something_else_is_not_left(export, name, tmp_path, monkeypatch):
    model = compact_resnet_generator(2, 4, 1)
    exact = verification.sample
    monkeypatch.setattr(verification, "sample", lambda *given: (exact(*given)[0], exact(*given)[1] + 0.1))
    with pytest.raises(RuntimeError, match=r"the exported serving_default differs from the model by 0\.1 of 255"):
        export(model, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_wrong_rounded_weights_is_not_left(tmp_path, monkeypatch):
    other = randomise(compact_resnet_generator(2, 4, 1), 1)
    convert = litert._convert
    monkeypatch.setattr(litert, "_convert", lambda _, weights, tile: convert(other, weights, tile))
    with pytest.raises(RuntimeError, match="the exported serving_default differs from the model by"):
        export_litert(randomise(compact_resnet_generator(2, 4, 1)), tmp_path / "a.tflite", "dynamic")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("extension", "module", "line"),
    [
        ("tflite", "ai_edge_litert", "LiteRT needs packages that are not installed; pip install 'esrgan-tf[litert]'"),
        ("onnx", "tf2onnx", "ONNX needs packages that are not installed; pip install 'esrgan-tf[onnx]'"),
    ],
)
def test_a_missing_package_is_named_in_one_line(extension, module, line, tmp_path, run_main, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / f"a.{extension}"
    expected = (2, "", f"esrgan-tf: {path}: {line}\n")
    assert run_main("export", "--model", "photo", "--output", path) == expected
    assert run_main("convert", "photo", path) == expected


def test_nothing_is_overwritten_and_no_other_argument_is_accepted(tmp_path):
    model = compact_resnet_generator(2, 4, 1)
    (tmp_path / "there").touch()
    for export in (export_litert, export_onnx):
        with pytest.raises(UserError, match="exists"):
            export(model, tmp_path / "there")
    with pytest.raises(UserError, match="weights 'int4': must be one of float32, float16, dynamic"):
        export_litert(model, tmp_path / "a.tflite", "int4")
    with pytest.raises(UserError, match="signature 'float': must be one of serving_default, uint8"):
        export_onnx(model, tmp_path / "a.onnx", "float")
