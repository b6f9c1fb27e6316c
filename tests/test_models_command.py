import json
import shlex
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from esrgan_tf.weights import bundled
from esrgan_tf.weights.downloadable import downloadable_models
from tests.conftest import run_process
from tests.model_server import CONTENT

PROGRAM = "from esrgan_tf.cli.main import entry_point; entry_point()"
KEYS = {
    *("name", "aliases", "title", "author", "licence", "date", "architecture", "scale", "in_channels", "out_channels"),
    *("size", "type", "bytes", "sha256", "url", "tags", "made_for", "parameters", "non_commercial"),
    *("is_manual", "where", "path"),
}


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """A bundled model `own`, and an empty folder of downloads."""
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest's workers have the variable, as if a terminal existed
    monkeypatch.setenv("ESRGAN_TF_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(bundled, "_FOLDER", tmp_path / "bundled")
    (tmp_path / "bundled").mkdir()
    facts = {"architecture": "compact_resnet", "scale": "4", "parameters": "1234567", "licence": "Apache-2.0"}
    facts["made_for"] = "photos"
    save_file({"weight": np.zeros(9, np.float16)}, tmp_path / "bundled" / "own.safetensors", facts)


def rows(table):
    """`{name: the other cells}` of a table with one or two words per cell."""
    lines = table.split("\n\n")[0].splitlines()[2:]
    return {line.split()[0]: line for line in lines}


def test_all_of_them_are_listed(run_main):
    status, out, err = run_main("models")
    assert (status, err) == (0, "")
    table = rows(out)
    assert next(iter(table)) == "own"
    assert set(table) == {"own", *downloadable_models()}
    assert table["own"].split() == ["own", "compact_resnet", "4x", "1,234,567", "0.0", "Apache-2.0", "bundled"]
    assert table["realesr-general-x4v3"].split()[:7] == [
        *("realesr-general-x4v3", "compact", "4x", "1,213,296", "4.9", "BSD-3-Clause", "download"),
    ]
    assert "CC-BY-NC-SA-4.0 *" in table["2x-AnimeSharpV3"]
    assert "not stated" in table["1x-mdeblur"]
    assert "download" in table["4x-PurePhoto-span"]
    assert "manual" in table["4x-HDCube"]
    for mark in ("*: the licence forbids", "download: ", "manual: "):
        assert f"\n{mark}" in out
    assert "\ndownloaded: " not in out


@pytest.mark.parametrize("columns", [30, 60, 80, 100, 132, 200])
def test_the_table_fits_the_terminal(columns, run_main, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = run_main("models")
    table = out.split("\n\n")[0].splitlines()
    assert max(map(len, table)) <= columns
    assert len(table) == 2 + 1 + 201
    titles = table[0].split()
    assert titles[0] == "name"
    assert columns < 100 or {"network", "licence", "where"} <= set(titles)
    assert columns < 132 or {"scale", "parameters", "MB", "tags"} <= set(titles)
    if columns >= 60:  # a name is only cut if nothing else can be cut
        assert set(rows(out)) == {"own", *downloadable_models()}


def test_json_has_all_values(run_main):
    status, out, err = run_main("models", "--json")
    assert (status, err) == (0, "")
    models = json.loads(out)
    assert [set(model) for model in models] == [KEYS] * 202
    known = {model["name"]: model for model in models}
    assert len(known) == 202
    assert known["own"]["parameters"] == 1234567
    assert known["own"]["path"].endswith("own.safetensors")
    for name, model in downloadable_models().items():
        reported = known[name]
        for key in KEYS - {"made_for", "where", "path"}:
            value = getattr(model, key)
            assert reported[key] == (list(value) if isinstance(value, tuple) else value)
        assert (reported["where"], reported["path"]) == ("downloadable", None)
    assert known["2x-AnimeSharpV3"]["non_commercial"] is True


SEARCHES = {
    "x4v3": {"realesr-general-x4v3", "realesr-general-wdn-x4v3"},
    "FOOLHARDY_": {"4x-Remacri"},
    "rcan": {"1x-UnResizeOnly-RCAN", "2x-AnimeSharpV3-RCAN", "2x-AnimeSharpV4", "2x-AnimeSharpV4-Fast-RCAN-PU"},
    "sharpv4 fast": {"2x-AnimeSharpV4-Fast-RCAN-PU"},
    "nonsense": set(),
}


@pytest.mark.parametrize("words", SEARCHES)
def test_searching(words, run_main):
    status, out, _ = run_main("models", "--search", words, "--json")
    assert status == 0
    assert {model["name"] for model in json.loads(out)} == SEARCHES[words]
    status, out, _ = run_main("models", "--search", words)
    assert status == 0
    if SEARCHES[words]:
        assert set(rows(out)) == SEARCHES[words]
    else:
        assert out == "no model has nonsense in its name, aliases, title, author, licence, architecture, tags\n"


def test_downloading(listed, server, tmp_path, run_main):
    listed("2x-Model", license="CC-BY-NC-4.0")
    path = tmp_path / "models" / "2x-Model.safetensors"
    status, out, err = run_main("models", "--download", "2X-model")
    assert (status, out) == (0, f"{path}\n")
    assert "licence CC-BY-NC-4.0, which forbids commercial use" in err
    assert path.read_bytes() == CONTENT
    status, out, err = run_main("models", "--download", "2x-Model")
    assert (status, out, err) == (0, f"{path}\n", "")
    assert len(server.asked) == 1

    status, out, err = run_main("models", "--download", "own")
    assert (status, out, err) == (0, f"{tmp_path / 'bundled' / 'own.safetensors'}\n", "")

    _, out, _ = run_main("models")
    assert str(path) in rows(out)["2x-Model"]
    assert f"\ndownloaded: in {path.parent}\n" in out
    _, out, _ = run_main("models", "--json", "--models_dir", tmp_path / "other")
    assert json.loads(out)[1]["where"] == "downloadable"
    path.write_bytes(b"half")
    _, out, _ = run_main("models")
    assert "download" in rows(out)["2x-Model"]


MISTAKES = {
    "unknown": (("--download", "4x-PurePhoto"), "no model 4x-PurePhoto; did you mean 4x-PurePhoto-span?"),
    "manual": (("--download", "4x-HDCube"), "get it from https://github.com/Venomalia/HDcube/tree/main/v1#hdcube"),
    "two things": (("--download", "4x-HDCube", "--json"), "--download cannot be combined with --search or --json"),
    "no flag": (("anime",), "models takes flags only; what is 'anime'? To search: models --search anime"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake, run_main, tmp_path):
    if mistake == "manual":
        pytest.importorskip("torch")  # without PyTorch, the message is about PyTorch
    argv, words = MISTAKES[mistake]
    status, out, err = run_main("models", *argv)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "models").exists()


def test_it_needs_neither_tensorflow_nor_a_network():
    without = (
        "import socket, sys; sys.modules |= dict.fromkeys(['tensorflow', 'keras', 'torch', 'requests', 'pooch'])\n"
    )
    result = run_process(sys.executable, "-c", f"{without}socket.socket = None\n{PROGRAM}", "models")
    assert (result.returncode, result.stderr) == (0, "")
    assert "RealESRGAN_x4plus " in result.stdout


def test_a_reader_who_has_enough_is_no_error():
    result = run_process("sh", "-c", f"{shlex.quote(sys.executable)} -c '{PROGRAM}' models --json | head -n 1")
    assert (result.stdout, result.stderr) == ("[\n", "")
