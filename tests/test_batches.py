"""One bad file of many gives one line: `upscale`, `evaluate`, `degrade` and training's folders.

The file names and the system's errors are real. `obeying_permissions` applies permissions to root too.
"""

import contextlib
import csv
import io
import json
import os
import re
import socket
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from esrgan_tf.cli.main import entry_point
from esrgan_tf.config import load_config
from esrgan_tf.data import folder as folder_module
from esrgan_tf.data import folder_source, open_store
from esrgan_tf.data.datasets import open_data
from esrgan_tf.errors import UserError, printable
from esrgan_tf.inference import image_files as upscaling_files
from esrgan_tf.models import compact_generator
from tests.conftest import needs_trial, obeying_permissions

PHOTO = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
LATIN_1, SHIFT_JIS = os.fsdecode(b"caf\xe9.png"), os.fsdecode(b"\x83e\x83X\x83g.png")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network that repeats each pixel twice in both directions."""
    network = compact_generator(2, filters=4, blocks=0)
    network.set_weights([np.zeros_like(weight) for weight in network.get_weights()])
    path = tmp_path_factory.mktemp("model") / "nearest.keras"
    network.save(path)
    return path


def save(path, image=PHOTO):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def photos(folder, *names):
    for name in names:
        save(folder / name)
    return folder


def link(target):
    return lambda path: path.symlink_to(target)


def shut_folder(path):
    save(path / "b.png")
    path.chmod(0)


def shut_file(path):
    save(path)
    path.chmod(0)


def listening(path):
    """A socket, created from its folder because a socket's address must be short."""
    before = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


def too_deep(path):
    """A folder with a path longer than the system accepts, and an image in the folder."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    for name in [path.name, *["d" * 250] * 17]:
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)


BAD = {
    # name: (name in the folder, function that creates the file, message)
    "dead link": ("m.png", link("nowhere.png"), "m.png.*a link to a file that does not exist"),
    "looping link": ("m.png", link("m.png"), "m.png.*a link that leads back to itself"),
    "pipe": ("m.png", os.mkfifo, "m.png.*not a regular file"),
    "socket": ("m.png", listening, "m.png.*not a regular file"),
    "device": ("m.png", link("/dev/zero"), "m.png.*not a regular file"),
    "shut folder": ("m", shut_folder, "m.*Permission denied"),
    "shut file": ("m.png", shut_file, "m.png.*Permission denied"),
    "folder too deep": ("m", too_deep, "m/d+.*File name too long"),
    "broken file": ("m.png", lambda path: path.write_bytes(b"\x89PNG"), "m.png.*"),
    "empty file": ("m.png", lambda path: path.touch(), "m.png.*"),
}


@pytest.fixture(params=BAD)
def batch(request, tmp_path):
    """A folder of two good files and a bad file between them; and the expected message."""
    name, make, words = BAD[request.param]
    folder = photos(tmp_path / "in", "a.png", "z.png")
    make(folder / name)
    with obeying_permissions():
        yield folder, words
    with contextlib.suppress(OSError):
        (folder / name).chmod(0o755)


def lines_on(words, err):
    return [line for line in err.splitlines() if re.search(words, line)]


def test_upscaling_continues_after_a_bad_file(batch, model, tmp_path, run_main):
    folder, words = batch
    status, out, err = run_main("upscale", folder, "--recursive", "--model", model, "--output", tmp_path / "out")
    assert status == 1
    assert len(lines_on(words, err)) == err.count("\n") == 1, err
    assert "2 upscaled in " in out
    assert out.endswith(", 1 failed\n")
    for name in ("a.png", "z.png"):
        expected = PHOTO.repeat(2, axis=0).repeat(2, axis=1)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / name)), expected)


def test_upscaling_of_names_continues_after_a_bad_file(batch, model, tmp_path, run_main):
    folder, words = batch
    names = sorted(folder.iterdir())
    flags = ("--recursive", "--model", model, "--output", tmp_path / "out")
    status, out, err = run_main("upscale", *names, *flags)
    assert status == 1
    assert len(lines_on(words, err)) == err.count("\n") == 1, err
    assert out.endswith(", 1 failed\n")
    assert sorted(os.listdir(tmp_path / "out")) == ["a.png", "z.png"]
    status, _, err = run_main("upscale", names[1], *flags, "--overwrite")  # without other files, no work remains
    assert status in (1, 2)
    assert len(lines_on(words, err)) == err.count("\n") == 1, err


def test_evaluation_continues_after_a_bad_file(batch, model, tmp_path, run_main):
    folder, words = batch
    status, out, err = run_main("evaluate", "--model", model, "--hr_dir", folder)
    assert status == 1
    assert "mean of 2" in out
    assert len(lines_on("left out: " + words, err)) == err.count("\n") == 1, err


def test_degrading_continues_after_a_bad_file(batch, tmp_path, run_main):
    folder, words = batch
    status, _, err = run_main("degrade", folder, tmp_path / "out")
    assert status == 1
    assert len(lines_on(words, err)) == 1
    assert err.splitlines()[1:] == [f"2 of 3 images written to {tmp_path / 'out'}"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["a.png", "z.png"]


def test_training_names_it_each_time(batch, tmp_path, capfd):
    folder, words = batch
    refused, chosen = (folder_source(str(folder), None, 4, skip_unreadable=skip) for skip in (False, True))
    for _ in range(2):
        with pytest.raises(UserError, match=rf"hr_dir: 1 of 3 images are unusable: {words}.*; repair or remove"):
            open_store(refused, tmp_path / "cache")
    capfd.readouterr()
    for _ in range(2):
        assert open_store(chosen, tmp_path / "cache").names == ["a.png", "z.png"]
        err = capfd.readouterr().err
        assert len(lines_on(rf"left out, data\.hr_dir: 1 of 3 images are unusable: {words}", err)) == 1


def test_a_bad_partner_is_named(batch, tmp_path):
    """A name that is no file is reported as an unreadable partner, not as a missing partner."""
    folder, words = batch
    low = photos(tmp_path / "low", "a.png", "z.png")
    for name in ("a.png", "z.png"):
        save(low / name, PHOTO[:8, :10])
    if words.startswith("m.png"):
        save(tmp_path / "high" / "m.png")
        photos(tmp_path / "high", "a.png", "z.png")
        for name in ("a.png", "z.png"):
            save(folder / name, PHOTO[:8, :10])
        pairs = folder_source(str(tmp_path / "high"), str(folder), 4)
        words = r"m\.png \(its LR partner: " + words.removeprefix("m.png.*")
    else:
        pairs = folder_source(str(folder), str(low), 4)
    with pytest.raises(UserError, match=f"1 of 3 images are unusable: {words}"):
        list(pairs.pairs())


@pytest.fixture
def odd_names(tmp_path):
    """Names that are not UTF-8, contain a line break, or contain a terminal escape sequence."""
    folder, names = tmp_path / "in", [LATIN_1, SHIFT_JIS, "two\nlines.png", "\x1b[2J.png"]
    for name in names:
        try:
            save(folder / name)
        except OSError:
            pytest.skip("this disk has names in UTF-8 only")
    return folder, sorted(names)


SHOWN = ["\\x1b[2J.png", "caf\\xe9.png", "two\\nlines.png", "\\x83e\\x83X\\x83g.png"]


def test_names_of_any_bytes_are_upscaled(odd_names, model, tmp_path, run_main):
    folder, names = odd_names
    status, out, err = run_main("upscale", folder, "--model", model, "--output", tmp_path / "out")
    assert (status, err) == (0, "")
    assert "4 upscaled in " in out
    assert sorted(os.listdir(tmp_path / "out")) == names
    inputs = [folder / name for name in names]
    for path in inputs:
        path.write_bytes(b"broken")
    status, out, err = run_main("upscale", *inputs, "--model", model, "--output", tmp_path / "out", "--overwrite")
    assert (status, out.count("4 failed")) == (1, 1)
    assert sorted(err.splitlines()) == sorted(
        f"esrgan-tf: {folder}/{name}: not an image; PNG, JPEG, WebP, TIFF, BMP, PNM, GIF, AVIF and HEIC are read"
        for name in SHOWN
    )


def test_names_of_any_bytes_are_measured(odd_names, model, tmp_path, run_main):
    folder, _ = odd_names
    reports = ("--report", tmp_path / "r.json", "--report", tmp_path / "r.csv", "--comparison_grid", tmp_path / "s.png")
    status, _, err = run_main("evaluate", "--model", model, "--hr_dir", folder, *reports)
    assert (status, err) == (0, "")
    images = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["images"]
    with open(tmp_path / "r.csv", newline="", encoding="utf-8") as file:
        rows = [row[0] for row in csv.reader(file)][2:-1]
    assert sorted(image["name"] for image in images) == sorted(rows) == sorted(SHOWN)


def test_names_of_any_bytes_are_degraded_and_trained_on(odd_names, tmp_path, run_main):
    folder, names = odd_names
    status, _, err = run_main("degrade", folder, tmp_path / "out")
    assert (status, err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == names
    store = open_store(folder_source(str(folder), str(tmp_path / "out"), 4), tmp_path / "cache")
    assert sorted(store.names) == names
    (folder / LATIN_1).write_bytes(b"broken")
    with pytest.raises(UserError, match=r"1 of 4 images are unusable: caf\\xe9\.png \("):
        open_store(folder_source(str(folder), None, 4), tmp_path / "cache")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_no_encoding_of_the_output_ends_a_batch(encoding, model, tmp_path, monkeypatch):
    photos(tmp_path / "é日", "é日.png", "broken.png")
    (tmp_path / "é日" / "broken.png").write_text("broken")
    errors = {"stdout": "strict", "stderr": "backslashreplace"}  # Python's defaults
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding, how) for name, how in errors.items()}
    argv = ["esrgan-tf", "upscale", tmp_path / "é日", "--model", model, "--output", tmp_path / "日"]
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in argv])
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    with pytest.raises(SystemExit) as end:
        entry_point()
    assert end.value.code == 1
    for stream in streams.values():
        stream.seek(0)
    out, err = streams["stdout"].read(), streams["stderr"].read()
    assert re.search(r"1 upscaled in .*\\u65e5.*, 1 failed\n", out)
    assert "\\u65e5" in err
    assert (tmp_path / "日" / "é日.png").is_file()


def test_escaped_characters():
    for text, shown in (("日\u3000é.png", "日\u3000é.png"), ("a\tb", "a\\tb"), ("\ud800", "\\ud800")):
        assert printable(text) == shown


@pytest.mark.parametrize("error", [MemoryError(), ValueError("no such thing\nat all"), RuntimeError()])
def test_any_error_of_one_file_is_that_file(error, model, tmp_path, run_main, monkeypatch):
    """Replaces functions to raise faults that no file causes."""
    folder = photos(tmp_path / "in", "a.png", "m.png", "z.png")

    def failing(function):
        def call(path, *rest):
            if "m.png" in str(path):
                raise error
            return function(path, *rest)

        return call

    words = {"MemoryError": "there is not enough memory for it", "ValueError": "ValueError: no such thing"}
    words = words.get(type(error).__name__, "RuntimeError: RuntimeError")
    with monkeypatch.context() as patch:
        patch.setattr(upscaling_files, "upscale_file", failing(upscaling_files.upscale_file))
        status, out, err = run_main("upscale", folder, "--model", model, "--output", tmp_path / "out")
    assert (status, err) == (1, f"esrgan-tf: {folder / 'm.png'}: {words}\n")
    assert out.endswith(", 1 failed\n")
    monkeypatch.setattr(folder_module, "read_rgb", failing(folder_module.read_rgb))
    status, out, err = run_main("evaluate", "--model", model, "--hr_dir", folder)
    assert (status, "mean of 2" in out) == (1, True)
    assert err == f"esrgan-tf: left out: m.png ({words.removeprefix('ValueError: ').removeprefix('RuntimeError: ')})\n"


def test_an_interrupt_ends_the_batch(model, tmp_path, run_main, monkeypatch):
    folder = photos(tmp_path / "in", "a.png", "z.png")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(upscaling_files, "upscale_file", interrupted)
    status, _, err = run_main("upscale", folder, "--model", model, "--output", tmp_path / "out")
    assert (status, err) == (130, "esrgan-tf: interrupted\n")


def test_a_name_too_long_for_its_result_is_that_file(model, tmp_path, run_main):
    names = [f"{'n' * 251}.png", "short.png"]
    folder = photos(tmp_path / "in", *names)
    status, _, err = run_main("upscale", *(folder / name for name in names), "--model", model)
    assert status == 1
    assert re.fullmatch(r"esrgan-tf: .*n\.png: .*n_x2\.png: File name too long\n", err)
    assert (folder / "short_x2.png").is_file()
    status, _, err = run_main("degrade", folder, tmp_path / "out")  # .yaml is longer than .png
    assert status == 1
    assert "File name too long" in err.splitlines()[0]
    assert (tmp_path / "out" / "short.yaml").is_file()


@pytest.mark.parametrize("target", ["loop", "dead"])
def test_a_link_that_leads_nowhere_takes_no_results(target, model, tmp_path, run_main):
    photos(tmp_path, "a.png")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dead").symlink_to("nowhere")
    words = {"loop": "is a link that leads back to itself", "dead": "is a link to a folder that does not exist"}[target]
    place = tmp_path / target
    for command in (
        ("upscale", tmp_path / "a.png", "--model", model, "--output", place),
        ("upscale", tmp_path, "--model", model, "--output", place),
        ("degrade", tmp_path, place / "out"),
        ("evaluate", "--model", model, "--hr_dir", tmp_path, "--report", place / "r.json"),
    ):
        status, _, err = run_main(*command)
        assert (status, err.count("\n")) == (2, 1), err
        assert f"{place} {words}" in err


def broken(folder, count):
    photos(folder, "good.png")
    for i in range(count):
        (folder / f"bad{i:02d}.png").write_bytes(b"bad!")
    return folder


def configured(tmp_path, train, validation):
    keys = ["source=folder", f"hr_dir={train}", f"val_hr_dir={validation}", f"cache_dir={tmp_path / 'cache'}"]
    return load_config(None, [f"data.{key}" for key in keys])


def test_all_broken_images_of_both_folders_are_named_at_once(tmp_path):
    config = configured(tmp_path, broken(tmp_path / "train", 8), broken(tmp_path / "val", 3))
    for _ in range(2):  # a cached result hides no message the next time
        with pytest.raises(UserError) as error:
            open_data(config)
        words = str(error.value)
        assert "data.hr_dir: 8 of 9 images are unusable: " in words
        assert "; data.val_hr_dir: 3 of 4 images are unusable: " in words
        for i in range(8):
            assert words.count(f"bad{i:02d}.png (") == (2 if i < 3 else 1)


@pytest.mark.parametrize("skip", [False, True])
def test_more_than_ten_broken_images_are_listed_in_a_file(skip, tmp_path, capfd):
    source = folder_source(str(broken(tmp_path / "in", 12)), None, 4, skip_unreadable=skip)
    list_file = tmp_path / "cache" / "unusable_hr_dir.txt"
    for _ in range(2):
        list_file.unlink(missing_ok=True)
        try:
            open_store(source, tmp_path / "cache")
            words = capfd.readouterr().err
        except UserError as error:
            words = str(error)
        assert words.startswith("left out, " * skip + "data.hr_dir: 12 of 13 images are unusable: bad00.png (")
        assert f"and 2 more (all are listed in {list_file})" in words
        assert re.findall(r"(bad\d\d)\.png \(", words) == [f"bad{i:02d}" for i in range(10)]
        title, *lines = list_file.read_text(encoding="utf-8").splitlines()
        assert title == "data.hr_dir: 12 of 13 images are unusable:"
        assert [line[:10] for line in lines] == [f"bad{i:02d}.png " for i in range(12)]


def test_an_image_is_used_again_once_it_is_readable(tmp_path):
    """Repairing the permissions changes neither size nor time."""
    shut_file(photos(tmp_path / "in", "a.png") / "b.png")
    source = folder_source(str(tmp_path / "in"), None, 4, skip_unreadable=True)
    with obeying_permissions():
        assert open_store(source, tmp_path / "cache").names == ["a.png"]
        (tmp_path / "in" / "b.png").chmod(0o644)
        assert open_store(source, tmp_path / "cache").names == ["a.png", "b.png"]


@pytest.mark.shared
def test_every_broken_file_of_a_trial_is_named(tmp_path, run_main, tiny_config):
    folder = needs_trial("R20", "many_bad")
    flags = ("--config", tiny_config, f"--set=data.hr_dir={folder}", f"--set=data.cache_dir={tmp_path / 'cache'}")
    status, _, err = run_main("train", "--phase", "psnr", "--run_dir", tmp_path / "run", *flags)
    assert status == 2
    assert err.count("\n") == 1
    assert [i for i in range(8) if f"bad{i}.png (" not in err] == []


@pytest.mark.shared
def test_names_of_a_trial_are_upscaled(model, tmp_path, run_main):
    subprocess.run(["bash", needs_trial("R13", "names.sh"), tmp_path / "in"], check=True)
    names = sorted(os.listdir(tmp_path / "in"))
    assert LATIN_1 in names
    status, _, err = run_main("upscale", tmp_path / "in", "--model", model, "--output", tmp_path / "out")
    assert (status, err) == (0, "")
    assert sorted(os.listdir(tmp_path / "out")) == names
    paths = [tmp_path / "in" / name for name in names]
    status, _, err = run_main("upscale", *paths, "--model", model, "--output", tmp_path / "again")
    assert (status, err) == (0, "")
    assert sorted(os.listdir(tmp_path / "again")) == names


@pytest.mark.shared
def test_a_tree_of_a_trial_is_upscaled(model, tmp_path, run_main, monkeypatch):
    script = needs_trial("R15", "tree.sh")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.png").write_bytes(script.with_name("p.png").read_bytes())
    subprocess.run(["bash", "-c", script.read_text().splitlines()[0]], check=True)
    flags = ("--model", model, "--output")
    try:
        with obeying_permissions():
            status, out, err = run_main("upscale", "tree", "--recursive", *flags, "out")
    finally:
        (tmp_path / "tree" / "shut").chmod(0o755)
    assert status == 1
    assert err.splitlines() == [
        "esrgan-tf: tree/dangling.png: a link to a file that does not exist",
        "esrgan-tf: tree/pipe.png: not a regular file",
        "esrgan-tf: tree/shut: Permission denied",
    ]
    assert out.endswith(", 3 failed\n")
    assert os.listdir("out") == ["a.png"]
    for other in ("dir.png", "dangling.png", "pipe.png"):
        status, _, err = run_main("upscale", "tree/a.png", f"tree/{other}", *flags, other[:3])
        assert (status, err.count("\n"), f"tree/{other}" in err) == (1, 1, True)
        assert os.listdir(other[:3]) == ["a.png"]
    status, _, err = run_main("upscale", "p.png", *flags, "loop")
    assert (status, err.count("\n"), "is a link that leads back to itself" in err) == (2, 1, True)
