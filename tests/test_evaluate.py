"""`esrgan-tf evaluate`: its figures against an independent computation, its outputs, and user mistakes."""

import csv
import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from safetensors.torch import load_file
from skimage.metrics import structural_similarity

from esrgan_tf.evaluation.metrics import psnr, ssim
from esrgan_tf.imaging.resampling import bicubic
from esrgan_tf.models import compact_generator, rrdb_generator
from esrgan_tf.weights.torch_files import save_torch
from tests import reference, torch_reference
from tests.conftest import needs_shared, randomise, run_process
from tests.test_metadata import carrier, xmp


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, and folders of HR and LR images."""
    place = tmp_path_factory.mktemp("evaluate")
    (place / "hr").mkdir()
    (place / "lr").mkdir()
    for name in ("astronaut", "coffee", "chelsea"):
        hr = getattr(skimage.data, name)()[100:163, 150:230]  # 63x80: 4 does not divide it
        Image.fromarray(hr).save(place / "hr" / f"{name}.png")
        Image.fromarray(bicubic(hr[:60], 15, 20)).save(place / "lr" / f"{name}x4.png")
    (place / "hr60").mkdir()
    for path in (place / "hr").iterdir():
        Image.fromarray(np.asarray(Image.open(path))[:60]).save(place / "hr60" / path.name)
    model = randomise(compact_generator(4, filters=4, blocks=1))
    save_torch(model, place / "model.safetensors")
    gray = rrdb_generator(filters=4, blocks=1, growth=2, in_channels=1, out_channels=1)
    save_torch(gray, place / "gray.pth")
    return place


def test_report_is_the_independent_computation(place, tmp_path, run_main):
    outputs = ("--report", tmp_path / "r.json", "--report", tmp_path / "r.csv", "--comparison_grid", tmp_path / "s.png")
    status, out, err = run_main("evaluate", "--model", place / "model.safetensors", "--hr_dir", place / "hr", *outputs)
    assert status == 0, err
    network = torch_reference.Compact(4, 4, 1)
    network.load_state_dict(load_file(place / "model.safetensors"))
    report = json.loads((tmp_path / "r.json").read_text())
    assert [image["name"] for image in report["images"]] == ["astronaut.png", "chelsea.png", "coffee.png"]
    sums = {}
    for image in report["images"]:
        hr = np.asarray(Image.open(place / "hr" / image["name"]))[:60]
        lr = np.asarray(Image.fromarray(hr).resize((20, 15), Image.Resampling.BICUBIC))
        sr = reference.eight_bits(torch_reference.run(network, lr[np.newaxis].astype(np.float32) / 255)[0])
        cubic = np.asarray(Image.fromarray(lr).resize((80, 60), Image.Resampling.BICUBIC))
        for who, result in (("model", sr), ("bicubic", cubic)):
            for measure, value in image[who].items():
                expected = reference.measures(hr, result, border=4)[measure]
                assert value == pytest.approx(expected, abs=2e-3 if "psnr" in measure else 1e-4), measure
                sums.setdefault((who, measure), []).append(value)
    for (who, measure), values in sums.items():
        assert report["mean"][who][measure] == pytest.approx(np.mean(values))

    # All outputs have the same figures and the protocol.
    lines = out.splitlines()
    mean = next(line.split() for line in lines if line.startswith("mean of 3"))
    assert mean[-4:] == [
        format(report["mean"]["model"][m], f) for m, f in zip(report["mean"]["model"], (".2f", ".4f") * 2, strict=True)
    ]
    assert any(line.startswith("bicubic, mean") for line in lines)
    with open(tmp_path / "r.csv", encoding="utf-8", newline="") as file:
        assert file.readline().strip() == f"# {place / 'model.safetensors'}: {report['protocol']}"
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["astronaut.png", "chelsea.png", "coffee.png", "mean"]
    assert float(rows[-1]["bicubic_ssim_rgb"]) == report["mean"]["bicubic"]["ssim_rgb"]
    for fact in ("8-bit", "4 pixels of border", "BT.601", "11x11 Gaussian window of sigma 1.5", "made by Pillow's"):
        assert fact in report["protocol"]
    assert report["protocol"] in out
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.width == 4 * 2 * 160
        assert sheet.height > 3 * 2 * 160


def test_failed_measurements_are_reported_and_the_others_done(place, tmp_path, run_main):
    shutil.copytree(place / "hr", tmp_path / "hr")
    (tmp_path / "hr" / "broken.png").write_text("broken")
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "hr" / "small.png")
    flags = ("--model", place / "model.safetensors", "--hr_dir", tmp_path / "hr", "--report", tmp_path / "r.json")
    status, out, err = run_main("evaluate", *flags)
    assert status == 1
    assert "mean of 3" in out
    assert len(json.loads((tmp_path / "r.json").read_text())["images"]) == 3
    assert err.count("esrgan-tf: left out: ") == err.count("\n") == 2
    assert "small.png is 16x16" in err
    assert "broken.png (" in err


def test_given_lr_images_are_used_and_reported(place, run_main):
    flags = ("--model", place / "model.safetensors", "--hr_dir", place / "hr60", "--lr_dir", place / "lr")
    status, out, err = run_main("evaluate", *flags)
    assert status == 0, err
    assert "low resolution given" in out


def test_a_perfect_image_has_no_finite_psnr(place, tmp_path, run_main):
    """Evaluates the identity at scale 1: JSON has no number for infinity."""
    model = compact_generator(1, filters=2, blocks=0)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    model.save(tmp_path / "same.keras")
    status, out, err = run_main(
        "evaluate", "--model", tmp_path / "same.keras", "--hr_dir", place / "hr", "--report", tmp_path / "r.json"
    )
    assert status == 0, err
    assert "inf" in out
    assert json.loads((tmp_path / "r.json").read_text())["mean"]["model"]["psnr_y"] is None


@pytest.mark.parametrize("exact", ["bicubic alone", "model and bicubic"])
def test_the_mean_is_of_the_images_that_are_not_exact(exact, place, tmp_path, run_main):
    """Bicubic reproduces a flat image, and so does a network that only repeats pixels. Both means leave it out."""
    shutil.copytree(place / "hr60", tmp_path / "hr")
    Image.fromarray(np.full((60, 80, 3), 77, np.uint8)).save(tmp_path / "hr" / "flat.png")
    network = randomise(compact_generator(4, filters=2, blocks=0))
    if exact == "model and bicubic":
        network.set_weights([np.zeros_like(weight) for weight in network.get_weights()])
    network.save(tmp_path / "model.keras")
    reports = ("--report", tmp_path / "r.json", "--report", tmp_path / "r.csv", "--comparison_grid", tmp_path / "s.png")
    status, out, err = run_main("evaluate", "--model", tmp_path / "model.keras", "--hr_dir", tmp_path / "hr", *reports)
    assert status == 0, err
    report = json.loads((tmp_path / "r.json").read_text())
    flat = next(image for image in report["images"] if image["name"] == "flat.png")
    others = [image for image in report["images"] if image is not flat]
    assert [who for who in ("model", "bicubic") if flat[who]["psnr_y"] is None] == exact.removesuffix(" alone").split(
        " and "
    )
    for who in ("model", "bicubic"):
        for measure, mean in report["mean"][who].items():
            counted = others if measure.startswith("psnr") else report["images"]
            assert mean == pytest.approx(np.mean([image[who][measure] for image in counted]))
    note = "the mean PSNR leaves out 1 of 4 images, exact by the model or by bicubic: flat.png"
    assert note in out.splitlines()
    assert report["protocol"].endswith(f"; {note}")
    with open(tmp_path / "r.csv", encoding="utf-8", newline="") as file:
        assert file.readline().strip().endswith(note)
        mean = list(csv.DictReader(file))[-1]
    assert float(mean["psnr_y"]) == report["mean"]["model"]["psnr_y"]
    assert float(mean["bicubic_psnr_y"]) == report["mean"]["bicubic"]["psnr_y"]


def test_lpips_is_left_out_with_a_sentence(place, run_main, monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    _, out, _ = run_main("evaluate", "--model", place / "model.safetensors", "--hr_dir", place / "hr")
    assert "LPIPS is left out: it needs the packages lpips and torchvision, and AlexNet's weights" in out
    assert "LPIPS  " not in out


def test_lpips_is_given_images_as_it_wants_them(place, run_main, monkeypatch):
    """Not every machine has LPIPS' weights, so a function replaces the network: [B, 3, H, W] in [-1, 1]."""

    def distance(hr, sr):
        for image in (hr, sr):
            assert image.shape == (1, 3, 60, 80)
            assert image.dtype == torch.float32
            assert -1 <= image.min() < -0.5 < 0.5 < image.max() <= 1
        return (hr - sr).abs().mean()

    package = types.ModuleType("lpips")
    package.LPIPS = lambda net, verbose: distance
    monkeypatch.setitem(sys.modules, "lpips", package)
    status, out, err = run_main("evaluate", "--model", place / "model.safetensors", "--hr_dir", place / "hr")
    assert status == 0, err
    assert "LPIPS" in next(line for line in out.splitlines() if line.startswith("image"))


def test_the_command_checks_its_flags_without_tensorflow():
    program = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from esrgan_tf.cli.main import main\n"
        "sys.exit(main(['evaluate', '--model', 'photo', '--hr_dir', '.', '--report', 'r.txt']))"
    )
    result = run_process(sys.executable, "-c", program)
    assert result.returncode == 2
    assert result.stderr == "esrgan-tf: r.txt: must end in .json or .csv\n"


@pytest.mark.shared
def test_published_weights_on_set5(tmp_path, run_main):
    """Computes the figures of docs/evaluation.md without this package: PyTorch, NumPy, Pillow."""
    weights, folder = needs_shared("realesrgan_compact", "realesr-general-x4v3.safetensors"), needs_shared("set5")
    flags = ("--hr_dir", folder / "hr", "--lr_dir", folder / "lr_x4", "--report", tmp_path / "r.json")
    status, _, err = run_main("evaluate", "--model", weights, *flags)
    assert status == 0, err
    report = json.loads((tmp_path / "r.json").read_text())
    network = torch_reference.Compact(blocks=32)
    network.load_state_dict(load_file(weights))
    values = []
    for path in sorted((folder / "hr").iterdir()):
        hr = np.asarray(Image.open(path).convert("RGB"))
        lr = np.asarray(Image.open(folder / "lr_x4" / path.name).convert("RGB"))
        sr = reference.eight_bits(torch_reference.run(network, lr[np.newaxis].astype(np.float32) / 255)[0])
        values.append(reference.measures(hr, sr, border=4))
    for measure, value in report["mean"]["model"].items():
        expected = np.mean([image[measure] for image in values])
        assert value == pytest.approx(expected, abs=2e-3 if "psnr" in measure else 1e-4)
    assert report["mean"]["bicubic"]["psnr_y"] == pytest.approx(28.43, abs=0.01)
    page = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text()
    for value, form in ((report["mean"]["model"]["psnr_y"], ".2f"), (report["mean"]["model"]["ssim_y"], ".4f")):
        assert format(value, form) in page


def test_rgb_measures_agree_with_scikit_image():
    hr, sr = skimage.data.astronaut()[:90, :80], skimage.data.astronaut()[1:91, :80]
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    _, full = structural_similarity(hr[4:-4, 4:-4], sr[4:-4, 4:-4], full=True, channel_axis=2, **settings)
    assert ssim(hr, sr, 4, "rgb") == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-4)
    error = np.mean((hr[4:-4, 4:-4].astype(float) - sr[4:-4, 4:-4]) ** 2)
    assert psnr(hr, sr, 4, "rgb") == pytest.approx(10 * np.log10(255**2 / error))


MISTAKES = {
    "no model": (("--model", "{tmp}/absent.pth", "--hr_dir", "{place}/hr"), "--model: no file or folder"),
    "no folder": (("--model", "{model}", "--hr_dir", "{tmp}/absent"), "--hr_dir: no folder {tmp}/absent"),
    "empty folder": (("--model", "{model}", "--hr_dir", "{tmp}/empty"), "--hr_dir: no image in {tmp}/empty"),
    "no partner": (
        ("--model", "{model}", "--hr_dir", "{place}/hr", "--lr_dir", "{tmp}/one"),
        "--lr_dir: {tmp}/one lacks",
    ),
    "sizes that do not fit": (
        ("--model", "{model}", "--hr_dir", "{tmp}/small", "--lr_dir", "{tmp}/wrong"),
        "--hr_dir: 1 of 1 images are unusable: a.png (the LR and HR images are 5x5 and 16x16, not 1:4)",
    ),
    "too small": (("--model", "{model}", "--hr_dir", "{tmp}/small"), "a.png is 16x16; SSIM needs 19 pixels"),
    "report of another kind": (
        ("--model", "{model}", "--hr_dir", "{place}/hr", "--report", "{tmp}/r.txt"),
        "must end in",
    ),
    "sheet of another kind": (
        ("--model", "{model}", "--hr_dir", "{place}/hr", "--comparison_grid", "{tmp}/s.jpg"),
        "must end in .png",
    ),
    "report below a file": (
        ("--model", "{model}", "--hr_dir", "{place}/hr", "--report", "{model}/r.json"),
        "is a file, not a folder",
    ),
    "gray model": (
        ("--model", "{place}/gray.pth", "--hr_dir", "{place}/hr"),
        "1 out; evaluation is on RGB",
    ),
    "stray argument": (("--model", "{model}", "--hr_dir", "{place}/hr", "now"), "what is 'now'?"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake, place, tmp_path, run_main):
    for name in ("empty", "one", "small", "wrong"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.zeros((15, 20, 3), np.uint8)).save(tmp_path / "one" / "other.png")
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "small" / "a.png")
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(tmp_path / "wrong" / "a.png")
    argv, message = MISTAKES[mistake]
    names = {"tmp": tmp_path, "place": place, "model": place / "model.safetensors"}
    before = sorted(tmp_path.rglob("*"))
    status, _, err = run_main("evaluate", *(argument.format(**names) for argument in argv))
    assert status == 2
    assert message.format(**names) in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_the_earlier_name_of_a_flag_is_read_with_a_line(tmp_path, run_main):
    status, _, err = run_main("evaluate", "--model", "photo", "--hr_dir", tmp_path, f"--sheet={tmp_path}/s.jpg")
    assert status == 2
    note, error = err.splitlines()
    assert note == "note: --sheet is now --comparison_grid"
    assert error.endswith("s.jpg: must end in .png")


def test_orientation_in_xmp_alone(place, tmp_path, run_main):
    """HR and LR images that only XMP marks as rotated have the figures of upright images."""
    photo = skimage.data.chelsea()[80:140, 100:180]
    small = np.asarray(Image.fromarray(photo).resize((20, 15), Image.Resampling.BICUBIC))
    reports = []
    for turned in (False, True):
        for folder, pixels in (("hr", photo), ("lr", small)):
            path = tmp_path / f"{folder}{turned}" / "a.png"
            path.parent.mkdir()
            if turned:  # orientation 8 turns it back
                path.write_bytes(carrier("png", xmp('tiff:Orientation="8"'), pixels=np.rot90(pixels, -1)))
            else:
                Image.fromarray(pixels).save(path)
        folders = ("--hr_dir", tmp_path / f"hr{turned}", "--lr_dir", tmp_path / f"lr{turned}")
        report = tmp_path / f"{turned}.json"
        status, _, err = run_main("evaluate", "--model", place / "model.safetensors", *folders, "--report", report)
        assert status == 0, err
        reports.append(json.loads(report.read_text())["images"])
    assert reports[0] == reports[1]
