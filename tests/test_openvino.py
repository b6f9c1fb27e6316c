"""The OpenVINO engine: results of every generator family, graph files, interpolation, threads, imports."""

import dataclasses
import gc
import json
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import skimage.data
from PIL import Image

from esrgan_tf import load_model
from esrgan_tf.errors import UserError
from esrgan_tf.inference.engines import opening
from esrgan_tf.inference.engines.keras_engine import KerasRunner
from esrgan_tf.inference.engines.opening import open_runner
from esrgan_tf.inference.engines.openvino_engine import OpenVINORunner, has_bfloat16, processors
from esrgan_tf.inference.engines.openvino_graph import convert_generator, options_of, read_graph, save_graph
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.models import GENERATORS, compact_generator
from esrgan_tf.weights.bundled import bundled_models
from esrgan_tf.weights.loading import load_blend
from tests.conftest import REPOSITORY, run_process

PHOTO = skimage.data.astronaut()[60:150, 170:270]
SMALL = {"filters": 4, "growth": 2, "blocks": 1, "groups": 1, "reduction": 2}
VARIANTS = {
    "compact_resnet": ({"tail": 6},),
    "srresnet": ({"batch_norm": False},),
    "rcan": ({"unshuffle": 2}, {"mean": False}),
    "rrdb": ({"plus": True}, {"unshuffle": 2}),
    "span": ({"mean": False},),
    "edsr": ({"mean": False},),
}


def generators(name):
    """Small networks of every scale of a family, and of its variants, with results near the range of images."""
    family, rng = GENERATORS[name], np.random.default_rng(0)
    keys = {field.name for field in dataclasses.fields(family.options)}
    for scale in (1, 2, 3, 4, 8, 16):
        for variant in ({}, *(VARIANTS.get(name, ()) if scale == 4 else ())):
            chosen = {key: value for key, value in SMALL.items() if key in keys}
            options = family.options(**chosen, scale=scale, **variant)
            try:
                model = family.build(**options.arguments)
            except ValueError:  # the family lacks this scale
                continue
            for weight in model.weights:
                fan_in = max(1, int(np.prod(weight.shape[:-1])))
                values = rng.normal(0, (0.5 / fan_in) ** 0.5, weight.shape)
                weight.assign(1 + np.abs(values) if "variance" in weight.path else values)
            yield options, model


@pytest.mark.parametrize("name", GENERATORS)
def test_results_are_those_of_tensorflow(name):
    rng, compared = np.random.default_rng(1), 0
    for options, model in generators(name):
        images = rng.random((2, 13, 18, model.inputs[0].shape[-1]), np.float32)
        expected = np.asarray(model(images))
        runner = OpenVINORunner(convert_generator(model), "float32", noise=0.1 * options.takes_noise_level)
        if options.takes_noise_level:
            images[..., 3] = 0.1
            expected = np.asarray(model(images))
        found = runner(images[..., : options.image_channels])
        assert found.dtype == np.float32
        assert (runner.scale, runner.facts) == (options.scale, options)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * max(1, np.abs(expected).max()))
        compared += 1
    assert compared >= 3


@pytest.mark.parametrize("name", bundled_models())
def test_a_bundled_graph_is_the_bundled_model(name):
    path = bundled_models()[name].path
    runner, description = open_runner(path, engine="openvino", precision="float32")
    assert isinstance(runner, OpenVINORunner)
    assert description.startswith("Compact ResNet: scale ")
    expected = Upscaler(KerasRunner(load_model(path)))(PHOTO).astype(int)
    differences = np.abs(Upscaler(runner)(PHOTO) - expected)
    assert differences.max() <= 1
    assert (differences > 0).mean() <= 0.001


def test_the_graph_files_are_up_to_date(tmp_path):
    """`python -m benchmarks.bundled_graphs` writes them."""
    for name, bundled in bundled_models().items():
        save_graph(convert_generator(load_model(name)), tmp_path / f"{name}.xml")
        written, shipped = (read_graph(path) for path in (tmp_path / f"{name}.xml", bundled.path.with_suffix(".xml")))
        assert options_of(written) == options_of(shipped)
        assert options_of(shipped)[1] == int(bundled.facts["parameters"])
        constants = [[node for node in graph.get_ordered_ops() if node.get_type_name() == "Constant"]
                     for graph in (written, shipped)]  # fmt: skip
        for mine, other in zip(*constants, strict=True):
            np.testing.assert_array_equal(mine.data, other.data)


def test_interpolated_graphs_are_the_interpolated_model():
    runner, _ = open_runner(None, 0.3, "openvino", "float32")
    images = PHOTO[None].astype(np.float32) / 255
    np.testing.assert_allclose(runner(images), np.asarray(load_blend(0.3)(images)), rtol=0, atol=2e-5)
    with pytest.raises(UserError, match=r"alpha 1\.5: must be from 0 to 1"):
        open_runner(None, 1.5, "openvino")


@pytest.mark.skipif(not has_bfloat16(), reason="the processor has no instructions for bfloat16")
def test_auto_is_bfloat16_for_8_bits_only():
    runner, _ = open_runner(bundled_models()["photo"].path, precision="auto")
    assert runner.precision == "bfloat16"
    images = PHOTO[None].astype(np.float32) / 255
    exact = OpenVINORunner(read_graph(bundled_models()["photo"].path.with_suffix(".xml")), "float32")(images)
    assert np.abs(runner(images) - exact).max() > 1e-4
    np.testing.assert_array_equal(runner(images, full_precision=True), exact)


def test_threads_share_a_runner():
    runner = Upscaler(OpenVINORunner(convert_generator(compact_generator(2, filters=4, blocks=1)), "float32"), 48)
    images = [np.roll(PHOTO, shift, 0) for shift in range(12)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(runner, images))
    for image, result in zip(images, results, strict=True):
        np.testing.assert_array_equal(result, runner(image))


def test_the_engine_is_chosen(monkeypatch, tmp_path):
    path = bundled_models()["photo"].path
    compact_generator(2, filters=4, blocks=1).save(tmp_path / "model.keras")
    assert open_runner(path)[0].engine == "OpenVINO"
    assert open_runner(tmp_path / "model.keras")[0].engine == "TensorFlow"
    assert open_runner(tmp_path / "model.keras", engine="openvino")[0].engine == "OpenVINO"
    assert opening.needs_keras(tmp_path / "model.keras")
    monkeypatch.setattr(opening, "has_nvidia_gpu", lambda: True)
    assert open_runner(path)[0].engine == "TensorFlow"
    assert open_runner(path, engine="openvino")[0].engine == "OpenVINO"
    with pytest.raises(UserError, match="engine 'fast'; expected auto, openvino, tensorflow"):
        open_runner(path, engine="fast")


def test_noise_is_for_noise_conditioned_networks():
    with pytest.raises(UserError, match="noise 5: the model takes no noise level"):
        OpenVINORunner(convert_generator(compact_generator(2, filters=4, blocks=1)), noise=5 / 255)


def test_upscaling_with_a_bundled_model_imports_no_training_framework(tmp_path):
    Image.fromarray(PHOTO[:20, :20]).save(tmp_path / "photo.png")
    program = (
        "import json, sys\n"
        "from esrgan_tf.cli.main import main\n"
        "status = main(['upscale', 'photo.png'])\n"
        "names = ('tensorflow', 'keras', 'torch', 'matplotlib', 'tensorflow_datasets', 'scipy')\n"
        "print(json.dumps([status, [name for name in names if name in sys.modules]]))"
    )
    result = run_process(sys.executable, "-c", program, cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY)})
    assert json.loads(result.stdout.splitlines()[-1]) == [0, []], result.stderr
    assert (tmp_path / "photo_x4.png").is_file()


def test_processors_are_at_most_those_of_the_machine():
    assert processors() >= 1


def test_a_runner_is_freed_with_its_last_reference():
    runner = OpenVINORunner(convert_generator(compact_generator(2, filters=4, blocks=1)))
    runner(np.zeros((1, 5, 5, 3), np.float32))
    gone = weakref.ref(runner)
    del runner
    gc.collect()
    assert gone() is None
