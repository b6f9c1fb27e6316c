import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.numpy import save, save_file

import esrgan_tf
from esrgan_tf.errors import UserError
from esrgan_tf.models import compact_generator
from esrgan_tf.weights import bundled
from esrgan_tf.weights.model_names import find_by_name, find_model
from esrgan_tf.weights.torch_files import save_torch
from tests.conftest import randomise


def test_a_path_wins_over_a_bundled_name_which_wins_over_a_downloadable_name(listed, tmp_path, monkeypatch):
    listed("Own", "4x-Model")
    monkeypatch.setattr(bundled, "_FOLDER", tmp_path / "bundled")
    (tmp_path / "bundled").mkdir()
    save_file({"weight": np.zeros(1, np.float32)}, tmp_path / "bundled" / "own.safetensors")
    monkeypatch.chdir(tmp_path)
    assert find_model("OWN", tmp_path / "models") == tmp_path / "bundled" / "own.safetensors"
    assert find_by_name("Own").path == tmp_path / "bundled" / "own.safetensors"
    assert find_model("4X-model", tmp_path / "models", lambda _: None) == tmp_path / "models" / "4x-Model.safetensors"
    save_file({"weight": np.zeros(1, np.float32)}, tmp_path / "own")
    assert str(find_model("own", tmp_path / "models")) == "own"


UNKNOWN = {
    "RealESRGAN_x4plus.pth": "; did you mean RealESRGAN_x4plus",
    "realesrgan-x4plus": "; did you mean RealESRGAN_x4plus or RealESRGAN_x4plus_anime_6B?",
    "x4v3": "; did you mean realesr-general-wdn-x4v3 or realesr-general-x4v3?",
    "weights/remacri": "; did you mean 4x-Remacri?",
    "out/generator.keras": " (",
    "": " (",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_name_is_reported_with_the_nearest(name):
    with pytest.raises(UserError) as caught:
        find_model(name)
    message = str(caught.value)
    assert message.startswith(f"no file or folder {name}, and no model of that name")
    assert UNKNOWN[name] in message
    assert message.endswith("(esrgan-tf models lists them)")


@pytest.fixture
def network(listed, tmp_path, monkeypatch):
    """A small network with the downloadable name 2x-Small and the weights file `small.safetensors`."""
    monkeypatch.setenv("ESRGAN_TF_MODELS", str(tmp_path / "models"))
    model = randomise(compact_generator(2, filters=4, blocks=1))
    save_torch(model, tmp_path / "small.safetensors")
    listed("2x-Small", content=(tmp_path / "small.safetensors").read_bytes())
    return model


def test_upscaling_by_name(network, server, photos, tmp_path, run_main):
    source, place = photos / "coffee.png", tmp_path / "elsewhere"
    results = [tmp_path / "by_path.png", tmp_path / "by_name.png", tmp_path / "again.png"]
    assert run_main("upscale", source, "--output", results[0], "--model", tmp_path / "small.safetensors")[0] == 0
    by_name = ("upscale", source, "--model", "2X-small", "--models_dir", place, "--output")
    status, _, err = run_main(*by_name, results[1])
    assert status == 0, err
    assert f"esrgan-tf: downloading 2x-Small, by somebody, licence MIT: 0.0 MB, {server.url}" in err
    server.stop()  # the server receives no further request
    status, _, err = run_main(*by_name, results[2])
    assert status == 0, err
    assert err == ""
    expected, *others = (np.asarray(Image.open(path)) for path in results)
    for pixels in others:
        np.testing.assert_array_equal(pixels, expected)

    (place / "2x-Small.safetensors").write_bytes(save({"weight": np.zeros(1, np.float32)}))
    status, _, err = run_main(*by_name, tmp_path / "never.png")
    assert status == 2
    assert err.splitlines()[-1].startswith(
        f"esrgan-tf: --model: 2x-Small: {server.url}/2x-Small.safetensors: cannot be"
    )
    assert not (tmp_path / "never.png").exists()


COMMANDS = {
    "evaluate": ("evaluate", "--model", "2x-Small", "--hr_dir", "{photos}"),
    "export": ("export", "--model", "2x-Small", "--output", "{tmp}/exported"),
    "convert": ("convert", "2x-Small", "{tmp}/converted.keras"),
}


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_take_names(command, photos, tmp_path, run_main):
    argv = [part.format(photos=photos, tmp=tmp_path) for part in COMMANDS[command]]
    status, out, err = run_main(*argv)
    assert status == 0, err
    assert (tmp_path / "models" / "2x-Small.safetensors").is_file()
    if command == "evaluate":
        assert out.startswith("2x-Small: SRVGGNetCompact: scale 2, 4 filters, 1 blocks")

    status, _, err = run_main(*(part.replace("2x-Small", "2x-Smell").replace("ed", "ed2") for part in argv))
    assert status == 2
    assert "no file or folder 2x-Smell, and no model of that name; did you mean 2x-Small?" in err


def test_programs_take_names(network):
    image = np.random.default_rng(0).random((1, 5, 6, 3), dtype=np.float32)
    np.testing.assert_array_equal(esrgan_tf.load_model("2x-small")(image), network(image))


@pytest.mark.usefixtures("eagerly")
def test_training_starts_from_a_name(network, server, tiny_config, tmp_path, run_main):
    quick = ("--set", "psnr.learning_rate=1e-12", "--set", "psnr.ema_decay=0", "--set")
    command = ("train", "--phase", "psnr", "--config", tiny_config, "--run_dir", tmp_path / "run", *quick)
    status, _, err = run_main(*command, "psnr.steps=0", "--init_from", "2x-small")
    assert status == 2  # the command checks the configuration first
    assert server.asked == []

    status, _, err = run_main(*command, "psnr.steps=1", "--init_from", "2x-small")
    assert status == 0, err
    image = np.random.default_rng(0).random((1, 5, 6, 3), dtype=np.float32)
    trained = esrgan_tf.load_model(tmp_path / "run" / "psnr" / "generator.keras")
    np.testing.assert_allclose(trained(image), network(image), atol=1e-5)
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["generator"]["filters"] == 4
    assert (tmp_path / "run" / "psnr" / "init_from.txt").read_text() == "2x-Small\n"

    # The same command resumes, whatever happened to the downloads; another name would be another run.
    server.stop()
    (tmp_path / "models" / "2x-Small.safetensors").unlink()
    status, out, err = run_main(*command, "psnr.steps=2", "--init_from", "2X-Small")
    assert status == 0, err
    assert "resuming phase psnr at step 1" in out
    status, _, err = run_main(*command, "psnr.steps=2", "--init_from", "2x-Smell")
    assert status == 2
    assert "has started from 2x-Small" in err
