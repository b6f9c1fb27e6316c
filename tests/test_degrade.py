"""`esrgan-tf degrade`: images and the file with their parameters."""

import io
import sys

import numpy as np
import pytest
import skimage.data
import yaml
from PIL import Image

import esrgan_tf
from esrgan_tf.config import load_config
from esrgan_tf.errors import UserError
from tests.conftest import REPOSITORY, run_process
from tests.test_metadata import carrier, encoded, xmp


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("degrade") / "photos"
    (folder / "more").mkdir(parents=True)
    Image.fromarray(skimage.data.astronaut()[:63, 130:210]).save(folder / "astronaut.jpg")
    Image.fromarray(skimage.data.chelsea()[80:160, 100:180]).save(folder / "more" / "chelsea.png")
    return folder


def pixels(path):
    return np.asarray(Image.open(path))


def test_an_image(folder, tmp_path, run_main):
    photo = folder / "more" / "chelsea.png"
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        status, out, err = run_main("degrade", photo, tmp_path / f"{name}.png", "--seed", seed)
        assert status == 0, err
        assert f"written: {tmp_path / name}.png, with the parameters beside it" in out
    assert pixels(tmp_path / "a.png").shape == (20, 20, 3)
    for kind in ("png", "yaml"):
        a, b, c = ((tmp_path / f"{name}.{kind}").read_bytes() for name in "abc")
        assert a == b != c
    drawn = yaml.safe_load((tmp_path / "a.yaml").read_text())
    assert {"sharpen", "first", "second", "method", "jpeg_last", "seed"} <= drawn.keys()
    assert 0.15 <= drawn["first"]["scale"] <= 1.5
    assert 30 <= drawn["second"]["quality"] <= 95


def test_a_folder_is_what_training_makes_of_it(folder, tmp_path, run_main):
    """Writes LR images with the same names and the right sizes for data.val_lr_dir."""
    status, _, err = run_main("degrade", folder, tmp_path / "low", "--set", "generator.scale=2")
    assert status == 0, err
    assert pixels(tmp_path / "low" / "astronaut.png").shape == (31, 40, 3)
    assert pixels(tmp_path / "low" / "more" / "chelsea.png").shape == (40, 40, 3)
    assert (tmp_path / "low" / "more" / "chelsea.yaml").is_file()
    from esrgan_tf.data import folder_source
    from esrgan_tf.data.degradations import Degradation

    degradation = Degradation(load_config(None, ["degradation.kind=second_order", "generator.scale=2"]))
    pairs = list(folder_source(str(folder), str(tmp_path / "low"), 2).pairs())
    assert [name for name, _, _ in pairs] == ["astronaut.jpg", "more/chelsea.png"]
    for i, (_, lr, hr) in enumerate(pairs):
        np.testing.assert_array_equal(lr, degradation(lr[None], hr[None], [(0, 0, 1 + i)])[0])


def test_without_degradation_it_is_downscaling(folder, tmp_path, run_main):
    mild = ["degradation.sharpen=false", "degradation.sinc_probability=0", "degradation_2.resize={keep: 1}"]
    for part in ("degradation_1", "degradation_2"):
        mild += [f"{part}.blur_probability=0", f"{part}.gaussian_probability=1", f"{part}.gaussian_sigma=[0, 0]"]
        mild += [f"{part}.jpeg_quality=[100, 100]"]
    mild += ["degradation_1.resize={down: 1}", "degradation_1.resize_scale=[0.25, 1]"]
    flags = [word for setting in mild for word in ("--set", setting)]
    photo = folder / "more" / "chelsea.png"
    assert run_main("degrade", photo, tmp_path / "mild.png", *flags)[0] == 0
    assert run_main("degrade", photo, tmp_path / "full.png")[0] == 0
    reduced = np.asarray(Image.open(photo).resize((20, 20), Image.Resampling.BOX)).astype(float)
    mild, full = (np.abs(pixels(tmp_path / f"{name}.png") - reduced).mean() for name in ("mild", "full"))
    assert mild < 8 < full


def test_broken_images_are_reported_and_the_others_done(folder, tmp_path, run_main):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nbut then no more")
    Image.fromarray(np.zeros((3, 9, 3), np.uint8)).save(tmp_path / "in" / "b.png")
    (tmp_path / "in" / "c.png").write_bytes((folder / "more" / "chelsea.png").read_bytes())
    status, _, err = run_main("degrade", tmp_path / "in", tmp_path / "out")
    assert status == 1
    lines = err.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'in' / 'a.png'}: cannot be read (")
    assert lines[1] == f"{tmp_path / 'in' / 'b.png'}: smaller than 4x4 pixels"
    assert lines[2] == f"1 of 3 images written to {tmp_path / 'out'}"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["c.png", "c.yaml"]


def test_a_program_degrades_a_folder_as_the_command_does(folder, tmp_path, run_main, capfd):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes((folder / "more" / "chelsea.png").read_bytes())
    (tmp_path / "in" / "broken.png").write_text("broken")
    assert run_main("degrade", tmp_path / "in", tmp_path / "command", "--seed", 5, "--set", "generator.scale=2")[0] == 1
    lines, steps = [], []
    config = load_config(None, ["generator.scale=2"])
    result = esrgan_tf.degrade(
        tmp_path / "in", tmp_path / "program", config, 5, say=lines.append, progress=lambda *step: steps.append(step)
    )
    assert capfd.readouterr() == ("", "")
    assert result.written == (tmp_path / "program" / "a.png",)
    assert list(result.left_out) == lines
    assert lines[0].startswith(f"{tmp_path / 'in' / 'broken.png'}: cannot be read (")
    assert steps == [(0, 2), (1, 2), (2, 2)]
    for name in ("a.png", "a.yaml"):
        assert (tmp_path / "program" / name).read_bytes() == (tmp_path / "command" / name).read_bytes()
    with pytest.raises(UserError, match="exists"):
        esrgan_tf.degrade(tmp_path / "in", tmp_path / "program")


def test_a_mistake_is_reported_without_tensorflow(tmp_path):
    program = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from esrgan_tf.cli.main import main\n"
        "sys.exit(main(['degrade', 'absent', 'out']))"
    )
    result = run_process(sys.executable, "-c", program, cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY)})
    assert result.returncode == 2
    assert result.stderr == "esrgan-tf: no file or folder absent\n"


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
def test_orientation_in_xmp_alone(kind, tmp_path, run_main):
    """Gives the result of the same pixels without XMP, turned upright."""
    photo = skimage.data.chelsea()[80:120, 100:180]
    (tmp_path / f"turned.{kind}").write_bytes(carrier(kind, xmp('tiff:Orientation="6"'), pixels=photo))
    with Image.open(io.BytesIO(encoded(kind, photo))) as image:
        image.convert("RGB").transpose(Image.Transpose.ROTATE_270).save(tmp_path / "upright.png")
    for name in (f"turned.{kind}", "upright.png"):
        status, _, err = run_main("degrade", tmp_path / name, tmp_path / "out" / f"{name}.png", "--seed", 7)
        assert status == 0, err
    assert pixels(tmp_path / "out" / "upright.png.png").shape == (20, 10, 3)
    np.testing.assert_array_equal(
        pixels(tmp_path / "out" / f"turned.{kind}.png"), pixels(tmp_path / "out" / "upright.png.png")
    )
