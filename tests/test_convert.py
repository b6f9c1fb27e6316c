"""`esrgan-tf convert` from every file kind to every other, and training that starts from a file."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import yaml

from esrgan_tf import load_model
from esrgan_tf.errors import UserError
from esrgan_tf.models import (
    compact_generator,
    compact_resnet_generator,
    rrdb_generator,
    srresnet_generator,
    unet_sn_discriminator,
)
from esrgan_tf.publish.serving import export_saved_model
from esrgan_tf.weights.loading import load_discriminator
from esrgan_tf.weights.torch_files import save_torch
from tests.conftest import random_image, randomise

KINDS = (".pth", ".safetensors", ".keras", "")
IMAGE = random_image(7, 5)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Returns a network's files, one of each kind, written without the command, and its output for IMAGE."""

    @functools.cache
    def written(name):
        folder = tmp_path_factory.mktemp(name)
        if name == "rrdb":
            model = randomise(rrdb_generator(2, filters=6, blocks=1, growth=4))
            text = "RRDBNet: scale 2, 6 filters, 1 blocks, growth 4, 10,953 parameters, 3 channels in, 3 out, "
            text += "input pixel-unshuffled by 2"
        else:
            model = randomise(compact_generator(3, filters=6, blocks=2))
            text = "SRVGGNetCompact: scale 3, 6 filters, 2 blocks, 2,331 parameters, 3 channels in, 3 out"
        for kind in (".pth", ".safetensors"):
            save_torch(model, folder / f"original{kind}")
        model.save(folder / "original.keras")
        export_saved_model(model, folder / "original")
        return folder, model, text, np.asarray(model(IMAGE))

    return written


# Reading and writing are independent in a conversion, so each network needs each kind only once.
PAIRS = [
    (network, source, KINDS[(i + j) % len(KINDS)])
    for j, network in enumerate(("rrdb", "compact"), start=1)
    for i, source in enumerate(KINDS)
]


@pytest.mark.parametrize(("network", "source", "target"), PAIRS)
def test_any_kind_to_any_other(network, source, target, originals, tmp_path, run_main):
    folder, model, text, expected = originals(network)
    status, out, err = run_main("convert", folder / f"original{source}", tmp_path / f"new{target}")
    assert status == 0, err
    assert err == ""
    assert out.startswith(f"{folder / f'original{source}'}: {text}\n")
    assert [entry.name for entry in tmp_path.iterdir()] == [f"new{target}"]
    back = load_model(tmp_path / f"new{target}")
    for before, after in zip(model.weights, back.weights, strict=True):
        assert before.path == after.path
        assert before.numpy().tobytes() == after.numpy().tobytes()
    np.testing.assert_array_equal(back(IMAGE), expected)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_srresnet_converts_there_and_back(batch_norm, tmp_path, run_main):
    model = randomise(srresnet_generator(2, 4, 1, batch_norm))
    save_torch(model, tmp_path / "a.pth")
    for source, target in (("a.pth", "b"), ("b", "c.keras"), ("c.keras", "d.safetensors"), ("d.safetensors", "e.pth")):
        status, out, err = run_main("convert", tmp_path / source, tmp_path / target)
        assert status == 0, err
        assert f"{source}: {'SR' if batch_norm else 'MSR'}ResNet: scale 2, 4 filters, 1 blocks" in out
    back = load_model(tmp_path / "e.pth")
    for before, after in zip(model.weights, back.weights, strict=True):
        assert before.path == after.path
        assert before.numpy().tobytes() == after.numpy().tobytes()
    expected = np.asarray(model(IMAGE))
    np.testing.assert_array_equal(back(IMAGE), expected)
    served = tf.saved_model.load(str(tmp_path / "b"))(255 * IMAGE)
    np.testing.assert_allclose(served, 255 * expected, rtol=1e-4, atol=1e-2)


@pytest.mark.usefixtures("eagerly")
def test_a_discriminator_is_read_trained_and_written(tiny_config, tmp_path, run_main):
    """The second phase starts from Real-ESRGAN's netD, and the trained discriminator converts back to PyTorch."""
    save_torch(randomise(unet_sn_discriminator(6)), tmp_path / "netD.pth")
    generator = tmp_path / "run" / "psnr" / "generator.keras"  # the result of the first phase
    generator.parent.mkdir(parents=True)
    compact_resnet_generator(filters=8, blocks=1).save(generator)
    gan = ("train", "--phase", "gan", "--config", tiny_config)
    status, out, err = run_main(
        *gan, "--run_dir", tmp_path / "run", "--discriminator_from", tmp_path / "netD.pth",
        *("--set", "gan.steps=1", "--set", "gan.learning_rate=1e-6", "--set", "runtime.precision=mixed_bfloat16"),
    )  # fmt: skip
    assert status == 0, err
    assert "netD.pth: UNetDiscriminatorSN: 6 filters" in out  # the configuration has another number of filters
    saved = tmp_path / "run" / "gan" / "discriminator.keras"
    for a, b in zip(load_discriminator(tmp_path / "netD.pth").trainable_weights,
                    load_discriminator(saved).trainable_weights, strict=True):  # fmt: skip
        assert 0 < np.abs(np.asarray(a) - np.asarray(b)).max() < 2e-6
    status, out, err = run_main("convert", saved, tmp_path / "back.safetensors")
    assert status == 0, err
    assert "UNetDiscriminatorSN: 6 filters" in out
    assert "its tensors named as in BasicSR" in out
    status, out, err = run_main(
        *gan, "--run_dir", tmp_path / "next", "--init_from", generator, "--discriminator_from", saved,
        *("--set", "gan.steps=1"),
    )  # fmt: skip
    assert status == 0, err
    status, out, err = run_main(*gan, "--run_dir", tmp_path / "next", "--set", "gan.steps=2")
    assert status == 0, err
    assert "resuming phase gan at step 1" in out
    again = tmp_path / "other.pth"
    again.write_bytes((tmp_path / "netD.pth").read_bytes())
    status, _, err = run_main("train", "--phase", "gan", "--run_dir", tmp_path / "run", "--discriminator_from", again)
    assert status == 2
    assert "--discriminator_from: phase gan of" in err
    assert f"has started from {tmp_path / 'netD.pth'}" in err
    assert run_main("convert", saved, tmp_path / "folder")[0] == 2  # a SavedModel upscales images


def test_a_saved_model_of_gray_images(tmp_path, run_main):
    model = randomise(compact_generator(2, filters=4, blocks=1, channels=1))
    save_torch(model, tmp_path / "gray.safetensors")
    status, out, _ = run_main("convert", tmp_path / "gray.safetensors", tmp_path / "gray")
    assert status == 0
    assert "1 channels in, 1 out" in out
    loaded = tf.saved_model.load(str(tmp_path / "gray"))
    image = random_image(4, 5, channels=1)
    np.testing.assert_allclose(loaded(255 * image), 255 * np.asarray(model(image)), atol=1e-3)


@pytest.mark.parametrize("alpha", [0, 0.25, 1])
def test_interpolation_of_two_files(alpha, tmp_path, run_main):
    a, b = (randomise(compact_generator(2, filters=4, blocks=1), seed) for seed in (1, 2))
    save_torch(a, tmp_path / "a.pth")
    b.save(tmp_path / "b.keras")
    output = tmp_path / "c.safetensors"
    status, out, err = run_main(
        "convert", tmp_path / "a.pth", tmp_path / "b.keras", "--alpha", alpha, "--output", output
    )
    assert status == 0, err
    assert out.count("SRVGGNetCompact") == 2
    for x, y, z in zip(a.get_weights(), b.get_weights(), load_model(output).get_weights(), strict=True):
        np.testing.assert_allclose(z, (1 - alpha) * x + alpha * y, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x4.param", "a network of ncnn"),
        ("x4.bin", "weights of ncnn or OpenVINO"),
        ("x4.onnx", "an ONNX model, which is written but not read"),
        ("x4.TFLITE", "a LiteRT model, which is written but not read"),
        ("x4.weights.h5", "an HDF5 file, as Keras 2 wrote models and Keras 3 writes weights alone"),
        ("x4.hdf5", "an HDF5 file, as Keras 2 wrote models and Keras 3 writes weights alone"),
        ("saved_model.pb", "a TensorFlow graph; for a SavedModel, name the folder"),
        ("variables.data-00000-of-00001", "part of a TensorFlow checkpoint"),
        ("x4.gguf", "a GGUF model"),
        ("x4.npz", "an archive of NumPy arrays"),
        ("config.yaml", "a configuration; for a run, name the folder"),
        ("model.tar.gz", "an archive; unpack it"),
        ("photo.png", "not a weights file of a known format"),
        ("x4", "not a weights file of a known format"),
    ],
)
def test_the_line_names_the_content_of_an_external_file(name, kind, tmp_path, run_main):
    texts = (".param", ".yaml")
    (tmp_path / name).write_bytes(b"whatever it holds" if name.endswith(texts) else b"\1\2\3\4 whatever it holds")
    assert run_main("convert", tmp_path / name, tmp_path / "new.keras") == (
        2,
        "",
        f"esrgan-tf: {tmp_path / name} is {kind}; expected a .keras model, the folder of a SavedModel or of a run, or "
        "PyTorch weights (.safetensors, .pth, .pt, .ckpt)\n",
    )


def test_hdf5_is_never_opened(tmp_path):
    """Not even a whole generator is read: a layer in the file may be a program, which some versions of Keras run."""
    compact_generator(2, filters=2, blocks=0).save(tmp_path / "model.h5")
    with pytest.raises(UserError, match="is an HDF5 file"):
        load_model(tmp_path / "model.h5")


@pytest.mark.parametrize("kind", ["dense", "two inputs", "fixed size", "unbuilt"])
def test_keras_models_that_are_no_generators_are_refused(kind, tmp_path, run_main):
    if kind == "dense":
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    elif kind == "two inputs":
        images = [keras.Input((None, None, 3)) for _ in range(2)]
        model = keras.Model(images, keras.layers.Add()(images))
    elif kind == "fixed size":
        model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(3, 3)])
    else:
        model = keras.Sequential([keras.layers.Conv2D(3, 3)])
    model.save(tmp_path / "model.keras")
    status, _, err = run_main("convert", tmp_path / "model.keras", tmp_path / "new" / "folder")
    assert status == 2
    assert "is a Keras model, but no generator" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_damaged_keras_files_are_refused_in_one_line(tmp_path, run_main):
    randomise(compact_generator(filters=4, blocks=1)).save(tmp_path / "model.keras")
    whole = (tmp_path / "model.keras").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(10):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 0xFF
        (tmp_path / "model.keras").write_bytes(damaged)
        status, _, err = run_main("convert", tmp_path / "model.keras", tmp_path / "new.pth")
        if status:  # some bytes have no meaning
            assert status == 2
            assert err.count("\n") == 1, err
        (tmp_path / "new.pth").unlink(missing_ok=True)


LISTS, CALL = "no list `variables` of named weights", "no call for float images [B, H, W, C]"


def plain_module(path):
    foreign = tf.Module()
    foreign.weight = tf.Variable(1.0, name="conv_first/kernel")
    foreign.call = tf.function(lambda image: image * foreign.weight, input_signature=[tf.TensorSpec((None,))])
    tf.saved_model.save(foreign, path)


def callable_module(path):
    class Doubling(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
        def __call__(self, image):
            return 2 * image

    tf.saved_model.save(Doubling(), path)


def module_for_other_things(path):
    """Has weights with the package's names, but its input is not a batch of images."""
    ours = tf.train.Checkpoint()
    ours.variables = [tf.Variable(tf.ones((3, 3, 3, 4)), name="conv_first/kernel")]
    ours.__call__ = tf.function(lambda text: text, input_signature=[tf.TensorSpec((None,), tf.string)])
    tf.saved_model.save(ours, path)


FOREIGN = {
    "a plain module": (plain_module, f"it has {LISTS} and {CALL}. Expected a folder of esrgan-tf export or"),
    "a module that takes images": (callable_module, f"it has {LISTS}. Expected"),
    "a module that takes text": (module_for_other_things, f"it has {CALL}. Expected"),
    "what Keras exports": (
        lambda path: compact_generator(filters=4, blocks=1).export(path, verbose=False),
        f"it has {CALL}. Expected a folder of esrgan-tf export or export_saved_model, even if loaded and saved again. "
        'For a Keras model, name the file that model.save("NAME.keras") writes\n',
    ),
    "a Keras model that TensorFlow saved": (
        lambda path: tf.saved_model.save(compact_generator(filters=4, blocks=1), path),
        f"it has {LISTS} and {CALL}. Expected",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_saved_models_of_others_are_refused(kind, tmp_path, run_main):
    """The message names the missing property."""
    write, message = FOREIGN[kind]
    write(str(tmp_path / "foreign"))
    status, _, err = run_main("convert", tmp_path / "foreign", tmp_path / "new.keras")
    assert status == 2
    assert err.startswith(f"esrgan-tf: {tmp_path / 'foreign'} is not a SavedModel of esrgan-tf: {message}")
    assert err.count("\n") == 1


def effect_of_a_call(mark):
    return lambda: tf.io.write_file(mark, "it ran")


def effect_of_a_branch(mark):
    return lambda: tf.cond(tf.random.uniform(()) >= 0.0, lambda: tf.io.write_file(mark, "it ran"), tf.no_op)


EFFECTS = {"in the call": effect_of_a_call, "in a branch of the call": effect_of_a_branch}


@pytest.mark.parametrize("kind", [*EFFECTS, "when it is loaded"])
def test_a_saved_model_that_touches_files_is_not_run(kind, saved, tmp_path, run_main):
    """Has the weights of a network and computes the same."""
    mark = str(tmp_path / "mark")
    evil = tf.train.Checkpoint()
    inner = tf.saved_model.load(str(saved[1]))
    evil.variables, evil.inner = inner.variables, inner
    effect = EFFECTS[kind](mark) if kind in EFFECTS else lambda: None

    def call(image):
        effect()
        return inner(image)

    evil.__call__ = tf.function(call, input_signature=[tf.TensorSpec((None, None, None, 3))])
    if kind == "when it is loaded":
        words = tmp_path / "words.txt"
        words.write_text("a\nb\n")
        evil.table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(
            str(words), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        ), -1)  # fmt: skip
    tf.saved_model.save(evil, str(tmp_path / "evil"))
    (tmp_path / "mark").unlink(missing_ok=True)
    status, _, err = run_main("convert", tmp_path / "evil", tmp_path / "new.keras")
    assert status == 2
    assert "which is no part of a network; expected a SavedModel" in err
    assert not (tmp_path / "mark").exists()


def text_to_images(loaded):
    """A signature that the user wrote."""

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def serving_default(file):
        return loaded(255 * tf.io.decode_image(file, 3, tf.float32, expand_animations=False)[tf.newaxis])

    return serving_default


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A generator that also has weights that are not trained, and its folder."""
    model, folder = randomise(srresnet_generator(2, 4, 1)), tmp_path_factory.mktemp("saved") / "model"
    export_saved_model(model, folder)
    return model, folder


@pytest.fixture(scope="module", params=[hub.load, tf.saved_model.load])
def tuned(request, saved):
    """The same model, loaded and trained with TensorFlow's API."""
    original, folder = saved
    loaded, image = request.param(str(folder)), tf.constant(255 * IMAGE)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(loaded(image)))
    optimizer = keras.optimizers.Adam(1e-2)
    gradients = tape.gradient(loss, loaded.trainable_variables)
    optimizer.apply_gradients(zip(gradients, loaded.trainable_variables, strict=True))
    return original, loaded, loaded(image)


@pytest.mark.parametrize(
    ("tuned", "signatures"),
    [(hub.load, "none"), (hub.load, "the same"), (tf.saved_model.load, "the call"), (tf.saved_model.load, "their own")],
    indirect=["tuned"],
)
def test_a_model_trained_elsewhere_is_read(signatures, tuned, tmp_path):
    """The trained model is saved again before it is read."""
    original, loaded, expected = tuned
    given = {"none": None, "the same": loaded.signatures, "the call": loaded.call, "their own": text_to_images(loaded)}
    tf.saved_model.save(loaded, str(tmp_path / "tuned"), signatures=given[signatures])

    model = load_model(tmp_path / "tuned")
    for weight, before, after in zip(model.weights, original.weights, loaded.variables, strict=True):
        np.testing.assert_array_equal(weight, after)
        if before.trainable:
            assert (np.asarray(weight) != np.asarray(before)).any(), before.path
    np.testing.assert_allclose(255 * np.asarray(model(IMAGE)), expected, rtol=1e-4, atol=1e-2)


def test_images_of_packed_channels_come_back(tmp_path):
    """With twelve channels in the first convolution, only the call shows whether they are packed pixels."""
    for name, model in (
        ("packed", rrdb_generator(2, filters=4, blocks=1, growth=2)),
        ("plain", rrdb_generator(1, filters=4, blocks=1, growth=2, in_channels=12, unshuffle=1)),
    ):
        export_saved_model(model, tmp_path / name)
        tf.saved_model.save(tf.saved_model.load(str(tmp_path / name)), str(tmp_path / f"{name} again"))
        assert load_model(tmp_path / f"{name} again").inputs[0].shape == model.inputs[0].shape


def test_a_saved_model_that_computes_something_else_is_refused(tmp_path, run_main):
    model = randomise(rrdb_generator(filters=4, blocks=1, growth=2, residual_scale=0.9))
    export_saved_model(model, tmp_path / "other")
    status, _, err = run_main("convert", tmp_path / "other", tmp_path / "new.keras")
    assert status == 2
    assert "another function" in err


@pytest.fixture
def published(tmp_path):
    """A downloadable file of another architecture than the configuration's."""
    model = randomise(compact_generator(filters=6, blocks=2))
    save_torch(model, tmp_path / "published.pth")
    return tmp_path / "published.pth", model


# The third value is for settings that agree with the file and are therefore accepted.
STARTS = {
    "rrdb x2 of packed pixels": (lambda: rrdb_generator(2, filters=4, blocks=1, growth=2), ".pth", ()),
    "rrdb x2, one stage": (
        lambda: rrdb_generator(2, filters=4, blocks=1, growth=2, unshuffle=1),
        ".safetensors",
        ("generator.name=rrdb", "generator.unshuffle=1", "generator.scale=2"),
    ),
    "rrdb x8": (lambda: rrdb_generator(8, filters=4, blocks=1, growth=2), "", ()),
    "ESRGAN+": (lambda: rrdb_generator(filters=4, blocks=1, growth=2, plus=True), ".keras", ()),
}


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.usefixtures("eagerly")
def test_training_starts_from_any_architecture_in_any_file(name, tiny_config, tmp_path, run_main):
    build, kind, agreeing = STARTS[name]
    model, path = randomise(build()), tmp_path / f"start{kind}"
    if kind == "":
        export_saved_model(model, path)
    elif kind == ".keras":
        model.save(path)
    else:
        save_torch(model, path)
    still = ("--set", "psnr.steps=1", "--set", "psnr.learning_rate=1e-12", "--set", "psnr.ema_decay=0")
    command = ("train", "--phase", "psnr", "--config", tiny_config, "--run_dir", tmp_path / "run", *still)
    sets = [word for setting in agreeing for word in ("--set", setting)]
    status, _, err = run_main(*command, "--init_from", path, *sets)
    assert status == 0, err
    trained = load_model(tmp_path / "run" / "psnr" / "generator.keras")
    image = random_image(7, 6)
    np.testing.assert_allclose(trained(image), model(image), atol=1e-5)
    if name == "ESRGAN+":  # the run keeps that generator, whatever the configuration contains
        status, out, err = run_main(*command, "--set", "psnr.steps=2")
        assert status == 0, err
        assert "resuming phase psnr at step 1" in out


@pytest.mark.usefixtures("eagerly")
def test_a_scale_of_three_needs_only_its_patch(tiny_config, tmp_path, run_main):
    model = compact_generator(3, filters=4, blocks=1)
    save_torch(model, tmp_path / "x3.safetensors")
    command = ("train", "--phase", "psnr", "--config", tiny_config, "--run_dir", tmp_path / "run", "--init_from")
    status, _, err = run_main(*command, tmp_path / "x3.safetensors")
    assert status == 2
    assert "data.hr_patch: 32 is not divisible by generator.scale 3; 33 is" in err
    status, _, err = run_main(
        *command, tmp_path / "x3.safetensors", "--set", "data.hr_patch=33", "--set", "psnr.steps=1"
    )
    assert status == 0, err


def test_a_start_that_computes_something_else_is_refused(tiny_config, tmp_path, run_main):
    rrdb_generator(filters=4, blocks=1, growth=2, residual_scale=0.5).save(tmp_path / "other.keras")
    command = ("train", "--phase", "psnr", "--config", tiny_config, "--run_dir", tmp_path / "run")
    status, _, err = run_main(*command, "--init_from", tmp_path / "other.keras")
    assert status == 2
    assert "layer body_0_rdb1_scale has another configuration" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("eagerly")
def test_training_starts_from_a_network_of_another_scale(tiny_config, tmp_path, run_main):
    x4 = randomise(compact_resnet_generator(4, filters=6, blocks=2))
    save_torch(x4, tmp_path / "x4.safetensors")
    still = ("--set=psnr.steps=1", "--set=psnr.learning_rate=1e-12", "--set=psnr.ema_decay=0")
    start = ("--init_from", tmp_path / "x4.safetensors", "--set=generator.scale=2")
    command = ("train", "--phase", "psnr", "--config", tiny_config, "--run_dir", tmp_path / "run", *start)
    status, out, err = run_main(*command, *still)
    assert status == 0, err
    assert "new layers for scale 2: conv_last\n" in out
    trained = keras.models.load_model(tmp_path / "run" / "psnr" / "generator.keras")
    assert trained(np.zeros((1, 3, 4, 3))).shape == (1, 6, 8, 3)
    before = {v.path: np.asarray(v) for v in x4.weights}
    for v in trained.weights:
        if not v.path.startswith("conv_last"):
            np.testing.assert_allclose(v, before[v.path], atol=1e-8)
    assert 0 < np.abs(trained.get_layer("conv_last").kernel).max() < 0.01
    status, out, err = run_main(*command, *still, "--set=psnr.steps=2")
    assert status == 0, err
    assert "resuming phase psnr at step 1" in out
    rrdb_generator(filters=4, blocks=1, growth=2, residual_scale=0.5).save(tmp_path / "other.keras")
    command = ("train", "--phase", "psnr", "--config", tiny_config, "--run_dir", tmp_path / "next")
    status, _, err = run_main(*command, "--init_from", tmp_path / "other.keras", "--set=generator.scale=8")
    assert status == 2
    assert "but another function" in err


@pytest.mark.parametrize("phase", ["psnr", "gan"])
@pytest.mark.usefixtures("eagerly")
def test_training_starts_from_a_pytorch_file_that_the_card_names(phase, published, tiny_config, tmp_path, run_main):
    path, model = published
    still = ("--set", f"{phase}.steps=1", "--set", f"{phase}.learning_rate=1e-12", "--set", f"{phase}.ema_decay=0")
    command = ("train", "--phase", phase, "--config", tiny_config, "--run_dir", tmp_path / "run", "--init_from", path)
    status, out, err = run_main(*command, *still)
    assert status == 0, err
    assert f"{path}: SRVGGNetCompact: scale 4, 6 filters, 2 blocks" in out
    trained = keras.models.load_model(tmp_path / "run" / phase / "generator.keras")
    for before, after in zip(model.weights, trained.weights, strict=True):
        assert before.path == after.path
        np.testing.assert_allclose(after, before, atol=1e-8)
    generator = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["generator"]
    assert (generator["name"], generator["filters"], generator["blocks"]) == ("compact", 6, 2)

    # The same command resumes, and another file would be another run.
    status, out, err = run_main(*command, *still, "--set", f"{phase}.steps=2")
    assert status == 0, err
    assert f"resuming phase {phase} at step 1" in out
    save_torch(model, tmp_path / "another.pth")
    status, _, err = run_main(*command[:-1], tmp_path / "another.pth")
    assert status == 2
    assert f"phase {phase} of {tmp_path / 'run'} has started from {path.resolve()}" in err
    if phase == "gan":
        status, _, err = run_main("export", "--run_dir", tmp_path / "run", "--alpha", 1, "--output", tmp_path / "out")
        assert status == 0, err
        card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
        assert "| architecture | SRVGGNetCompact, 6 filters, 2 blocks |" in card
        assert "| phase gan started from | published.pth |" in card


@pytest.mark.usefixtures("eagerly")
def test_training_learns_from_a_published_start(published, tiny_config, tmp_path, run_main):
    """Both phases on the compact network, the second from the first; the card names the origin of the weights."""
    path, model = published
    for phase, start in (("psnr", ("--config", tiny_config, "--init_from", path)), ("gan", ())):
        few = ("--set", f"{phase}.steps=2")
        status, _, err = run_main("train", "--phase", phase, "--run_dir", tmp_path / "run", *few, *start)
        assert status == 0, err
        trained = keras.models.load_model(tmp_path / "run" / phase / "generator.keras")
        changes = [np.abs(a - b).max() for a, b in zip(model.get_weights(), trained.get_weights(), strict=True)]
        assert min(changes) > 0
        model = trained
    run_main("export", "--run_dir", tmp_path / "run", "--alpha", 1, "--output", tmp_path / "out")
    assert "| phase psnr started from | published.pth |" in (tmp_path / "out" / "MODEL_CARD.md").read_text()
