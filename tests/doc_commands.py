"""Runs the commands of a page unchanged, in a folder with a `config.yaml` that makes training small.

    PAGES = ("README.md", "docs/training.md")

    @pytest.fixture(scope="module")
    def place(tmp_path_factory, warm): return Place(tmp_path_factory.mktemp("place"), warm)

    @pytest.mark.parametrize("page", PAGES)
    def test_page(page, place): place.run(page)

The pages of a test file share a folder, in the order of the site. A command of an earlier page does not run again.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
import torch
import yaml
from PIL import Image

from esrgan_tf.config import load_config, save_config
from esrgan_tf.imaging.resampling import bicubic
from esrgan_tf.models import GENERATORS, dpsr_generator, rrdb_generator
from esrgan_tf.schema import keys_of
from tests import torch_reference
from tests.conftest import REPOSITORY, TINIER, run_process
from tests.pages import Step, step_of, steps
from tests.test_replicas import free_ports

_OF_PYTHON = ("python", "esrgan-tf", "saved_model_cli")


class Place:
    """A folder like a fresh clone, with small versions of the images and weights that the pages name.

    Args:
        path: an empty folder.
        warm: the fixture.
        data_dir: the folder of DIV2K, if pages use it.
    """

    def __init__(self, path: Path, warm, data_dir: Path | None = None):
        self.path, self._warm = path, warm
        self._done: dict[str, str] = {}  # text and output of each step
        for name in ("train.py", "export.py", "examples", "configs"):
            source = REPOSITORY / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, path / name)
        _write_images(path)
        _write_configurations(path, data_dir)
        _write_weights(path)

    def run(self, page: str, cold: bool = False, eagerly: bool = False) -> None:
        """Runs all commands of a page in their order.

        Args:
            page: its path in the repository.
            cold: starts the first command like a shell.
            eagerly: does not compile trainings and degradations, for pages without timings.
        """
        todo = [step for step in steps(page) if step.text not in self._done]
        while todo:
            together = 1
            if "TF_CONFIG" in todo[0].environment:  # these processes wait for one another
                together = sum("TF_CONFIG" in step.environment for step in todo)
                self._run_machines(todo[:together])
            else:
                self._done[todo[0].text] = self._run_step(todo[0], cold, eagerly)
            self._done |= {step.text: "" for step in todo[:together] if step.text not in self._done}
            todo, cold = todo[together:], False
        for step in steps(page):
            assert_prints(step, self._done[step.text])

    def has_run(self, trained: Callable[[], Path]) -> None:
        """Provides a trained `runs/photos`: a copy of the result of `trained`, if no page trained it."""
        run = self.path / "runs" / "photos"
        if not (run / "gan" / "generator.keras").is_file():
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(trained(), run)

    def has_network_for_blurred_images(self) -> None:
        """An untrained run `runs/dpsr` of phase psnr, and a kernel."""
        folder = self.path / "runs" / "dpsr" / "psnr"
        folder.mkdir(parents=True)
        dpsr_generator(4, 4, 1).save(folder / "generator.keras")
        save_config(load_config(None, ["generator.name=dpsr"]), folder.parent / "config.yaml")
        Image.fromarray(np.eye(5, dtype=np.uint8) * 255).save(self.path / "kernel.png")

    def run_line(self, line: str) -> None:
        """Runs a command line that is on no page."""
        self._run_step(step_of(line))

    def _run_step(self, step: Step, cold: bool = False, eagerly: bool = False) -> str:
        """Runs Python commands with TensorFlow already imported, others like a shell; returns the output."""
        words, environment = list(step.words), dict(step.environment)
        if not words:
            (self.path / "program.py").write_text(step.text)
            words = ["python", "program.py"]
        if words[0] == "srun":
            folder = self._scheduler()
            words[0] = folder / "srun"
            environment["PATH"] = os.pathsep.join((str(folder), str(Path(sys.executable).parent), os.environ["PATH"]))
        if cold or words[0] not in _OF_PYTHON:
            result = run_process(*words, cwd=self.path, env=environment)
        else:
            eagerly = eagerly and ("train.py" in words or "degrade" in words)
            result = self._warm.run(*words, cwd=self.path, env=environment, eagerly=eagerly)
        assert result.returncode == 0, f"{step.text}\n{result.stdout}\n{result.stderr}"
        return result.stdout + result.stderr

    def _run_machines(self, machines: list[Step]) -> None:
        """Maps the hosts of the page to ports of this machine."""
        text = json.dumps([step.environment for step in machines])
        for number, port in enumerate(free_ports(len(machines)), 1):
            assert f"host{number}:2222" in text
            text = text.replace(f"host{number}:2222", f"localhost:{port}")
        started = [
            self._warm.start(*step.words, cwd=self.path, env=environment)
            for step, environment in zip(machines, json.loads(text), strict=True)
        ]
        for process in started:
            assert process.wait() == 0, process.stderr.read_text()

    def _scheduler(self) -> Path:
        """A folder with Slurm's variables for two tasks on this machine."""
        folder = self.path / "scheduler"
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


def assert_prints(step: Step, output: str) -> None:
    """Requires every line of the page's output in the command's output, except numbers, spaces and `…`."""
    lines = [_without_numbers(line) for line in output.splitlines()]
    for expected in step.output.splitlines():
        pattern = re.escape(_without_numbers(expected)).replace("…", ".*")
        assert any(re.fullmatch(pattern, line) for line in lines), f"{step.text}: {expected!r} is not in\n{output}"


def _without_numbers(line):
    line = line.replace(" in bfloat16", "")  # on machines with instructions for it
    line = re.sub(r"-{2,}", "--", line)
    return " ".join(re.sub(r"\d[\d.,:]*(e[-+]\d+)?", "0", line).split())


def _write_images(path):
    """The data sets that the pages name, each with a few small photos."""
    photos = {name: getattr(skimage.data, name)()[80:176, 120:248] for name in ("astronaut", "coffee", "rocket")}
    for folder in ("photos", "kodak", "BSDS500/images", "Set5/hr"):
        (path / folder).mkdir(parents=True)
        for name, photo in photos.items():
            Image.fromarray(photo).save(path / folder / f"{name}.png")
    (path / "Set5" / "lr_x4").mkdir()
    for name, photo in photos.items():
        Image.fromarray(bicubic(photo, 24, 32)).save(path / "Set5" / "lr_x4" / f"{name}.png")
    for name in ("photo.png", "photo.jpg"):
        Image.fromarray(skimage.data.chelsea()[100:140, 100:150]).save(path / name)
    np.save(path / "image.npy", 255 * np.random.default_rng(0).random((1, 8, 8, 3), dtype=np.float32))


def _write_configurations(path, data_dir):
    """The recipes with their systems and sources, and tiny sizes; the default recipe has even smaller networks."""
    sizes = yaml.safe_load(TINIER.format(photos="null", validation="null", cache=path / "cache"))
    sizes["psnr"]["steps"] = sizes["gan"]["steps"] = 2
    sizes["runtime"] = {"log_every": 1, "validate_every": 2, "checkpoint_every": 2}
    sizes["data"] |= {"source": "div2k"} if data_dir is None else {"source": "div2k", "data_dir": str(data_dir)}
    (path / "config.yaml").write_text(yaml.safe_dump(sizes))
    del sizes["generator"]["name"], sizes["discriminator"]["name"], sizes["data"]["source"]
    sizes["generator"] |= {"growth": 4, "groups": 1, "reduction": 2}
    for file in (path / "configs").glob("*.yaml"):
        recipe = yaml.safe_load(file.read_text())
        for section, values in sizes.items():
            recipe[section] = {**recipe.get(section, {}), **values}
        recipe["data"].setdefault("source", "div2k")
        options = GENERATORS[recipe["generator"].get("name", "rrdb")].options
        for key in recipe["generator"].keys() - {"name", *keys_of(options)}:
            del recipe["generator"][key]
        file.write_text(yaml.safe_dump(recipe))


def _write_weights(path):
    """Small random files of the downloadable names and architectures."""
    torch.save({"params_ema": torch_reference.BasicSR(8, 1, 4).state_dict()}, path / "RealESRGAN_x4plus.pth")
    # An existing path has priority over the downloadable model of that name.
    generator = path / "RealESRGAN_x4plus" / "psnr" / "generator.keras"
    generator.parent.mkdir(parents=True)
    rrdb_generator(filters=8, blocks=1, growth=4).save(generator)
    save_config(load_config(None, []), path / "RealESRGAN_x4plus" / "config.yaml")
    netD = torch_reference.randomised(torch_reference.UNetDiscriminatorSN(4))
    torch.save({"params": netD.state_dict()}, path / "RealESRGAN_x4plus_netD.pth")
    for name in ("realesr-general-x4v3.pth", "realesr-general-wdn-x4v3.pth"):
        torch.save({"params": torch_reference.Compact(4, 8, 2).state_dict()}, path / name)
