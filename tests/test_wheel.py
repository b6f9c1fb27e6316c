"""The result of `pip install`: a wheel with the bundled models, which upscales a photo without further files."""

import shutil
import sys
import zipfile

import pytest
import skimage.data
from PIL import Image

from tests.conftest import REPOSITORY, run_process

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Builds from a copy, so that nothing is left in the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("esrgan_tf", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        source = REPOSITORY / name
        ignore = shutil.ignore_patterns("__pycache__")
        (shutil.copytree if source.is_dir() else shutil.copy)(
            source, folder / name, **({"ignore": ignore} if source.is_dir() else {})
        )
    build = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", ".")
    result = run_process(sys.executable, *build, cwd=folder)
    assert result.returncode == 0, result.stderr
    (path,) = (folder / "dist").iterdir()
    return path


def test_it_holds_all_that_the_package_reads(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {entry.filename for entry in archive.infolist()}
    package = REPOSITORY / "esrgan_tf"
    for path in package.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert f"esrgan_tf/{path.relative_to(package)}" in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"esrgan_tf"}
    assert wheel.stat().st_size < 12_000_000  # half of it are graphs of the bundled models


def test_it_upscales_a_photo_without_a_network(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    Image.fromarray(skimage.data.chelsea()[100:140, 100:150]).save(tmp_path / "photo.jpg")
    program = (
        "import socket, sys; socket.socket.connect = None; "  # no connection to another machine
        "import esrgan_tf; print(esrgan_tf.__file__); from esrgan_tf.cli.main import main; "
        "sys.exit(main(['upscale', 'photo.jpg']))"
    )
    site = {"HOME": str(tmp_path), "PYTHONPATH": str(tmp_path / "site")}
    result = run_process(sys.executable, "-c", program, cwd=tmp_path, env=site)
    assert result.stdout.startswith(str(tmp_path / "site"))
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "photo_x4.jpg") as upscaled:
        assert upscaled.size == (200, 160)
