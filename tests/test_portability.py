"""Portability to Windows and macOS, as far as Linux can test it. `make types` checks the types of all three."""

import subprocess
import sys

from tests.conftest import REPOSITORY

# Tests of code that reads and writes files, waits for locks, or handles signals.
FILES = ("files", "patches", "memory", "data")


def test_without_what_linux_alone_has():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.without_linux", "-p", "no:cacheprovider"]
    command += [f"tests/test_{name}.py" for name in FILES]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_results_are_written_without_open_files_by_number():
    """Threads that share one position read a cache, and the module of the page's command is imported."""
    program = """
import tests.without_linux
import numpy as np, tempfile, os
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
import esrgan_tf.cli.web
from esrgan_tf.imaging.writing import Canvas
from esrgan_tf.data.cache import open_store
from esrgan_tf.data.store import Source
folder = Path(tempfile.mkdtemp())
with Canvas(5, 7, 3, np.uint8, folder) as canvas:
    canvas.paint(1, 2, np.full((2, 3, 3), 9, np.uint8))
    canvas.paint(4, 6, np.full((1, 1, 3), 8, np.uint8))
    assert len(os.listdir(folder)) == 1
    pixels = canvas.image().numpy()
assert pixels.sum() == 3 * (6 * 9 + 8) and pixels[2, 4, 0] == 9
assert os.listdir(folder) == []
images = [np.full((8, 8, 3), i, np.uint8) for i in range(20)]
names = [str(i) for i in range(20)]
source = Source({"source": "a"}, names, names, lambda numbers: iter([(i, images[i], images[i]) for i in numbers]))
store = open_store(source, folder)
with ThreadPoolExecutor(8) as pool:
    for i, image in zip([*range(20)] * 50, pool.map(store.hr, [*range(20)] * 50)):
        assert (image == i).all()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
