"""A file's architecture is read without Keras, and equals the architecture of the loaded network."""

import contextlib
import sys
import zipfile

import numpy as np
import pytest

from esrgan_tf import export_saved_model
from esrgan_tf.errors import UserError
from esrgan_tf.models import FAMILIES, GENERATORS, compact_generator, unet_sn_discriminator
from esrgan_tf.weights.architecture import recognise_model
from esrgan_tf.weights.recognition import discriminator_architecture, generator_architecture
from esrgan_tf.weights.torch_files import save_torch
from tests.conftest import run_process
from tests.test_families import built


@pytest.mark.parametrize("name", FAMILIES)
def test_every_architecture_is_recognised_from_its_files(name, tmp_path):
    model = built(FAMILIES[name])
    expected = recognise_model(model)
    read = generator_architecture if FAMILIES[name].is_generator else discriminator_architecture
    model.save(tmp_path / "model.keras")
    save_torch(model, tmp_path / "model.safetensors")
    for file in ("model.keras", "model.safetensors"):
        found = read(tmp_path / file)
        assert (found.family, found.options) == (expected.family, expected.options), file
        assert str(found) == str(expected)
    other = discriminator_architecture if FAMILIES[name].is_generator else generator_architecture
    with pytest.raises(UserError, match=r"that is a (generator|discriminator), not a"):
        other(tmp_path / "model.keras")


@pytest.mark.parametrize("name", ["compact", "srresnet"])
def test_the_architecture_of_a_saved_model(name, tmp_path):
    model = built(GENERATORS[name])
    export_saved_model(model, tmp_path / "exported")
    assert str(generator_architecture(tmp_path / "exported")) == str(recognise_model(model))


def test_it_needs_no_tensorflow(tmp_path):
    compact_generator(2, filters=4, blocks=1).save(tmp_path / "a.keras")
    unet_sn_discriminator(filters=4).save(tmp_path / "d.keras")
    save_torch(compact_generator(2, filters=4, blocks=1), tmp_path / "a.safetensors")
    program = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['keras'] = None\n"
        "from pathlib import Path\n"
        "from esrgan_tf.weights.recognition import discriminator_architecture, generator_architecture\n"
        "for name in ('a.keras', 'a.safetensors'): print(generator_architecture(Path(sys.argv[1], name)))\n"
        "print(discriminator_architecture(Path(sys.argv[1], 'd.keras')))"
    )
    result = run_process(sys.executable, "-c", program, str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 3


def test_damaged_keras_files_raise_nothing_but_mistakes(tmp_path):
    compact_generator(2, filters=4, blocks=1).save(tmp_path / "whole.keras")
    content = (tmp_path / "whole.keras").read_bytes()
    rng = np.random.default_rng(0)
    for number in range(60):
        damaged = bytearray(content)
        if number % 2:
            del damaged[int(rng.integers(len(content))) :]
        else:
            for place in rng.integers(0, len(content), 20):
                damaged[place] = int(rng.integers(256))
        (tmp_path / "damaged.keras").write_bytes(damaged)
        with contextlib.suppress(UserError):  # other exceptions fail the test
            generator_architecture(tmp_path / "damaged.keras")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": {"name": "x", "layers": [{}]}}'])
def test_descriptions_of_anything_else_are_refused(text, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", text)
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(UserError, match="is not a Keras model"):
        generator_architecture(tmp_path / "x.keras")
