import json
import os
import re
import struct
import subprocess
import sys
import threading
import time

import platformdirs
import pytest

from esrgan_tf.errors import UserError
from esrgan_tf.weights import bundled, downloadable
from esrgan_tf.weights.downloadable import downloadable_models, fetch, find_downloadable, models_folder
from tests.conftest import REPOSITORY
from tests.model_server import CONTENT, whole

OFFICIAL = {
    "RealESRGAN_x4plus": (4, 16_697_987),
    "RealESRGAN_x2plus": (2, None),  # as many as without packed pixels
    "RealESRGAN_x4plus_anime_6B": (4, 4_467_779),
    "realesr-general-x4v3": (4, 1_213_296),
    "realesr-general-wdn-x4v3": (4, 1_213_296),
    "realesr-animevideov3": (4, 621_424),
    "RealESRGANv2-animevideo-xsx2": (2, 600_652),
    "RealESRGANv2-animevideo-xsx4": (4, 621_424),
}


# The catalogue.


def test_the_catalogue_is_well_formed():
    records = json.loads(downloadable._CATALOGUE.read_text())
    models = downloadable_models()
    assert len(models) == len(records) == 201
    taken = {name.lower() for name in (*bundled.bundled_models(), bundled.DEFAULT)}
    files = set()
    for name, model in models.items():
        assert name == model.name
        assert re.fullmatch(r"[0-9a-f]{64}", model.sha256)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", model.date)
        assert model.url.startswith("https://")
        assert model.type in ("pth", "safetensors")
        assert isinstance(model.bytes, int)
        assert model.bytes > 0
        assert model.scale in (1, 2, 4, 8, 16)
        assert isinstance(model.author, str)
        for known in (model.name, *model.aliases):
            assert re.fullmatch(r"[\w.-]+", known)
            assert known.lower() not in taken
            taken.add(known.lower())
        assert model.file.endswith(f".{model.type}")
        assert "/" not in model.file
        assert model.file.lower() not in files
        files.add(model.file.lower())
    known_by = {known for model in models.values() for known in (model.name, *model.aliases)}
    assert {entry["name"] for entry in records} <= known_by


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_ones_have_their_authors_names(name):
    model = downloadable_models()[name]
    assert [find_downloadable(known) for known in (name.upper(), *model.aliases)] == [model, model]
    assert model.file == f"{name}.pth"
    assert (model.scale, model.parameters) == OFFICIAL[name]
    assert [alias.startswith(f"{model.scale}x-real") for alias in model.aliases] == [True]


def test_other_models_are_found_by_their_file_names():
    assert find_downloadable("4x_foolhardy_Remacri") == find_downloadable("4x-Remacri")
    assert find_downloadable("4x-Remacri").name == "4x-Remacri"
    assert find_downloadable("2x_AnimeJaNai_HD_V3_ModelsOnly") is None  # an archive of several models


def test_parameters_are_only_listed_if_the_file_agrees():
    models = downloadable_models()
    assert models["4x-Nomos2-otf-esrgan"].parameters == 16_697_987  # in half precision
    assert models["2x-AniScale"].parameters == 600_652  # the file also has an exponential moving average
    assert models["2x-AnimeJaNai-v2-SuperUltraCompact"].parameters is None  # the listed sizes belong to another model
    assert models["1x-Archiver-Soft"].parameters is None


# Downloading.


def slowly(handler):
    handler.begin(len(CONTENT))
    for start in range(0, len(CONTENT), 50_000):
        handler.wfile.write(CONTENT[start : start + 50_000])
        handler.wfile.flush()
        time.sleep(0.02)


def in_chunks(handler):
    handler.protocol_version = "HTTP/1.1"
    handler.begin(**{"Transfer-Encoding": "chunked", "Connection": "close"})
    for start in range(0, len(CONTENT), 70_001):
        piece = CONTENT[start : start + 70_001]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    handler.wfile.write(b"0\r\n\r\n")


def elsewhere(handler):
    handler.server.answers["other"] = whole(CONTENT)
    handler.begin(0, 302, Location="/other")


def without_length(content):
    def answer(handler):
        handler.begin()
        handler.wfile.write(content)

    return answer


WAYS = {
    "at once": whole(CONTENT),
    "slowly": slowly,
    "in chunks": in_chunks,
    "of untold length": without_length(CONTENT),
    "from elsewhere": elsewhere,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_model_is_downloaded_once(way, server, listed, tmp_path):
    model, said = listed("4x-Model"), []
    server.answers["4x-Model.safetensors"] = WAYS[way]
    path = fetch(model, tmp_path / "new" / "models", said.append)
    assert path == tmp_path / "new" / "models" / "4x-Model.safetensors"
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == path.parent.stat().st_mode & 0o666
    assert said == [f"downloading 4x-Model, by somebody, licence MIT: 0.3 MB, {model.url}"]

    requests = len(server.asked)
    assert fetch(model, path.parent, said.append) == path
    assert len(server.asked) == requests
    assert len(said) == 1


def hangs(after):
    def answer(handler):
        if after is not None:
            handler.begin(len(CONTENT))
            handler.wfile.write(CONTENT[:after])
        handler.server.over.wait(20)

    return answer


def to_itself(handler):
    handler.begin(0, 302, Location=handler.path)


def status(code):
    return lambda handler: handler.begin(0, code)


FAILURES = {
    "cut": (whole(CONTENT[:200_000], len(CONTENT)), "the connection broke off"),
    "cut at once": (whole(b"", len(CONTENT)), "the connection broke off"),
    "cut, of untold length": (without_length(CONTENT[:200_000]), "the server sent 200000 of 300000 bytes"),
    "other bytes": (whole(CONTENT[::-1]), "the SHA-256 is not the published file's"),
    "another length": (whole(CONTENT[:-1]), "the server's file has 299999 bytes, the published file 300000"),
    "too much, of untold length": (without_length(CONTENT * 9), "the server sent more than the 300000 bytes"),
    "gone": (status(404), "the server responded with 404 Not Found"),
    "broken": (status(503), "the server responded with 503 Service Unavailable"),
    "silent": (hangs(None), "the server sent no data for 0.3 seconds"),
    "silent halfway": (hangs(150_000), "the server sent no data for 0.3 seconds"),
    "redirected for ever": (to_itself, "cannot be reached: Exceeded 30 redirects"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_one_line_and_leaves_nothing(failure, server, listed, tmp_path, monkeypatch):
    answer, words = FAILURES[failure]
    model, folder = listed("4x-Model"), tmp_path / "models"
    patience = downloadable.TIMEOUT
    if failure.startswith("silent"):
        monkeypatch.setattr(downloadable, "TIMEOUT", (0.3, 0.3))
    server.answers["4x-Model.safetensors"] = answer
    with pytest.raises(UserError) as caught:
        fetch(model, folder, lambda _: None)
    message = str(caught.value)
    assert message.startswith(f"4x-Model: {model.url}: {words}")
    assert message.endswith(f"; download it manually, and put the file at {folder / '4x-Model.safetensors'}")
    assert "\n" not in message
    assert list(folder.iterdir()) == []

    monkeypatch.setattr(downloadable, "TIMEOUT", patience)
    server.answers["4x-Model.safetensors"] = whole(CONTENT)  # the next download starts from the beginning
    assert fetch(model, folder, lambda _: None).read_bytes() == CONTENT


def test_offline_is_one_line(server, listed, tmp_path):
    model = listed("4x-Model")
    server.stop()
    with pytest.raises(
        UserError, match=r"cannot be reached: Connection refused; download it manually, and put the file at"
    ):
        fetch(model, tmp_path, lambda _: None)


def test_progress_is_printed_without_a_terminal(server, listed, tmp_path, monkeypatch):
    model, said = listed("4x-Model"), []
    server.answers["4x-Model.safetensors"] = slowly
    monkeypatch.setattr(downloadable, "_LINE_EVERY", 0.0)
    fetch(model, tmp_path / "models", said.append)
    assert said[1] == "4x-Model: 0.1 of 0.3 MB"
    assert said[-1] == "4x-Model: 0.3 of 0.3 MB"


LICENCES = {
    "MIT": "licence MIT:",
    "CC-BY-NC-SA-4.0": "licence CC-BY-NC-SA-4.0, which forbids commercial use:",
    "CC-BY-SA-4.0": "licence CC-BY-SA-4.0:",
    None: "no licence stated:",
}


@pytest.mark.parametrize("licence", LICENCES)
def test_the_licence_is_printed(licence, listed, tmp_path):
    said = []
    fetch(listed("4x-Model", license=licence), tmp_path / "models", said.append)
    assert LICENCES[licence] in said[0]


# The folder.


def test_a_manual_download_is_used_if_its_checksum_is_right(server, listed, tmp_path):
    model, said = listed("4x-Model"), []
    path = tmp_path / "models" / "4x-Model.safetensors"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert fetch(model, path.parent, said.append) == path
    assert (server.asked, said) == ([], [])


@pytest.mark.parametrize(
    ("content", "words"),
    [(CONTENT[:-1], "299999 bytes, not 300000"), (CONTENT[::-1], "another SHA-256"), (b"", "0 bytes")],
)
def test_another_file_there_is_replaced_and_never_used(content, words, server, listed, tmp_path):
    model, said = listed("4x-Model"), []
    path = tmp_path / "models" / "4x-Model.safetensors"
    path.parent.mkdir()
    path.write_bytes(content)
    server.answers["4x-Model.safetensors"] = status(404)
    with pytest.raises(UserError, match="404"):
        fetch(model, path.parent, said.append)
    server.answers["4x-Model.safetensors"] = whole(CONTENT)
    assert fetch(model, path.parent, said.append).read_bytes() == CONTENT
    assert said[0].startswith(f"{path} is not the published file (")
    assert words in said[0]


def test_a_model_in_an_archive_needs_a_manual_download(server, listed, tmp_path):
    model = listed("4x-Model", url=f"{server.url}/models.zip")
    path = tmp_path / "models" / "4x-Model.safetensors"
    with pytest.raises(UserError, match=rf"get it from {model.url}, and put the file at {path}"):
        fetch(model, path.parent, lambda _: None)
    path.parent.mkdir()
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match=r"299999 bytes, not 300000\); get it from"):
        fetch(model, path.parent, lambda _: None)
    path.write_bytes(CONTENT)
    assert fetch(model, path.parent, lambda _: None) == path
    assert server.asked == []


def test_nothing_is_downloaded_that_could_not_be_read(server, listed, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    model = listed("4x-Model", type="pth", url=f"{server.url}/4x-Model.pth")
    with pytest.raises(UserError, match=r"4x-Model\.pth: this format needs PyTorch; pip install"):
        fetch(model, tmp_path / "models", lambda _: None)
    assert server.asked == []
    assert not (tmp_path / "models").exists()


def test_folders_of_models(monkeypatch, tmp_path):
    monkeypatch.delenv("ESRGAN_TF_MODELS", raising=False)
    assert str(models_folder()) == os.path.join(platformdirs.user_cache_dir("esrgan_tf"), "models")
    monkeypatch.setenv("ESRGAN_TF_MODELS", str(tmp_path / "environment"))
    assert models_folder() == tmp_path / "environment"
    assert models_folder(tmp_path / "flag") == tmp_path / "flag"


PROGRAM = """\
import sys
from pathlib import Path
from esrgan_tf.weights import downloadable
downloadable._CATALOGUE = Path(sys.argv[1])
path = downloadable.fetch(downloadable.find_downloadable("4x-model"), Path(sys.argv[2]), print)
assert not {"tensorflow", "keras", "torch"} & set(sys.modules), "slow to start"
print(path)
"""


def start(*arguments):
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once(server, listed, tmp_path):
    listed("4x-Model")
    together = threading.Barrier(2, timeout=60)

    def halves(handler):
        handler.begin(len(CONTENT))
        handler.wfile.write(CONTENT[:150_000])
        together.wait()  # both have begun
        handler.wfile.write(CONTENT[150_000:])

    server.answers["4x-Model.safetensors"] = halves
    processes = [start(tmp_path / "catalogue.json", tmp_path / "models") for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        assert out.splitlines()[-1] == str(tmp_path / "models" / "4x-Model.safetensors")
    assert len(server.asked) == 2
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["4x-Model.safetensors"]
    assert (tmp_path / "models" / "4x-Model.safetensors").read_bytes() == CONTENT


def test_a_terminal_gets_a_progress_bar(server, listed, tmp_path):
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    listed("4x-Model")
    server.answers["4x-Model.safetensors"] = slowly
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))  # rows and columns
    os.set_blocking(ours, False)
    command = [sys.executable, "-c", PROGRAM, tmp_path / "catalogue.json", tmp_path / "models"]
    subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=theirs, check=True, timeout=100)
    shown = os.read(ours, 10_000).decode()
    os.close(theirs)
    os.close(ours)
    assert "4x-Model: " in shown
    assert "/300k" in shown


def test_a_kill_halfway_leaves_nothing_to_be_taken_for_the_model(server, listed, tmp_path):
    model, halfway = listed("4x-Model"), threading.Event()

    def half(handler):
        handler.begin(len(CONTENT))
        handler.wfile.write(CONTENT[:150_000])
        halfway.set()
        server.over.wait(60)

    server.answers["4x-Model.safetensors"] = half
    process = start(tmp_path / "catalogue.json", tmp_path / "models")
    assert halfway.wait(60)
    process.kill()
    process.communicate()
    assert not (tmp_path / "models" / "4x-Model.safetensors").exists()
    server.answers["4x-Model.safetensors"] = whole(CONTENT)
    assert fetch(model, tmp_path / "models", lambda _: None).read_bytes() == CONTENT
