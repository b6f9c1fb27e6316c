"""The README, and the pages on upscaling, exporting and evaluation; the notebook and the demo."""

import re
import runpy
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

from tests.conftest import REPOSITORY
from tests.doc_commands import Place

PAGES = (
    *("README.md", "docs/index.md", "docs/quickstart.md", "docs/questions.md", "docs/upscaling.md"),
    *("docs/evaluation.md", "docs/publishing.md", "docs/runtimes.md"),
)
pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def place(tmp_path_factory, warm):
    return Place(tmp_path_factory.mktemp("place"), warm)


@pytest.mark.parametrize("page", PAGES)
def test_page(page, place, request):
    if page in ("docs/upscaling.md", "docs/publishing.md", "docs/runtimes.md"):
        place.has_run(lambda: request.getfixturevalue("trained_run"))
    if page == "docs/upscaling.md":
        place.has_network_for_blurred_images()
    place.run(page, cold=page == "README.md")
    if page == "README.md":
        with Image.open(place.path / "photo_x4.jpg") as upscaled:
            assert upscaled.size == (200, 160)
        with Image.open(place.path / "photo_x4.png") as upscaled:
            assert upscaled.size == (200, 160)


def test_notebook(place, request):
    if not (place.path / "saved_model").is_dir():
        place.has_run(lambda: request.getfixturevalue("trained_run"))
        place.run_line("python export.py --run_dir runs/photos --output saved_model")
    notebook = nbformat.read(place.path / "examples" / "upscale.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(place.path / "examples")}}).execute()
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert pictures


def test_demo(tmp_path, photos, warm, monkeypatch, capfd):
    """Runs the first command like the demo, the others with TensorFlow already imported.

    The images are photos, because the demo's 96 images take a while.
    """
    cold, commands = subprocess.run, []

    def run(argv, cwd, check):
        commands.append(argv[1])
        if len(commands) == 1:
            return cold(argv, cwd=cwd, check=check)
        result = warm.run(*argv, cwd=cwd, eagerly=argv[1] == "train.py")
        assert result.returncode == 0, result.stderr
        return result

    small = ("psnr.steps=3", "gan.steps=2", "runtime.log_every=1", "generator.filters=8", "generator.blocks=1")
    small += ("discriminator.filters=4", "data.batch_size=4", "data.source=folder", f"data.hr_dir={photos}")
    settings = [f"--set={setting}" for setting in small]
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["examples/demo.py", "--output", str(tmp_path), *settings])
    runpy.run_path(str(REPOSITORY / "examples" / "demo.py"), run_name="__main__")
    out, _ = capfd.readouterr()
    assert commands == ["train.py", "train.py", "export.py"]
    for name in ("astronaut", "chelsea"):
        assert re.search(rf"{name}, just trained +\d+\.\d\d dB \([+-]\d+\.\d\d\)", out)
        assert float(re.search(rf"{name}, bundled +\d+\.\d\d dB \(([+-]\d+\.\d\d)\)", out)[1]) > 0
    assert f"comparison picture: {tmp_path / 'comparison.png'}" in out
    with Image.open(tmp_path / "comparison.png") as picture:
        assert picture.width == 5 * 2 * 192
