import contextlib
import ctypes
import gc
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

os.environ.pop("COLUMNS", None)  # of pytest-xdist: commands would format tables for a terminal
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# PyTorch's threads wait for one another without sleeping. They take ten times as long once all cores are busy.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # each core has a worker, so more threads only wait for one another
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import numpy as np
import pytest
import skimage.data
from PIL import Image

from esrgan_tf.cli.main import main
from esrgan_tf.weights import downloadable
from tests.fork_server import Warm
from tests.model_server import CONTENT, ModelServer, record, whole, write_catalogue

gc.freeze()
gc.set_threshold(100_000)  # a tenth of the time was the search for cycles among TensorFlow's and Keras' objects

# Each takes a minute or more (benchmarks/suite.md).
LONG = (
    "test_doc_commands_training",
    "test_doc_commands_using",
    "test_doc_commands_networks",
    "test_interop",
    "test_convert",
)


def pytest_collection_modifyitems(items):
    """Sorts long files first, because a worker that starts a long file last keeps the other waiting."""
    items.sort(key=lambda item: item.path.stem not in LONG)


REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"
TRIALS = SHARED.with_name("trials")

# A configuration that trains in seconds and only shows that training runs.
TINY = """\
data: {{source: folder, hr_dir: {photos}, val_hr_dir: {validation}, hr_patch: 32, batch_size: 4, cache_dir: {cache}}}
generator: {{filters: 8, growth: 4, blocks: 1}}
discriminator: {{filters: 4}}
psnr: {{steps: 6, learning_rate: 1e-3}}
gan: {{steps: 4, perceptual_weight: 0}}
runtime: {{log_every: 2, validate_every: 4, checkpoint_every: 2}}
"""
# The same configuration with a third of the variables, each of which takes a tenth of a second to compile.
TINIER = TINY.replace(
    "{{filters: 8, growth: 4, blocks: 1}}", "{{name: compact_resnet, filters: 8, blocks: 1}}"
).replace("{{filters: 4}}", "{{name: unet_sn, filters: 4}}")


@pytest.fixture(scope="session")
def trials() -> Path:
    """Small files like those that users reported; they are not in the repository."""
    folder = REPOSITORY.parent / "shared" / "trials"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}")
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A folder of three small real photos."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("astronaut", "coffee", "chelsea"):
        Image.fromarray(getattr(skimage.data, name)()[100:196, 150:270]).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="session")
def validation_photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("validation")
    Image.fromarray(skimage.data.rocket()[100:164, 300:372]).save(folder / "rocket.png")
    return folder


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory, photos, validation_photos) -> Path:
    folder = tmp_path_factory.mktemp("config")
    path = folder / "tiny.yaml"
    path.write_text(TINIER.format(photos=photos, validation=validation_photos, cache=folder / "cache"))
    return path


def train_eagerly(phase: str, config: Path, run_dir: Path) -> None:
    """Trains without compiling the step, which saves seconds."""
    with _eagerly():
        assert main(["train", "--phase", phase, "--config", str(config), "--run_dir", str(run_dir)]) == 0


@pytest.fixture(scope="session")
def first_phase(tmp_path_factory, tiny_config) -> Path:
    """A run folder with phase psnr done; tests must not change it."""
    run_dir = tmp_path_factory.mktemp("first_phase") / "run"
    train_eagerly("psnr", tiny_config, run_dir)
    return run_dir


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory, tiny_config, first_phase) -> Path:
    """A run folder with both phases done; tests must not change it."""
    run_dir = tmp_path_factory.mktemp("trained") / "run"
    shutil.copytree(first_phase, run_dir)
    train_eagerly("gan", tiny_config, run_dir)
    return run_dir


@pytest.fixture
def run_main(capfd):
    """Runs a command in this process; returns exit status, standard output and standard error, with native lines."""

    def run(*argv):
        capfd.readouterr()
        try:
            status = main([str(argument) for argument in argv])
        except SystemExit as stop:
            status = stop.code
        out, err = capfd.readouterr()
        return status, out, err

    return run


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """Runs programs in separate processes that have already imported TensorFlow."""
    with Warm(tmp_path_factory.mktemp("warm")) as helper:
        yield helper


@pytest.fixture(autouse=True)
def same_beginning():
    """Gives the networks of every test the same initial weights, and resets the precision."""
    import keras

    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def eagerly():
    """Does not compile training steps, which saves seconds where a test checks the inputs of a step only."""
    with _eagerly():
        yield


@contextlib.contextmanager
def _eagerly():
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@pytest.fixture(scope="session")
def spandrel():
    """The model loader of PyTorch's super-resolution tools. It imports torchvision for other networks only."""
    stand_in = types.ModuleType("torchvision.transforms.functional")
    stand_in.InterpolationMode = stand_in.rotate = stand_in.normalize = None
    with pytest.MonkeyPatch.context() as patch:
        for name in ("torchvision", "torchvision.transforms"):
            patch.setitem(sys.modules, name, types.ModuleType(name))
        patch.setitem(sys.modules, stand_in.__name__, stand_in)
        import spandrel
        import spandrel.architectures.Compact
        import spandrel.architectures.ESRGAN

        yield spandrel


@pytest.fixture
def server(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    server = ModelServer()
    yield server
    server.stop()


@pytest.fixture
def listed(server, tmp_path, monkeypatch):
    """Adds models to the server's catalogue, by default with `CONTENT`; returns the first."""

    def put(*names, content=CONTENT, **changes):
        records = []
        for name in names:
            server.answers[f"{name}.safetensors"] = whole(content)
            records.append(record(name, content, **{"url": f"{server.url}/{name}.safetensors", **changes}))
        monkeypatch.setattr(downloadable, "_CATALOGUE", write_catalogue(tmp_path / "catalogue.json", *records))
        return downloadable.downloadable_models()[names[0]]

    return put


def run_process(*command, cwd=REPOSITORY, **kwargs) -> subprocess.CompletedProcess:
    """Runs a command line in a separate process, with this Python's commands first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **kwargs.pop("env", {})}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=500, **kwargs
    )


def needs_shared(*parts: str, below: Path = SHARED) -> Path:
    """A path below the shared data; skips the test if the path does not exist."""
    path = below.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {'/'.join(parts)}, which is not part of the repository")
    return path


def needs_trial(*parts: str) -> Path:
    """A path below the small inputs made after users' reports; skips the test if the path does not exist."""
    return needs_shared(*parts, below=TRIALS)


@contextlib.contextmanager
def obeying_permissions():
    """Makes permissions hold in this thread as for any user: root drops CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
    if os.geteuid() != 0:
        yield
        return
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None)
    assert libc.capget(header, sets) == 0
    before, sets[0] = sets[0], sets[0] & ~0b110
    assert libc.capset(header, sets) == 0
    try:
        yield
    finally:
        sets[0] = before
        assert libc.capset(header, sets) == 0


def random_image(height, width, seed=0, channels=3):
    return np.random.default_rng(seed).random((1, height, width, channels), dtype=np.float32)


def weights_by_name(model):
    """`{"layer/kernel": float64 array, …}`, the form that `tests.reference` takes."""
    return {v.path: v.numpy().astype(np.float64) for v in model.weights}


def randomise(model, seed=0, deviation=0.1):
    """Replaces every weight, so that a bias or slope with equal initial values for all channels cannot hide a fault."""
    rng = np.random.default_rng(seed)
    model.set_weights([w + deviation * rng.standard_normal(w.shape, dtype=np.float32) for w in model.get_weights()])
    return model


def assert_close(found, expected, share=1e-5):
    """Compares up to a share of the largest magnitude, because processors add and round sums in different orders."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=share * max(1e-30, float(np.abs(expected).max())))


def opens_without_this_package(model, image, folder, warm=None) -> bool:
    """Whether the saved `.keras` file computes the same in a process, cold or warm, that cannot import `esrgan_tf`."""
    model.save(folder / "generator.keras")
    np.save(folder / "image.npy", image)
    program = (
        "import sys, keras, numpy as np; folder = sys.argv[1]; sys.modules['esrgan_tf'] = None; "
        "model = keras.models.load_model(f'{folder}/generator.keras'); "
        "np.save(f'{folder}/output.npy', model(np.load(f'{folder}/image.npy')))"
    )
    (folder / "open.py").write_text(program)
    run = run_process if warm is None else warm.run
    run(sys.executable, "open.py", folder, cwd=folder).check_returncode()
    return np.allclose(np.load(folder / "output.npy"), model(image), rtol=0, atol=1e-6)
