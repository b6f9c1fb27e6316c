"""`esrgan_tf.evaluate` and its reports, called from Python."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import skimage.data
from PIL import Image

import esrgan_tf
from esrgan_tf.errors import UserError
from esrgan_tf.evaluation import measures
from esrgan_tf.evaluation.reports import table, write_comparison_grid, write_report
from esrgan_tf.imaging.resampling import bicubic
from esrgan_tf.models import compact_generator
from esrgan_tf.weights.torch_files import save_torch
from tests import reference
from tests.conftest import randomise


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, and folders of HR and LR images."""
    place = tmp_path_factory.mktemp("evaluation")
    (place / "hr60").mkdir()
    (place / "lr").mkdir()
    for name in ("astronaut", "coffee", "chelsea"):
        hr = getattr(skimage.data, name)()[100:160, 150:230]
        Image.fromarray(hr).save(place / "hr60" / f"{name}.png")
        Image.fromarray(bicubic(hr, 15, 20)).save(place / "lr" / f"{name}x4.png")
    save_torch(randomise(compact_generator(4, filters=4, blocks=1)), place / "model.safetensors")
    return place


def test_a_program_gets_the_measures(place, tmp_path, capfd):
    """Prints and writes only through the caller's functions."""
    model, lines, steps = esrgan_tf.load_model(place / "model.safetensors"), [], []
    evaluation = esrgan_tf.evaluate(
        model, place / "hr60", place / "lr", say=lines.append, progress=lambda *step: steps.append(step)
    )
    assert capfd.readouterr() == ("", "")
    assert [image.name for image in evaluation.images] == ["astronaut.png", "chelsea.png", "coffee.png"]
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert lines[0].startswith(f"{model.name}: ")
    assert lines[1] == evaluation.protocol.partition("; LPIPS")[0]
    for image in evaluation.images:
        hr = np.asarray(Image.open(place / "hr60" / image.name))
        lr = np.asarray(Image.open(place / "lr" / image.name.replace(".png", "x4.png")))
        cubic = np.asarray(Image.fromarray(lr).resize((80, 60), Image.Resampling.BICUBIC))
        expected = reference.measures(hr, cubic, border=4)
        for measure in ("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb"):
            assert image.bicubic[measure] == pytest.approx(expected[measure], abs=2e-3 if "psnr" in measure else 1e-4)
    assert evaluation.mean.bicubic["ssim_y"] == pytest.approx(np.mean([i.bicubic["ssim_y"] for i in evaluation.images]))
    assert evaluation.left_out == ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        evaluation.mean = None
    write_report(evaluation, tmp_path / "new" / "r.json")
    assert json.loads((tmp_path / "new" / "r.json").read_text())["mean"]["model"] == evaluation.mean.model
    with pytest.raises(UserError, match=r"r\.txt: must end in \.json or \.csv"):
        write_report(evaluation, tmp_path / "r.txt")


def test_lr_images_without_a_partner_are_reported_to_the_caller(place, tmp_path, capfd):
    shutil.copytree(place / "lr", tmp_path / "lr")
    shutil.copy(place / "lr" / "coffeex4.png", tmp_path / "lr" / "other.png")
    lines = []
    esrgan_tf.evaluate(place / "model.safetensors", place / "hr60", tmp_path / "lr", say=lines.append)
    assert capfd.readouterr() == ("", "")
    assert lines[-1].startswith("note: lr_dir: 1 of 4 images have no partner in ")


def test_a_programs_mistake_names_the_argument(place, tmp_path):
    with pytest.raises(UserError, match=r"^hr_dir: no folder "):
        esrgan_tf.evaluate(place / "model.safetensors", tmp_path / "absent")
    with pytest.raises(UserError, match=r"^lr_dir: no folder "):
        esrgan_tf.evaluate(place / "model.safetensors", place / "hr60", tmp_path / "absent")


def test_crops_are_of_the_worst_and_the_best_images(place, tmp_path):
    """Evaluates eight images but does not keep the middle two; the comparison grid ranks all eight."""
    rng = np.random.default_rng(0)
    (tmp_path / "hr").mkdir()
    for i, noise in enumerate((9, 1, 5, 3, 8, 2, 7, 4)):
        pixels = np.clip(128 + noise * rng.standard_normal((40, 48, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "hr" / f"{i}.png")
    model = compact_generator(4, filters=2, blocks=0)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])  # repeats pixels
    evaluation = esrgan_tf.evaluate(model, tmp_path / "hr")
    assert sorted(evaluation.crops) == [f"{i}.png" for i in (0, 1, 3, 4, 5, 6)]
    lr, cubic, result, hr = evaluation.crops["0.png"]
    np.testing.assert_array_equal(lr, result)
    assert {crop.shape for crop in (lr, cubic, result, hr)} == {(160, 160, 3)}
    np.testing.assert_array_equal(hr[:40, :48], np.asarray(Image.open(tmp_path / "hr" / "0.png")))
    write_comparison_grid(evaluation, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as grid:
        assert 6 * 2 * 160 < grid.height < 8 * 2 * 160


def test_a_measure_is_one_row(place, tmp_path, monkeypatch):
    row = measures.Measure("mae", "MAE", ".1f", lambda: lambda hr, sr, border: np.abs(hr.astype(float) - sr).mean())
    monkeypatch.setattr(measures, "MEASURES", (*measures.MEASURES, row))
    monkeypatch.setattr("esrgan_tf.evaluation.reports.MEASURES", measures.MEASURES)
    evaluation = esrgan_tf.evaluate(place / "model.safetensors", place / "hr60")
    for image in evaluation.images:
        hr = np.asarray(Image.open(place / "hr60" / image.name))
        cubic = bicubic(bicubic(hr, 15, 20), 60, 80)
        assert image.bicubic["mae"] == pytest.approx(np.abs(hr.astype(float) - cubic).mean())
    assert table(evaluation).splitlines()[0].split()[-1] == "MAE"
    write_report(evaluation, tmp_path / "r.csv")
    assert "bicubic_mae" in (tmp_path / "r.csv").read_text()
