"""Every command of the README, run as it stands there, in a folder whose `config.yaml` makes it small."""

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import skimage.data
import torch
import yaml
from nbclient import NotebookClient
from PIL import Image

from esrgan_tf.images.training_images import bicubic
from esrgan_tf.models import GENERATORS
from esrgan_tf.schema import keys_of
from tests import torch_reference
from tests.conftest import REPOSITORY, TINY, run_process
from tests.test_data import div2k_dir  # noqa: F401  (a fixture)
from tests.test_replicas import free_ports

README = (REPOSITORY / "README.md").read_text()
# `make` installs and runs everything from nothing: the build does it, a test in it cannot.
NOT_RUN = {"make demo", "make test", "pip install -c constraints.txt ."}
COMMANDS_OF_PYTHON = str(Path(sys.executable).parent)
pytestmark = pytest.mark.journey


def readme_commands():
    """The command lines of the README's `sh` blocks, in order, continued lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(line.split("  #")[0].split()) for line in lines if line.strip()]


COMMANDS = [command for command in readme_commands() if command not in NOT_RUN]


@pytest.fixture(scope="module")
def place(tmp_path_factory, div2k_dir):  # noqa: F811
    """A folder like a fresh clone, with the data sets that the README names, each a few small photos."""
    place = tmp_path_factory.mktemp("place")
    for name in ("train.py", "export.py", "examples", "configs"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, place / name)
    photos = {name: getattr(skimage.data, name)()[80:176, 120:248] for name in ("astronaut", "coffee", "rocket")}
    for folder in ("photos", "kodak", "BSDS500/images", "Set5/hr"):
        (place / folder).mkdir(parents=True)
        for name, photo in photos.items():
            Image.fromarray(photo).save(place / folder / f"{name}.png")
    (place / "Set5" / "lr_x4").mkdir()
    for name, photo in photos.items():
        Image.fromarray(bicubic(photo, 24, 32)).save(place / "Set5" / "lr_x4" / f"{name}.png")
    tiny = TINY.format(photos="null", validation="null", cache=place / "cache").replace(
        "source: folder", "source: div2k"
    )
    (place / "config.yaml").write_text(tiny.replace("{source", f"{{data_dir: {div2k_dir}, source"))
    # The variants keep their systems and get the sizes of the tiny configuration.
    for variant in (place / "configs").glob("*.yaml"):
        recipe, sizes = (yaml.safe_load(text) for text in (variant.read_text(), (place / "config.yaml").read_text()))
        sizes["data"]["source"] = recipe.get("data", {}).get("source", "div2k")
        for section, values in sizes.items():
            recipe[section] = {**recipe.get(section, {}), **values}
        options = GENERATORS[recipe["generator"].get("name", "rrdb")].options
        for key in recipe["generator"].keys() - {"name", *keys_of(options)}:
            del recipe["generator"][key]
        variant.write_text(yaml.safe_dump(recipe))
    # Files of the published names and architectures, small and random.
    torch.save({"params_ema": torch_reference.BasicSR(8, 1, 4).state_dict()}, place / "RealESRGAN_x4plus.pth")
    netD = torch_reference.randomised(torch_reference.UNetDiscriminatorSN(4))
    torch.save({"params": netD.state_dict()}, place / "RealESRGAN_x4plus_netD.pth")
    for name in ("realesr-general-x4v3.pth", "realesr-general-wdn-x4v3.pth"):
        torch.save({"params": torch_reference.Compact(4, 8, 2).state_dict()}, place / name)
    for name in ("photo.png", "photo.jpg"):
        Image.fromarray(skimage.data.chelsea()[100:140, 100:150]).save(place / name)
    np.save(place / "image.npy", 255 * np.random.default_rng(0).random((1, 8, 8, 3), dtype=np.float32))
    return place


def test_the_two_commands_are_there():
    assert {"make demo", "make test"} <= set(readme_commands())
    for target in ("demo", "test"):
        planned = run_process("make", "--dry-run", "--always-make", target).stdout
        assert "-m venv" in planned
        assert "pip install --quiet -c constraints.txt" in planned


def test_the_readme_commands_run_in_their_order(place, warm):
    """The first, and what is not Python's, as a shell starts them; the others with TensorFlow imported already."""
    assert len(COMMANDS) >= 10
    for number, command in enumerate(COMMANDS):
        words, environment = words_of(command)
        if "TF_CONFIG" in environment:
            continue  # these wait for one another: test_several_machines
        cold = number == 0 or words[0] not in ("python", "esrgan-tf", "saved_model_cli")
        if words[0] == "srun":
            words[0] = scheduler(place) / "srun"
            environment["PATH"] = os.pathsep.join((str(scheduler(place)), COMMANDS_OF_PYTHON, os.environ["PATH"]))
        result = (run_process if cold else warm.run)(*words, cwd=place, env=environment)
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    card = (place / "saved_model" / "MODEL_CARD.md").read_text()
    assert "DIV2K" in card


def words_of(command):
    """The words of a command line, and the variables set before it."""
    environment, words = {}, shlex.split(command)
    while re.match(r"[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    return words, environment


def scheduler(place):
    """A folder with what Slurm would have: two tasks, both on this machine."""
    folder = place / "scheduler"
    folder.mkdir(exist_ok=True)
    tasks = ('SLURM_PROCID=0 "$@" & first=$!', 'SLURM_PROCID=1 "$@" & second=$!', "wait $first && wait $second")
    programs = {
        "srun": ("while [[ $1 == --* ]]; do shift; done", "export SLURM_JOB_NODELIST=two", *tasks),
        "scontrol": ('[[ $* == "show hostnames two" ]] && echo localhost && echo localhost',),
    }
    for name, lines in programs.items():
        (folder / name).write_text("\n".join(("#!/bin/bash", *lines, "")))
        (folder / name).chmod(0o755)
    return folder


def test_several_machines(place, warm):
    """The README's hosts are here two ports of this one."""
    commands = [words_of(command) for command in COMMANDS if command.startswith("TF_CONFIG=")]
    assert len(commands) == 2
    text = json.dumps([environment for _, environment in commands])
    for host, port in zip(("host1", "host2"), free_ports(2), strict=True):
        text = text.replace(f"{host}:2222", f"localhost:{port}")
    both = [
        warm.start(*words, cwd=place, env=environment)
        for (words, _), environment in zip(commands, json.loads(text), strict=True)
    ]
    for process in both:
        assert process.wait() == 0, process.stderr.read_text()
    assert (place / "runs" / "machines" / "psnr" / "generator.keras").is_file()


def test_the_readme_programs_run(place, warm):
    """The `python` blocks, in the folder where the commands above have exported."""
    programs = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert programs
    for program in programs:
        (place / "program.py").write_text(program)
        result = warm.run("python", "program.py", cwd=place)
        assert result.returncode == 0, f"{program}\n{result.stderr}"
    with Image.open(place / "photo_x4.png") as enlarged:
        assert enlarged.size == (200, 160)


def test_notebook(place):
    notebook = nbformat.read(place / "examples" / "upscale.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(place / "examples")}}).execute()
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert pictures


def test_demo(tmp_path, warm, monkeypatch, capfd):
    """Its first command as it starts it, the others with TensorFlow imported already."""
    cold, commands = subprocess.run, []

    def run(argv, cwd, check):
        commands.append(argv[1])
        if len(commands) == 1:
            return cold(argv, cwd=cwd, check=check)
        result = warm.run(*argv, cwd=cwd)
        assert result.returncode == 0, result.stderr
        return result

    small = ("psnr.steps=3", "gan.steps=2", "runtime.log_every=1", "generator.filters=8", "generator.blocks=1")
    settings = [f"--set={setting}" for setting in (*small, "discriminator.filters=4", "data.batch_size=4")]
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["examples/demo.py", "--output", str(tmp_path), *settings])
    runpy.run_path(str(REPOSITORY / "examples" / "demo.py"), run_name="__main__")
    out, _ = capfd.readouterr()
    assert commands == ["train.py", "train.py", "export.py"]
    for name in ("astronaut", "chelsea"):
        assert re.search(rf"{name}, just trained +\d+\.\d\d dB \([+-]\d+\.\d\d\)", out)
        assert float(re.search(rf"{name}, in the box +\d+\.\d\d dB \(([+-]\d+\.\d\d)\)", out)[1]) > 0
    assert f"look at {tmp_path / 'comparison.png'}" in out
    with Image.open(tmp_path / "comparison.png") as picture:
        assert picture.width == 5 * 2 * 192


def test_pictures_of_the_readme_exist():
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert pictures
    for picture in pictures:
        assert (REPOSITORY / picture).is_file()
