"""The programs that create a distilled upscaler's training data, and judge the result."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

from benchmarks import distillation, distillation_data, observers
from esrgan_tf.config import load_config
from esrgan_tf.errors import UserError
from esrgan_tf.models import compact_resnet_generator


@pytest.fixture
def photo():
    """An RGB image of 200x180 pixels with detail everywhere."""
    noise = gaussian_filter(np.random.default_rng(0).standard_normal((180, 200, 3)), (1.5, 1.5, 0))
    return Image.fromarray(np.uint8(np.clip(128 + 200 * noise, 0, 255)))


def test_a_crop_depends_on_its_seed_alone(photo):
    first, again, other = (distillation_data.degraded_crop(photo, np.random.default_rng(seed)) for seed in (3, 3, 4))
    for a, b, c in zip(first, again, other, strict=True):
        assert a.shape == (distillation_data.CROP, distillation_data.CROP, 3)
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


def test_degradations_of_every_kind_occur_and_are_moderate(photo):
    crops = [distillation_data.degraded_crop(photo, np.random.default_rng(seed)) for seed in range(60)]
    errors = np.array([np.sqrt(np.square(clean - degraded.astype(float)).mean()) for clean, degraded in crops])
    assert (errors == 0).any()
    assert errors.max() < 40
    assert 3 < np.median(errors) < 20


@pytest.mark.parametrize("seed", range(6))
def test_a_true_pair_is_a_photo_and_its_downscaled_copy(seed):
    noise = gaussian_filter(np.random.default_rng(0).standard_normal((300, 410, 3)), (12, 12, 0))
    photo = Image.fromarray(np.uint8(np.clip(128 + 1500 * noise, 0, 255)))
    hr, lr = distillation_data.true_pair(photo, np.random.default_rng(seed))
    assert (hr.shape, lr.shape) == ((300, 300, 3), (75, 75, 3))
    x = next(x for x in range(111) if (np.asarray(photo)[:, x : x + 300] == hr).all())
    assert 0 <= x <= 110
    downscaled = hr.reshape(75, 4, 75, 4, 3).mean(axis=(1, 3))
    assert np.abs(downscaled - lr).mean() < 15  # noise and compression, but the same position
    assert np.corrcoef(downscaled.ravel(), lr.ravel())[0, 1] > 0.9


def test_a_target_has_the_colours_of_the_clean_crop(photo):
    """The teacher draws the crop correctly, but darker and redder."""
    clean = np.asarray(photo)[:64, :64]
    upscaled = np.stack([zoom(clean[..., c].astype(float), 4, order=1) for c in range(3)], axis=-1)
    detail = 20 * np.sin(np.arange(256) * np.pi / 2)[:, None, None]  # a period of 4 pixels, which downscaling removes
    teacher = np.uint8(np.clip(upscaled + detail + [9.0, -6.0, -6.0], 0, 255))
    target = distillation_data.target(teacher, clean, fine=0.0)
    drift = [np.abs((image.astype(float) - upscaled).mean(axis=(0, 1))) for image in (teacher, target)]
    assert drift[0].min() > 4
    assert drift[1].max() < 0.7
    rows = [np.abs(np.fft.rfft(image.astype(float).mean(axis=(1, 2))))[64] for image in (teacher, target)]
    np.testing.assert_allclose(rows[1], rows[0], rtol=0.05)  # the detail remains


def test_a_target_leaves_out_the_noise_that_the_teacher_removed():
    rng = np.random.default_rng(0)
    clean = np.uint8(np.clip(128 + 2 * rng.standard_normal((64, 64, 3)), 0, 255))
    teacher = np.full((256, 256, 3), 128, np.uint8)
    kept, left_out = (distillation_data.target(teacher, clean, 0.5, grain) for grain in (0.0, distillation_data.GRAIN))
    assert kept.std() > 0.8
    assert left_out.std() < 0.6  # only coarse differences remain: brightness and colour


def test_a_target_with_all_fine_differences_downscales_to_the_clean_crop(photo):
    clean = np.asarray(photo)[:64, :64]
    teacher = np.full((256, 256, 3), 128, np.uint8)
    found = [distillation_data.target(teacher, clean, fine, grain=0.0) for fine in (0.0, 1.0)]
    errors = [
        np.abs(np.asarray(Image.fromarray(t).resize((64, 64), Image.Resampling.BICUBIC)) - clean.astype(float))
        for t in found
    ]
    assert errors[1].mean() < 0.35 * errors[0].mean()


def write_answers(folder, key, lines):
    folder.mkdir()
    (folder / "key.json").write_text(json.dumps(key))
    (folder / "answers.txt").write_text("\n".join(lines) + "\n")


KEY = {"01": {"A": "old", "B": "new", "C": "other"}, "02": {"A": "new", "B": "other", "C": "old"}}


def test_answers_are_counted(tmp_path, capsys):
    write_answers(tmp_path / "1", KEY, ["01 B A C", "02 A B C"])
    write_answers(tmp_path / "2", KEY, ["02 C A B", "01 B C A"])
    observers.print_counts([tmp_path / "1", tmp_path / "2"])
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert ["new", "3", "0"] in cells
    assert ["old", "1", "2"] in cells
    assert ["other", "0", "2"] in cells
    assert ["new", "", "3", "4"] in cells
    assert ["old", "1", "", "2"] in cells


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["01 B A", "02 A B C"], r"'01 B A'; expected 01 A B C in another order, once"),
        (["01 B A C", "01 B A C"], r"expected 01 A B C in another order, once"),
        (["01 B A C", "03 B A C"], r"'03 B A C'; expected a grid's number"),
        (["01 B A C"], r"lacks 02"),
        (["01 B A C", "02 A B C", "", "done"], r"'done'; expected a grid's number"),
    ],
)
def test_answers_that_are_no_rankings_are_refused(tmp_path, lines, message):
    write_answers(tmp_path / "1", KEY, lines)
    with pytest.raises(UserError, match=message):
        observers.read_rankings(tmp_path / "1")


def test_a_grid_shows_the_input_and_each_result_under_its_letter(tmp_path, monkeypatch):
    """Results differ by colour; the key names the result that each letter shows."""
    Image.fromarray(np.uint8(np.random.default_rng(1).integers(0, 256, (200, 260, 3)))).save(tmp_path / "a.png")
    (tmp_path / "crops.csv").write_text("file,left,top,format,quality\na.png,3,9,,\na.png,100,60,jpeg,40\n")
    values = {"one": 10, "two": 120, "three": 230}
    size = (observers.SCALE * observers.HEIGHT, observers.SCALE * observers.WIDTH, 3)
    monkeypatch.setattr(
        observers, "upscaled", lambda pictures, models: {n: [np.full(size, values[n], np.uint8)] * 2 for n in models}
    )
    arguments = ["grids", tmp_path / "out", "--photos", tmp_path, "--crops", tmp_path / "crops.csv"]
    arguments += ["--observers", 2, *(word for name in values for word in ("--model", name))]
    monkeypatch.setattr("sys.argv", ["observers", *map(str, arguments)])
    observers.main()
    height, width, _ = size
    photo = np.asarray(Image.open(tmp_path / "a.png"))
    for observer in "12":
        key = json.loads((tmp_path / "out" / observer / "key.json").read_text())
        for number, shown in (("01", photo[9 : 9 + 120, 3 : 3 + 136]), ("02", None)):
            grid = np.asarray(Image.open(tmp_path / "out" / observer / "grids" / f"{number}.png"))
            assert grid.shape == (2 * (height + 36), 2 * width, 3)
            corners = [(36, 0), (36, width), (height + 72, 0), (height + 72, width)]
            tiles = [grid[y : y + height, x : x + width] for y, x in corners]
            assert {letter: int(t.mean()) for letter, t in zip("ABC", tiles[1:], strict=True)} == {
                letter: values[name] for letter, name in key[number].items()
            }
            if shown is not None:
                np.testing.assert_array_equal(tiles[0][::4, ::4], shown)


def test_the_default_crops_are_24_and_half_of_them_compressed():
    crops = observers.read_crops(observers.HERE / "observers.csv")
    assert len(crops) == len(set(crops)) == 24
    assert sum(crop.format != "" for crop in crops) == 12


def test_stages_are_what_the_configuration_allows():
    """Every key exists, and each stage can start from the stage before."""
    for stage in distillation.STAGES:
        settings = {**stage.settings, f"{stage.phase}.steps": stage.steps, "data.hr_dir": "photos"}
        config = load_config(distillation.CONFIG, [f"{key}={value}" for key, value in settings.items()])
        assert config.data.hr_patch <= 4 * (distillation_data.CROP - 2 * distillation_data.MARGIN)
        assert config.data.hr_patch % config.discriminator.multiple == 0
        assert 2_000_000 <= compact_resnet_generator(**config.generator.arguments).count_params() <= 2_500_000
    assert len({stage.name for stage in distillation.STAGES}) == len(distillation.STAGES)
