"""Weights from PyTorch and back: equal outputs, without loss of weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from esrgan_tf import export_saved_model, load_model
from esrgan_tf.errors import UserError
from esrgan_tf.models import GENERATORS, compact_generator, rrdb_generator
from esrgan_tf.weights import torch_files
from esrgan_tf.weights.architecture import recognise_model
from esrgan_tf.weights.loading import load_discriminator
from esrgan_tf.weights.state_dicts import write_state_dict
from esrgan_tf.weights.torch_files import load_torch, load_torch_network, save_torch
from tests import torch_reference as reference
from tests.conftest import needs_shared, random_image, randomise

NETWORKS = {
    "BasicSR x4, full size": (lambda: reference.BasicSR(), 16_697_987),
    "BasicSR x4, anime size": (lambda: reference.BasicSR(blocks=6), 4_467_779),
    "BasicSR x2": (lambda: reference.BasicSR(blocks=1, unshuffle=2), None),
    "BasicSR x1": (lambda: reference.BasicSR(blocks=1, unshuffle=4), None),
    "BasicSR x4, other sizes": (lambda: reference.BasicSR(48, 2, 24), None),
    "BasicSR x2, other sizes": (lambda: reference.BasicSR(24, 1, 48, unshuffle=2), None),
    "ESRGAN's repository": (lambda: reference.Repository(blocks=2), None),
    "ESRGAN's repository, other sizes": (lambda: reference.Repository(40, 1, 20), None),
    "ESRGAN's repository x2": (lambda: reference.Repository(32, 1, scale=2), None),
    "oldest x1": (lambda: reference.Oldest(blocks=1, stages=0), None),
    "oldest x2": (lambda: reference.Oldest(blocks=1, stages=1), None),
    "oldest x4": (lambda: reference.Oldest(blocks=2), None),
    "oldest x8": (lambda: reference.Oldest(blocks=1, stages=3), None),
    "oldest x16": (lambda: reference.Oldest(32, 1, 16, stages=4), None),
    "oldest x8, other sizes": (lambda: reference.Oldest(20, 2, 12, stages=3), None),
    "oldest x2 of packed pixels": (lambda: reference.Oldest(32, 1, 16, unshuffle=2), None),
    "ESRGAN+": (lambda: reference.Oldest(blocks=2, plus=True), None),
    "ESRGAN+ x2, other sizes": (lambda: reference.Oldest(32, 1, 20, stages=1, plus=True), None),
    "gray": (lambda: reference.BasicSR(32, 1, 16, in_channels=1, out_channels=1, unshuffle=2), None),
    "four channels to three": (lambda: reference.Oldest(32, 1, 16, in_channels=4), None),
    "compact x4, general": (lambda: reference.Compact(blocks=32), 1_213_296),
    "compact x4, anime video": (lambda: reference.Compact(), 621_424),
    "compact x1": (lambda: reference.Compact(1, 32, 2), None),
    "compact x2": (lambda: reference.Compact(2, 24, 3), None),
    "compact x3": (lambda: reference.Compact(3, 48, 2), None),
    "compact x8": (lambda: reference.Compact(8, 40, 3), None),
    "compact, gray": (lambda: reference.Compact(2, 16, 2, channels=1), None),
    "residual x4, packaged size": (lambda: reference.CompactResNet(), 731_120),
    "residual x1": (lambda: reference.CompactResNet(1, 12, 2), None),
    "residual x3": (lambda: reference.CompactResNet(3, 12, 2), None),
    "residual x8, gray": (lambda: reference.CompactResNet(8, 12, 1, channels=1), None),
    "SRResNet x4, full size": (lambda: reference.SRResNet(), 1_547_350),
    "SRResNet x2": (lambda: reference.SRResNet(2, 12, 3), None),
    "SRResNet x8, gray": (lambda: reference.SRResNet(8, 12, 2, channels=1), None),
    "SRResNet, first names": (
        lambda: reference.SRResNet(4, 12, 2, names=("conv_block1", "conv_block2", "conv_block3")),
        None,
    ),
    "MSRResNet x4, full size": (lambda: reference.MSRResNet(), 1_517_571),
    "MSRResNet x3": (lambda: reference.MSRResNet(3, 12, 3), None),
    "MSRResNet x2": (lambda: reference.MSRResNet(2, 12, 3), None),
    "MSRResNet, gray": (lambda: reference.MSRResNet(4, 12, 2, channels=1), None),
}
DISCRIMINATORS = {
    "SRGAN's, full size": (lambda: reference.SrganDiscriminator(), 96, 23_563_649),
    "SRGAN's, smaller": (lambda: reference.SrganDiscriminator(48, 6), 48, None),
    "ESRGAN's, full size": (lambda: reference.VGGStyleDiscriminator(), 128, 14_499_401),
    "ESRGAN's, smaller": (lambda: reference.VGGStyleDiscriminator(64, 6), 64, None),
    "Real-ESRGAN's, full size": (lambda: reference.UNetDiscriminatorSN(), 40, 4_376_897),
    "Real-ESRGAN's, smaller": (lambda: reference.UNetDiscriminatorSN(6), 24, None),
}


def trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def assert_same_output(model, network, image):
    """Compares to 1e-5 of the output's range; returns PyTorch's output."""
    expected = reference.run(network, image)
    output = np.asarray(model(image))
    assert output.shape == expected.shape
    assert np.abs(output - expected).max() <= 1e-5 * np.ptp(expected)
    return expected


@pytest.mark.parametrize("name", NETWORKS)
def test_output_is_pytorchs(name, tmp_path):
    build, parameters = NETWORKS[name]
    network = reference.randomised(build())
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    model = load_torch(tmp_path / "weights.safetensors")
    count = trainable(model)
    assert count == sum(p.numel() for p in network.parameters())
    assert parameters in (None, count)
    assert f"{count:,} parameters" in torch_files.describe(model)
    channels = model.inputs[0].shape[-1]
    for size in ((17, 13), (8, 20)):
        assert_same_output(model, network, random_image(*size, channels=channels))


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminators_are_pytorchs(name, tmp_path):
    build, size, parameters = DISCRIMINATORS[name]
    network = reference.randomised(build())
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    model = load_torch_network(tmp_path / "weights.safetensors")
    assert trainable(model) == sum(p.numel() for p in network.parameters())
    assert parameters in (None, trainable(model))
    images = np.concatenate([random_image(size, size, seed) for seed in range(3)])
    with torch.no_grad():
        expected = network(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy()
    expected = expected.transpose(0, 2, 3, 1) if expected.ndim == 4 else expected
    output = np.asarray(model(images, training=False))
    assert output.shape == expected.shape
    assert np.ptp(expected) > 0.01
    assert np.abs(output - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())

    save_torch(model, tmp_path / "back.pth")
    back = torch.load(tmp_path / "back.pth", weights_only=True)["params"]
    before = {key: value for key, value in network.state_dict().items() if "num_batches" not in key}
    assert back.keys() == before.keys()
    for key, value in before.items():
        np.testing.assert_array_equal(back[key], value, err_msg=key)
    network.load_state_dict(back)  # a state dict that PyTorch's trainers read


def test_a_discriminator_is_no_generator(tmp_path):
    save_file(reference.UNetDiscriminatorSN(4).state_dict(), tmp_path / "netD.safetensors")
    with pytest.raises(UserError, match=r"UNetDiscriminatorSN: 4 filters, .* a discriminator, not a generator"):
        load_torch(tmp_path / "netD.safetensors")
    save_file(reference.Compact(4, 4, 1).state_dict(), tmp_path / "netG.safetensors")
    with pytest.raises(UserError, match=r"netG.safetensors: SRVGGNetCompact: .* not a discriminator"):
        load_discriminator(tmp_path / "netG.safetensors")


def test_spectral_normalisation_trains_as_pytorchs(tmp_path):
    """One step of each kind: the same power iteration, and a gradient through the division."""
    network = reference.UNetDiscriminatorSN(4)
    save_file(network.state_dict(), tmp_path / "netD.safetensors")
    model = load_torch_network(tmp_path / "netD.safetensors")
    image = random_image(16, 24)
    network.train()
    for _ in range(3):  # each step changes the singular vectors
        network.zero_grad()
        network(torch.from_numpy(image.transpose(0, 3, 1, 2))).square().mean().backward()
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(image, training=True)))
        gradients = tape.gradient(loss, model.trainable_variables)
    found = dict(zip([v.path for v in model.trainable_variables], gradients, strict=True))
    largest = 0.0
    for i in range(1, 9):
        layer = getattr(network, f"conv{i}")
        np.testing.assert_allclose(model.get_layer(f"conv{i}_sn").vector_u[0], layer.weight_u, atol=1e-5)
        expected = layer.weight_orig.grad.numpy().transpose(2, 3, 1, 0)
        np.testing.assert_allclose(found[f"conv{i}/kernel"], expected, atol=1e-4 * np.abs(expected).max())
        kernel = layer.weight_orig.detach().numpy().transpose(2, 3, 1, 0)
        gradient = np.asarray(found[f"conv{i}/kernel"])
        largest = max(largest, abs((gradient * kernel).sum()) / np.linalg.norm(gradient) / np.linalg.norm(kernel))
    assert largest < 1e-4  # a mere scaling of a kernel changes nothing


@pytest.mark.shared
@pytest.mark.parametrize("name", ["realesr-general-x4v3", "realesr-general-wdn-x4v3", "realesr-animevideov3"])
def test_published_weights_on_real_images(name, tmp_path):
    path = needs_shared("realesrgan_compact", f"{name}.safetensors")
    network = reference.Compact(blocks=16 if "anime" in name else 32)
    network.load_state_dict(load_file(path))
    model = load_model(path)
    export_saved_model(model, tmp_path / "saved_model")
    import tensorflow_hub as hub

    exported = hub.load(str(tmp_path / "saved_model")).signatures["uint8"]
    for photo in sorted(needs_shared("set5", "lr_x4").glob("*.png")):
        pixels = np.asarray(Image.open(photo).convert("RGB"))[np.newaxis, 4:60, 4:52]
        expected = assert_same_output(model, network, pixels.astype(np.float32) / 255)
        expected = np.rint(np.clip(255 * expected, 0, 255))
        served = exported(image=pixels)["super_resolution"].numpy().astype(np.int16)
        assert np.abs(served - expected).max() <= 1


def test_pytorch_counts_packed_pixels_in_another_order(tmp_path):
    """A network that copies one input channel to every packed output channel, each time with another factor."""
    network = reference.Compact(2, 12, 0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.body[0].weight[0, 0, 1, 1] = 1
        network.body[2].weight[:, 0, 1, 1] = torch.arange(1, 13) / 12
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    model, image = load_torch(tmp_path / "weights.safetensors"), random_image(3, 4)
    change = np.asarray(model(image)) - image.repeat(2, axis=1).repeat(2, axis=2)
    for channel in range(12):
        c, i, j = np.unravel_index(channel, (3, 2, 2))
        np.testing.assert_allclose(change[:, i::2, j::2, c], image[..., 0] * (channel + 1) / 12, atol=1e-6)


# Growth is 32 throughout, because spandrel supports no other value.
OURS = {
    "rrdb x4": (lambda: rrdb_generator(blocks=2), "BasicSR"),
    "rrdb x2": (lambda: rrdb_generator(2, filters=32, blocks=1), "BasicSR"),
    "rrdb x1": (lambda: rrdb_generator(1, filters=32, blocks=1), "BasicSR"),
    "rrdb x8": (lambda: rrdb_generator(8, filters=32, blocks=1), "the oldest files"),
    "rrdb x16": (lambda: rrdb_generator(16, filters=16, blocks=1), "the oldest files"),
    "rrdb x2, one stage": (lambda: rrdb_generator(2, filters=32, blocks=1, unshuffle=1), "the oldest files"),
    "rrdb x1, no stage": (lambda: rrdb_generator(1, filters=32, blocks=1, unshuffle=1), "the oldest files"),
    "rrdb x4 of packed pixels": (lambda: rrdb_generator(4, filters=32, blocks=1, unshuffle=2), "the oldest files"),
    "ESRGAN+": (lambda: rrdb_generator(filters=32, blocks=2, plus=True), "the oldest files"),
    "gray": (lambda: rrdb_generator(filters=32, blocks=1, in_channels=1, out_channels=1), "BasicSR"),
    "compact x4": (lambda: compact_generator(), "Real-ESRGAN"),
    "compact x3": (lambda: compact_generator(3, filters=24, blocks=4), "Real-ESRGAN"),
    "compact x1": (lambda: compact_generator(1, filters=24, blocks=4), "Real-ESRGAN"),
}


@pytest.fixture(scope="module", params=OURS)
def ours(request):
    """A network, the naming style for its file, an image, and the output for the image."""
    build, style = OURS[request.param]
    model = randomise(build())
    # The sides are multiples of 4, because spandrel reflects the border and this package repeats it.
    image = random_image(8, 12, channels=model.inputs[0].shape[-1])
    return model, style, image, np.asarray(model(image))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_spandrel_reads_what_we_write(ours, suffix, spandrel, tmp_path):
    model, style, image, output = ours
    assert save_torch(model, tmp_path / f"weights{suffix}").style == style
    read = spandrel.ModelLoader().load_from_file(tmp_path / f"weights{suffix}")
    options = recognise_model(model).options
    channels = image.shape[-1]
    assert (read.scale, read.input_channels, read.output_channels) == (options.scale, channels, channels)
    assert f"{options.filters}nf" in read.tags
    expected = reference.run(read.model, image)
    assert np.abs(output - expected).max() <= 1e-5 * np.ptp(expected)


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_blocks": 2},
        {"num_blocks": 1, "num_filters": 32, "scale": 2},
        {"num_blocks": 1, "num_filters": 32, "scale": 8, "plus": True},
        {"num_blocks": 1, "num_filters": 32, "in_nc": 12, "shuffle_factor": 2},
    ],
    ids=str,
)
def test_we_read_what_spandrels_networks_save(arguments, spandrel, tmp_path):
    network = reference.randomised(spandrel.architectures.ESRGAN.ESRGAN(**arguments))
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    image = random_image(8, 12)
    assert_same_output(load_torch(tmp_path / "weights.pth"), network, image)


def test_we_read_what_spandrels_compact_network_saves(spandrel, tmp_path):
    network = reference.randomised(spandrel.architectures.Compact.Compact(num_feat=24, num_conv=3, upscale=2))
    torch.save({"params_ema": network.state_dict()}, tmp_path / "weights.pth")
    assert_same_output(load_torch(tmp_path / "weights.pth"), network, random_image(7, 5))


SRRESNET = st.builds(
    dict,
    scale=st.sampled_from([2, 4]),
    filters=st.integers(1, 9),
    blocks=st.integers(1, 2),
    batch_norm=st.booleans(),
    channels=st.integers(1, 4),
)
POWERS = st.sampled_from([1, 2, 4])
RRDB = st.builds(
    dict,
    scale=st.sampled_from([1, 2, 4, 8, 16]),
    filters=st.integers(1, 9),
    blocks=st.integers(1, 2),
    growth=st.integers(1, 7),
    in_channels=st.integers(1, 4),
    out_channels=st.integers(1, 3),
    unshuffle=POWERS,
    plus=st.booleans(),
)
COMPACT = st.builds(
    dict,
    scale=st.integers(1, 5),
    filters=st.integers(1, 9),
    blocks=st.integers(0, 3),
    channels=st.integers(1, 4),
)
SIZES = {"filters": st.integers(1, 9), "blocks": st.integers(1, 2)}
EDSR = st.builds(dict, scale=st.sampled_from([2, 3, 4]), **SIZES)
DPSR = st.builds(dict, scale=st.sampled_from([2, 3, 4]), **SIZES)


@st.composite
def rcan_options(draw):
    total, sizes = draw(st.sampled_from([1, 2, 3, 4, 8])), draw(st.builds(dict, groups=st.integers(1, 2), **SIZES))
    unshuffle = draw(st.sampled_from([n for n in (1, 2, 3, 4) if total % n == 0]))
    # Weights show the number of attention channels, and thus the largest reduction that gives this number.
    reduction = sizes["filters"] // draw(st.integers(1, sizes["filters"]))
    channels = draw(st.integers(1, 4))
    mean = draw(st.booleans()) if channels == 3 else False
    return sizes | {
        "scale": total // unshuffle, "unshuffle": unshuffle, "reduction": reduction, "channels": channels, "mean": mean,
    }  # fmt: skip


@st.composite
def span_options(draw):
    sizes, channels = draw(st.builds(dict, scale=st.integers(1, 4), **SIZES)), draw(st.integers(1, 4))
    return sizes | {"channels": channels, "mean": draw(st.booleans()) if channels == 3 else False}


def reads_as_another(scale, in_channels, out_channels, unshuffle, **_):
    """Shapes alone show a packed input: its channels are a multiple of the output's channels."""
    if unshuffle > 1:
        return in_channels != out_channels
    return in_channels == 4 * out_channels and scale >= 2


DRAWN = {
    "rrdb": RRDB, "compact": COMPACT, "srresnet": SRRESNET, "edsr": EDSR, "rcan": rcan_options(), "dpsr": DPSR,
    "span": span_options(),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
# A failure is reported as found, because shrinking an example builds models for minutes.
@settings(max_examples=6, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))
@given(data=st.data())
def test_every_bit_and_every_hyperparameter_survives(name, data, tmp_path_factory):
    arguments = data.draw(DRAWN[name])
    model = randomise(GENERATORS[name].build(**arguments))
    path = tmp_path_factory.mktemp("bits") / f"weights{data.draw(st.sampled_from(['.pth', '.safetensors']))}"
    if name == "rrdb" and reads_as_another(**arguments):
        with pytest.raises(UserError, match="only names and shapes"):
            save_torch(model, path)
        assert not list(path.parent.iterdir())
        return
    save_torch(model, path)
    back = load_torch(path)
    assert recognise_model(back).options == GENERATORS[name].options(**arguments)
    for before, after in zip(model.weights, back.weights, strict=True):
        assert before.path == after.path
        assert before.numpy().tobytes() == after.numpy().tobytes()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_model_that_computes_something_else_is_not_written(tmp_path):
    model = randomise(rrdb_generator(filters=4, blocks=1, growth=2, residual_scale=0.5))
    with pytest.raises(UserError, match="another function"):
        save_torch(model, tmp_path / "weights.pth")
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    model = compact_generator(filters=4, blocks=1)
    model.get_layer("body_0").bias.assign([1.0, np.inf, 1.0, 1.0])
    with pytest.raises(UserError, match=r"values that are not finite in body.0.bias"):
        save_torch(model, tmp_path / "weights.pth")


def test_a_file_that_does_not_read_back_is_deleted(tmp_path, monkeypatch):
    model = randomise(compact_generator(filters=4, blocks=1))
    for damage in ({"body.0.bias": np.ones(4, np.float32)}, {"surplus": np.ones(1, np.float32)}):
        monkeypatch.setattr(
            torch_files,
            "write_state_dict",
            lambda state, path, wrapper, d=damage: write_state_dict({**state, **d}, path),
        )
        with pytest.raises(RuntimeError, match="does not read back as it was written"):
            save_torch(model, tmp_path / "weights.safetensors")
        assert not list(tmp_path.iterdir())


def test_models_from_files_are_float32_whatever_the_policy(tmp_path):
    model = randomise(compact_generator(filters=4, blocks=1))
    save_torch(model, tmp_path / "weights.safetensors")
    export_saved_model(model, tmp_path / "saved_model")
    keras.config.set_dtype_policy("mixed_bfloat16")
    image = random_image(5, 6)
    for name in ("weights.safetensors", "saved_model"):
        np.testing.assert_array_equal(load_model(tmp_path / name)(image), model(image))
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


def test_a_foreign_model_is_not_written(tmp_path):
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Conv2D(3, 3, name="only")(image))
    with pytest.raises(UserError, match=r"an unknown architecture; its 2 tensors begin with only\.weight, only\.bias"):
        save_torch(model, tmp_path / "weights.pth")
