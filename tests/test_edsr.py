import math

import keras
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from esrgan_tf.config import load_config
from esrgan_tf.errors import UserError
from esrgan_tf.models import edsr_generator
from esrgan_tf.models.edsr import torch_mapping
from esrgan_tf.models.edsr.options import EDSR
from esrgan_tf.runs.loading import load_model
from esrgan_tf.weights.architecture import recognise_model
from esrgan_tf.weights.torch_files import describe, load_torch, save_torch
from tests import torch_reference as reference
from tests.conftest import opens_without_this_package, random_image, randomise

MEANS = ("sub_mean", "add_mean")


def official(*arguments, **keywords):
    return reference.randomised(reference.EDSR(*arguments, **keywords))


def of_basicsr(*arguments, **keywords):
    return reference.randomised(reference.BasicSREDSR(*arguments, **keywords))


def state_of(network, **changes):
    """The tensors, multiplied with `changes`, or without the names that start with a None key; `__` replaces a dot."""
    state = network.state_dict()
    for name, factor in changes.items():
        name = name.replace("__", ".")
        if factor is None:
            state = {key: tensor for key, tensor in state.items() if not key.startswith(name)}
        else:
            state[name] = factor * state[name]
    return state


def loaded(state, tmp_path):
    save_file(state, tmp_path / "weights.safetensors")
    return load_torch(tmp_path / "weights.safetensors")


def output_of(network, image):
    """Takes and returns values in [0, 1], whatever the network's range."""
    if isinstance(network, reference.EDSR):
        return reference.run(network, 255 * image) / 255
    return reference.run(network, image)


def assert_same_output(model, network):
    """Compares to 1e-5 of the output's range."""
    for size in ((1, 1), (9, 14)):
        image = random_image(*size)
        output, expected = np.asarray(model(image)), output_of(network, image)
        assert output.shape == expected.shape
        assert np.abs(output - expected).max() <= 1e-5 * np.ptp(expected)


@pytest.mark.parametrize(
    ("filters", "blocks", "scale", "parameters"),
    [
        (64, 16, 2, 1_369_859),
        (64, 16, 3, 1_554_499),
        (64, 16, 4, 1_517_571),
        (256, 32, 2, 40_729_603),
        (256, 32, 3, 43_680_003),
        (256, 32, 4, 43_089_923),
    ],
)
def test_parameters_are_the_published_ones(filters, blocks, scale, parameters):
    """Counts the listed tensors, which tests below check for small networks; creating 43 million weights takes long."""
    tensors = torch_mapping.torch_tensors(EDSR(filters=filters, blocks=blocks, scale=scale), "Keras")
    assert sum(math.prod(shape) for _, shape in tensors.values()) == parameters
    if filters == 64:
        model = edsr_generator(scale, filters, blocks)
        assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == parameters


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("network", [official, of_basicsr])
def test_output_is_pytorchs(network, scale, tmp_path):
    network = network(scale, 12, 3)
    model = loaded(network.state_dict(), tmp_path)
    assert recognise_model(model).options == EDSR(scale=scale, filters=12, blocks=3)
    assert_same_output(model, network)


@pytest.mark.parametrize("network", [official, of_basicsr])
def test_the_residual_scale_of_256_filters_is_the_papers(network, tmp_path):
    network = network(2, 256, 2, residual_scale=0.1)
    model = loaded(network.state_dict(), tmp_path)
    assert "EDSR: scale 2, 256 filters, 2 blocks, residual scale 0.1, " in describe(model)
    assert_same_output(model, network)


def test_a_configuration_has_the_residual_scale_of_its_filters():
    scales = {}
    for filters in (64, 255, 256):
        config = load_config(None, ["generator.name=edsr", f"generator.filters={filters}"])
        scales[filters] = config.generator.arguments["residual_scale"]
    assert scales == {64: 1.0, 255: 1.0, 256: 0.1}


def test_an_official_file_without_its_mean_is_the_same_network(tmp_path):
    network = official(3, 8, 2)
    state = state_of(network, sub_mean=None, add_mean=None)
    assert len(state) == len(network.state_dict()) - 4
    assert_same_output(loaded(state, tmp_path), network)


@pytest.mark.parametrize("arguments", [(2, 8, 3), (3, 8, 2), (4, 8, 1)])
def test_an_official_file_converts_there_and_back_bit_for_bit(arguments, tmp_path):
    network = official(*arguments)
    written = save_torch(loaded(network.state_dict(), tmp_path), tmp_path / "back.pth")
    assert written.style == "EDSR-PyTorch"
    # Without a wrapper, as the authors' program reads it.
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert list(back) == list(network.state_dict())
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(back[name], tensor, err_msg=name)
    reference.EDSR(*arguments).load_state_dict(back, strict=True)


def test_networks_of_basicsr_are_written_for_the_official_code(tmp_path):
    ours = of_basicsr(4, 8, 2)
    save_torch(loaded(ours.state_dict(), tmp_path), tmp_path / "official.safetensors")
    model = load_torch(tmp_path / "official.safetensors")
    assert_same_output(model, ours)
    theirs = reference.EDSR(4, 8, 2)
    save_torch(model, tmp_path / "official.pth")
    theirs.load_state_dict(torch.load(tmp_path / "official.pth", weights_only=True), strict=True)
    assert_same_output(model, theirs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_mean_in_half_precision_is_the_mean(dtype, tmp_path):
    network = official(2, 4, 1)
    state = {name: tensor.to(dtype) for name, tensor in network.state_dict().items()}
    model = loaded(state, tmp_path)
    network.load_state_dict({**network.state_dict(), **{n: t for n, t in state.items() if "mean" not in n}})
    assert_same_output(model, network)


NOT_READ = {
    "no mean, in fact": (
        {"sub_mean__bias": 0.0, "add_mean__bias": 0.0},
        "sub_mean.bias holds -0, -0, -0; EDSR supports only -114.444, -111.46, -103.02",
    ),
    "a mean for the range of 1": (
        {"add_mean__bias": 1 / 255},
        "add_mean.bias holds 0.4488, 0.4371, 0.404; EDSR supports only",
    ),
    "a mean a little brighter": ({"sub_mean__bias": 1.01}, "sub_mean.bias holds -115.588, "),
    "colours that are scaled": ({"sub_mean__weight": 2.0}, "sub_mean.weight holds 2, 0, 0, 0, 2, 0, 0, 0, 2; EDSR"),
    "half of the mean": ({"add_mean": None}, "but the file lacks add_mean.weight, add_mean.bias"),
    "the other half": ({"sub_mean": None}, "but the file also has add_mean."),
    "no up-sampling": ({"tail.0": None}, "it resembles EDSR, but there is no tail.0.0.weight"),
    "a block is missing": ({"body.1.": None}, "but the file lacks body.1.body.0.weight, body.1.body.0.bias"),
}


@pytest.mark.parametrize("case", NOT_READ)
def test_not_read(case, tmp_path):
    changes, message = NOT_READ[case]
    with pytest.raises(UserError) as error:
        loaded(state_of(official(2, 4, 3), **changes), tmp_path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "weights.safetensors"))
    assert "\n" not in str(error.value)


def test_a_scale_without_edsr_is_refused(tmp_path):
    state = official(4, 4, 1).state_dict()
    state |= {f"tail.0.4.{kind}": state[f"tail.0.2.{kind}"].clone() for kind in ("weight", "bias")}
    with pytest.raises(UserError, match=r"it upscales by 8 in 3 upsampling stages, and EDSR supports \(2, 3, 4\)"):
        loaded(state, tmp_path)


def test_the_builders_other_arguments_are_pytorchs(tmp_path):
    network = official(3, 8, 2, residual_scale=0.3, mean=(0.0, 0.0, 0.0))
    weights = loaded(state_of(network, sub_mean=None, add_mean=None), tmp_path).get_weights()
    model = edsr_generator(3, 8, 2, residual_scale=0.3, mean=False)
    model.set_weights(weights)
    assert_same_output(model, network)


@pytest.mark.parametrize("arguments", [{"residual_scale": 0.5}])
def test_a_network_that_weights_do_not_identify_is_not_written(arguments, tmp_path):
    """A reader would take the file for the original network."""
    with pytest.raises(UserError, match=r"has the weights of EDSR: .* but another function"):
        save_torch(randomise(edsr_generator(2, 4, 2, **arguments)), tmp_path / "weights.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("mean", [reference.DIV2K_MEAN, (0.0, 0.0, 0.0)])
def test_both_ends_are_float32(mean, precision):
    """bfloat16 would round 100.3 to 100.5."""
    keras.config.set_dtype_policy(precision)
    model = edsr_generator(2, 4, 1, mean=any(mean))
    image = random_image(4, 3)
    first = keras.Model(model.input, model.get_layer("conv_first" if any(mean) else "conv_first_no_mean").input)
    expected = 255 * (image.astype(np.float64) - mean)
    np.testing.assert_allclose(first(image), expected, rtol=0, atol=1e-4)
    bias = np.array([100.3, -20.7, 0.0])
    model.get_layer("conv_last").set_weights([np.zeros((3, 3, 4, 3)), bias])
    output, expected = model(image), np.broadcast_to(bias / 255 + mean, (1, 8, 6, 3))
    assert output.dtype == "float32"
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-6)


def test_the_mean_is_no_weight():
    model = edsr_generator(4, 4, 1)
    assert [layer.name for layer in model.layers if layer.weights] == [
        *("conv_first", "body_0_conv1", "body_0_conv2", "conv_after_body", "upsample_0", "upsample_2", "conv_last")
    ]
    for name in MEANS:
        assert isinstance(model.get_layer(name), keras.layers.Rescaling)


def test_saved_file_opens_without_this_package(tmp_path, warm):
    model = randomise(edsr_generator(4, 4, 1, residual_scale=0.1))
    assert opens_without_this_package(model, random_image(6, 5), tmp_path, warm)


@pytest.mark.parametrize("scale", [1, 8])
def test_impossible_scale_is_refused(scale):
    with pytest.raises(ValueError, match=f"scale {scale}: EDSR upscales by one of .2, 3, 4"):
        edsr_generator(scale)
    with pytest.raises(UserError, match=r"generator\.scale: \d is not one of 2, 3, 4"):
        load_config(None, ["generator.name=edsr", f"generator.scale={scale}"])


@pytest.mark.parametrize("network", [official, of_basicsr])
def test_convert_prints_its_assumptions_and_accepts_settings(network, tmp_path, run_main):
    network = network(2, 8, 2, residual_scale=0.3)
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    convert = ("convert", tmp_path / "a.safetensors")
    status, out, err = run_main(*convert, tmp_path / "assumed.keras")
    assert status == 0, err
    holds_mean = isinstance(network, reference.EDSR)
    mean = "" if holds_mean else ", and the mean colour of DIV2K is subtracted"
    assert f"note: the residual scale is assumed to be 1{mean}; change this with --residual_scale and --nomean\n" in out
    for extension in (".keras", ".safetensors", ""):
        status, out, err = run_main(*convert, tmp_path / f"told{extension}", "--residual_scale", "0.3")
        assert status == 0, err
        assert "note: the residual scale" not in out
        assert_same_output(load_model(tmp_path / f"told{extension}"), network)


def test_a_network_without_mean_is_described_and_recognised_again(tmp_path, run_main):
    network = of_basicsr(2, 8, 2)
    network.mean = torch.zeros(3, 1, 1)
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    for extension in (".keras", ""):
        status, _, err = run_main("convert", tmp_path / "a.safetensors", tmp_path / f"b{extension}", "--nomean")
        assert status == 0, err
        assert_same_output(load_model(tmp_path / f"b{extension}"), network)
        assert "residual scale 1, no mean colour" in describe(load_model(tmp_path / f"b{extension}"))


def test_flags_that_do_not_fit_the_file_are_refused(tmp_path, run_main):
    save_file(official(2, 4, 1).state_dict(), tmp_path / "edsr.safetensors")
    save_file(reference.Compact(2, 4, 1).state_dict(), tmp_path / "compact.safetensors")
    edsr_generator(2, 4, 1).save(tmp_path / "edsr.keras")
    for name, flag, message in (
        ("edsr.safetensors", "--nomean", "it contains the mean colour in sub_mean and add_mean; --nomean is for files"),
        ("compact.safetensors", "--residual_scale=0.1", "--residual_scale and --nomean are for EDSR"),
        ("edsr.keras", "--residual_scale=0.1", "--residual_scale and --nomean are for PyTorch files"),
    ):
        status, _, err = run_main("convert", tmp_path / name, tmp_path / "new.keras", flag)
        assert (status, err.count("\n")) == (2, 1)
        assert f"esrgan-tf: {tmp_path / name}: " in err
        assert message in err
