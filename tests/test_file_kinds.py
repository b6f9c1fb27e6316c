"""The content of a weights file decides its kind, not its name: loaded networks and refused files."""

import argparse
import bz2
import collections
import datetime
import enum
import functools
import gzip
import io
import lzma
import os
import pathlib
import pickle
import re
import shutil
import tarfile
import zipfile

import keras
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, save, save_file

from esrgan_tf import load_model
from esrgan_tf.errors import UserError
from esrgan_tf.models import compact_generator
from esrgan_tf.weights.loading import load_discriminator, load_network
from esrgan_tf.weights.model_names import find_model
from esrgan_tf.weights.torch_files import load_torch_network
from tests import torch_reference as reference
from tests.conftest import REPOSITORY, SHARED, random_image, randomise, run_process

torch.manual_seed(0)
COMPACT = reference.Compact(2, 4, 1).state_dict()
AVERAGE = {name: tensor + 1 for name, tensor in COMPACT.items()}
RESIDUAL = reference.BasicSR(filters=4, blocks=1, growth=2).state_dict()
UNKNOWN = {"conv1.weight": torch.zeros(8, 3, 3, 3), "conv1.bias": torch.zeros(8)}
UNET = {name: tensor.contiguous() for name, tensor in reference.UNetDiscriminatorSN(4).state_dict().items()}
OPTIMIZER = {"state": {0: {"step": torch.tensor(5.0), "exp_avg": torch.zeros(3, 3)}}, "param_groups": [{"lr": 1e-4}]}
TRIALS = SHARED.with_name("trials")


def prefixed(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return file.getvalue()


def tarred(*names, mode="w"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return file.getvalue()


def pictured(kind, **options):
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(file, kind, **options)
    return file.getvalue()


PICTURE = "picture, not weights; name the file of the model"
EXPECTED = "; expected a .keras model, the folder of a SavedModel or of a run, or PyTorch weights (.safetensors, "
FOREIGN = {
    "web page": (b"\n<!DOCTYPE html>\n<html><body>404</body></html>", "a web page, so the download failed; download "),
    "web page without a type": (b"<HTML lang=en>\n<head><title>Sign in</title>", "a web page, so the download failed"),
    "web page with a byte order mark": (b"\xef\xbb\xbf<!doctype html><title>x</title>", "a web page"),
    "web page in UTF-16": ("\ufeff<html><body>no</body></html>".encode("utf-16-le"), "a web page"),
    "answer in XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML text, not weights"),
    "network of OpenVINO": (b'<?xml version="1.0"?>\n<net name="x4" version="11">', "a network of OpenVINO"),
    "answer in JSON": (b'{"error": "Repository not found"}', "a JSON text, such as a server's response"),
    "Git LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 67\n",
        "a Git LFS pointer to a file, not the file; run git lfs pull",
    ),
    "nothing": (b"", "an empty file"),
    "zero bytes": (bytes(9000), "a file of zero bytes, probably an unfinished download"),
    "text": (b"please put the weights here\n", "a text file, not weights" + EXPECTED),
    "YAML": (b"# options\nname: x4\nscale: 4\n", "a YAML text, not weights" + EXPECTED),
    "PNG": (pictured("PNG"), f"a PNG {PICTURE}"),
    "JPEG": (pictured("JPEG"), f"a JPEG {PICTURE}"),
    "GIF": (pictured("GIF"), f"a GIF {PICTURE}"),
    "TIFF": (pictured("TIFF"), f"a TIFF {PICTURE}"),
    "BMP": (pictured("BMP"), f"a BMP {PICTURE}"),
    "WebP": (pictured("WEBP"), "a WebP file, not weights"),
    "zip": (zipped("x/readme.txt", "x/net_g.pth"), "an archive (zip) that holds x/net_g.pth; unpack it"),
    "zip of other things": (zipped("a.txt"), "an archive (zip); unpack it"),
    "empty zip": (zipped(), "an archive (zip); unpack it"),
    "arrays of NumPy": (zipped("a.npy", "b.npy"), "an archive of NumPy arrays"),
    "TorchScript": (
        zipped("m/data.pkl", "m/constants.pkl", "m/code/__torch__.py"),
        'a TorchScript program, not weights; save its state dict instead, with torch.save(torch.jit.load("',
    ),
    "torch.export": (zipped("m/archive_format", "m/models/model.json"), "a program of torch.export, not weights"),
    "gzip": (gzip.compress(b"a" * 100), "an archive (gzip); unpack it"),
    "tar": (tarred("a.pth"), "an archive (tar); unpack it"),
    "tar.xz": (tarred("a.pth", mode="w:xz"), "an archive (xz); unpack it"),
    "bzip2": (bz2.compress(b"a"), "an archive (bzip2); unpack it"),
    "xz": (lzma.compress(b"a"), "an archive (xz); unpack it"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24), "an archive (7z); unpack it"),
    "rar": (b"Rar!\x1a\x07\x01\0" + bytes(24), "an archive (rar); unpack it"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\0" + bytes(20), "an archive (zstd); unpack it"),
    "PyTorch's tar": (tarred("sys_info", "pickle", "storages", "tensors"), "in PyTorch's oldest format (tar)"),
    "ONNX": (b"\x08\x08\x12\x07pytorch\x1a\x052.0.1:\x90\x01", "an ONNX model, which is written but not read"),
    "LiteRT": (b"\x1c\0\0\0TFL3\x14\0 \0", "a LiteRT model, which is written but not read" + EXPECTED),
    "GGUF": (b"GGUF\3\0\0\0" + bytes(20), "a GGUF model" + EXPECTED),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file, as Keras 2 wrote models"),
    "NumPy": (b"\x93NUMPY\1\0v\0{'descr': '<f4'", "a NumPy array" + EXPECTED),
    "network of ncnn": (b"7767517\n43 60\nInput data 0 1 data\n", "a network of ncnn" + EXPECTED),
    "PDF": (b"%PDF-1.7\n%", "a PDF document, not weights" + EXPECTED),
    "file of macOS": (b"\0\x05\x16\x07\0\2\0\0Mac OS X", "macOS metadata of another file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_another_kind_is_named(kind, tmp_path):
    content, words = FOREIGN[kind]
    for name in ("x4.pth", "x4.safetensors", "x4.keras", "x4.ckpt", "x4.bin", "x4"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError) as error:
            load_network(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name} is {words}")
        assert "\n" not in str(error.value)


def test_the_first_bytes_are_enough(photos, tmp_path):
    """Every command refuses a failed download before slow imports."""
    (tmp_path / "page.pth").write_bytes(FOREIGN["web page"][0])
    program = (
        "import sys\n"
        "from esrgan_tf.cli.main import main\n"
        "page, photo, folder = sys.argv[1:]\n"
        "train = ['train', '--phase', 'psnr', '--run_dir', folder + '/run', '--set', 'data.hr_dir=' + folder]\n"
        "gan = ['train', '--phase', 'gan', *train[3:], '--init_from', 'photo']\n"
        "for command in (['upscale', photo, '--model', page], ['convert', page, folder + '/a.keras'],\n"
        "        ['convert', page, page, '--alpha', '0.5', '--output', folder + '/b.keras'],\n"
        "        ['export', '--model', page, '--output', folder + '/c'], ['web', '--model', page],\n"
        "        ['evaluate', '--model', page, '--hr_dir', folder],\n"
        "        [*train, '--init_from', page], [*gan, '--discriminator_from', page]):\n"
        "    assert main(command) == 2, command\n"
        "assert not {'tensorflow', 'keras', 'torch'} & sys.modules.keys()\n"
    )
    (tmp_path / "run.py").write_text(program)
    arguments = (tmp_path / "page.pth", photos / "coffee.png", tmp_path)
    result = run_process("python", tmp_path / "run.py", *arguments, env={"PYTHONPATH": str(REPOSITORY)})
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 8
    for line in lines:
        assert re.fullmatch(rf"esrgan-tf: (--model: )?{re.escape(str(arguments[0]))} is a web page, so the .*", line)


def assert_holds(model, state):
    """Computes the output of PyTorch's network with this state dict."""
    network, image = reference.Compact(2, 4, 1), random_image(5, 6)
    network.load_state_dict(state)
    with torch.no_grad():
        expected = network(torch.from_numpy(image.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(model(image), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


WRITERS = {
    "PyTorch": lambda path: torch.save(COMPACT, path),
    "PyTorch before 1.6": lambda path: torch.save(COMPACT, path, _use_new_zipfile_serialization=False),
    "safetensors": lambda path: path.write_bytes(save(COMPACT)),
}


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors", "x.keras", "x.ckpt", "x.bin", "x.state", "x.onnx", "x"])
def test_every_format_is_read_under_every_name(name, tmp_path):
    for write in WRITERS.values():
        write(tmp_path / name)
        assert_holds(load_network(tmp_path / name), COMPACT)


def test_keras_models_are_read_under_every_name(tmp_path, run_main):
    model, image = randomise(compact_generator(2, filters=4, blocks=1)), random_image(5, 4)
    model.save(tmp_path / "whole.keras")
    for name in ("x.pth", "x.safetensors", "x.zip", "x.KERAS", "x"):
        shutil.copyfile(tmp_path / "whole.keras", tmp_path / name)
        np.testing.assert_array_equal(load_model(tmp_path / name)(image), model(image))
    status, _, err = run_main("convert", tmp_path / "x.pth", tmp_path / "new.safetensors")
    assert status == 0, err
    np.testing.assert_array_equal(load_model(tmp_path / "new.safetensors")(image), model(image))
    (tmp_path / "x").write_bytes((tmp_path / "whole.keras").read_bytes()[:-40])
    with pytest.raises(UserError, match="x is not a Keras model, or is cut short; download or save it again"):
        load_model(tmp_path / "x")


PREFIXES = {
    "net_g.": prefixed("net_g.", COMPACT),
    "netG.": prefixed("netG.", COMPACT),
    "generator.": prefixed("generator.", COMPACT),
    "model.": prefixed("model.", COMPACT),
    "module.": prefixed("module.", COMPACT),
    "several": prefixed("module.model._orig_mod.net_g.", COMPACT),
    "of nobody's": prefixed("upscaler_2.inner.", COMPACT),
    "with a discriminator": {**prefixed("generator.", COMPACT), **prefixed("discriminator.", UNKNOWN)},
    "of Lightning": {"state_dict": prefixed("net_g.", COMPACT), "epoch": 3, "optimizer_states": [OPTIMIZER]},
    "g": {"g": COMPACT, "d": UNKNOWN, "g_optim": OPTIMIZER},
    "netG": {"netG": COMPACT, "netD": UNET, "iter": 7},
    "weights": {"weights": COMPACT},
    "nested": {"checkpoint": {"models": {"generator": {"params": prefixed("module.", COMPACT)}}}},
    "in a list": {"models": [COMPACT], "step": 3},
    "module by module": {"body": {"0": {"weight": COMPACT["body.0.weight"], "bias": COMPACT["body.0.bias"]},
                                  **{name.removeprefix("body."): COMPACT[name] for name in list(COMPACT)[2:]}}},
    "a discriminator in it": {**COMPACT, **prefixed("netD.", UNET)},
    "averaging module": {"ema_model": {"n_averaged": torch.tensor(3), **prefixed("module.", COMPACT)}},
    "the same twice": {"a": COMPACT, "b": {name: tensor.clone() for name, tensor in COMPACT.items()}},
}  # fmt: skip
AVERAGES = {
    "params_ema": ({"params": COMPACT, "params_ema": AVERAGE}, "params_ema", "params"),
    "params-ema": ({"params": COMPACT, "params-ema": AVERAGE}, "params-ema", "params"),
    "g_ema": ({"g": COMPACT, "g_ema": AVERAGE, "d": UNKNOWN}, "g_ema", "g, d"),
    "ema_model": ({"model": COMPACT, "ema_model": prefixed("module.", AVERAGE)}, "ema_model.module", "model"),
    "model_ema.": ({**prefixed("model.", COMPACT), **prefixed("model_ema.", AVERAGE)}, "model_ema", "model"),
    "generator_ema.": (
        {"state_dict": {**prefixed("generator.", COMPACT), **prefixed("generator_ema.", AVERAGE)}, "meta": {}},
        "state_dict.generator_ema",
        "state_dict.generator",
    ),
    "with a discriminator": (
        {**prefixed("net_g_ema.", AVERAGE), **prefixed("net_g.", COMPACT), **prefixed("net_d.", UNET)},
        "net_g_ema",
        "net_g, net_d",
    ),
}


def flat(content, prefix=""):
    """The tensors of nested dictionaries, as safetensors can hold them."""
    if isinstance(content, torch.Tensor):
        return {prefix: content.clone()}
    inner = content.items() if isinstance(content, dict) else ()
    return {n: t for key, value in inner for n, t in flat(value, f"{prefix}.{key}" if prefix else str(key)).items()}


@pytest.mark.parametrize("case", PREFIXES)
def test_the_network_is_found_under_any_prefix(case, tmp_path):
    torch.save(PREFIXES[case], tmp_path / "x.pth")
    assert_holds(load_network(tmp_path / "x.pth"), COMPACT)
    tensors = flat(PREFIXES[case])
    if len(tensors) >= len(COMPACT):  # safetensors has no lists
        save_file(tensors, tmp_path / "x.safetensors")
        assert_holds(load_network(tmp_path / "x.safetensors"), COMPACT)


@pytest.mark.parametrize("case", AVERAGES)
def test_the_average_is_used_and_reported(case, tmp_path):
    content, taken, others = AVERAGES[case]
    torch.save(content, tmp_path / "x.pth")
    save_file(flat(content), tmp_path / "x.safetensors")
    for path in (tmp_path / "x.pth", tmp_path / "x.safetensors"):
        lines = []
        assert_holds(load_torch_network(path, say_choice=lines.append), AVERAGE)
        (line,) = lines
        begin, _, end = line.partition("; the file also holds ")
        assert begin == f"{path}: {taken} (the average) was selected"
        assert set(end.split(", ")) == set(others.split(", "))


def test_every_command_prints_the_selected_model(photos, tmp_path, run_main, capfd):
    torch.save({"params": COMPACT, "params_ema": AVERAGE}, tmp_path / "x.pth")
    line = f"{tmp_path / 'x.pth'}: params_ema (the average) was selected; the file also holds params\n"
    status, out, err = run_main("convert", tmp_path / "x.pth", tmp_path / "x.safetensors")
    assert (status, err) == (0, "")
    assert f"note: {line}" in out
    assert "was selected" not in run_main("convert", tmp_path / "x.safetensors", tmp_path / "y.safetensors")[1]
    status, _, err = run_main(
        "upscale", photos / "coffee.png", "--output", tmp_path / "x.png", "--model", tmp_path / "x.pth"
    )
    assert status == 0, err
    assert f"esrgan-tf: {line}" in err
    capfd.readouterr()
    load_model(tmp_path / "x.pth")
    assert capfd.readouterr().err == f"esrgan-tf: {line}"


def test_a_discriminator_is_taken_where_one_is_wanted(tmp_path):
    torch.save({"net_g": COMPACT, "net_d": UNET}, tmp_path / "x.pth")
    assert_holds(load_model(tmp_path / "x.pth"), COMPACT)
    kernel = load_discriminator(tmp_path / "x.pth").get_layer("conv0").kernel
    np.testing.assert_array_equal(kernel, UNET["conv0.weight"].numpy().transpose(2, 3, 1, 0))


REFUSED = {
    "two generators": (
        {"net_a": COMPACT, "net_b": AVERAGE},
        "holds 2 networks (net_a (SRVGGNetCompact), net_b (SRVGGNetCompact)); save the state dict of the network",
    ),
    "two averages": (
        {"a_ema": COMPACT, "b_ema": AVERAGE, "a": AVERAGE},
        "holds 2 networks (a_ema (SRVGGNetCompact), b_ema (SRVGGNetCompact)); ",
    ),
    "an average of another network": (
        {"x_ema": COMPACT, "y": RESIDUAL},
        "holds 2 networks (x_ema (SRVGGNetCompact), y (RRDBNet)); ",
    ),
    "an incomplete generator beside a discriminator": (
        {"net_g": {name: RESIDUAL[name] for name in RESIDUAL if name != "conv_hr.bias"}, "net_d": UNET},
        "but the file lacks conv_hr.bias",
    ),
    "an optimizer's state": (
        {"epoch": 3, "iter": 9, "optimizers": [OPTIMIZER], "schedulers": [{}]},
        "holds an optimizer's state and no network; the network is in another file",
    ),
    "an optimizer alone": (OPTIMIZER, "holds an optimizer's state and no network"),
    "an optimizer of Lightning": (
        {"optimizer_states": [OPTIMIZER], "scale": torch.ones(1)},
        "holds an optimizer's state",
    ),
    "a whole network": (
        reference.Compact(2, 4, 1),
        "is refused: it holds tests.torch_reference.Compact, not only tensors, and loading that could run its code; if "
        'you trust it, save its state dict alone, with torch.save(torch.load("x.pth", weights_only=False)'
        '.state_dict(), "state_dict.pth")',
    ),
    "a whole network under a key": (
        {"epoch": np.float64(3), "model": reference.Compact(2, 4, 1)},
        'with torch.save(torch.load("x.pth", weights_only=False)[\'model\'].state_dict(), "state_dict.pth")',
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_without_a_single_network_are_refused_in_one_line(case, tmp_path):
    content, words = REFUSED[case]
    torch.save(content, tmp_path / "x.pth")
    shutil.copyfile(tmp_path / "x.pth", tmp_path / "9.state")
    with pytest.raises(UserError) as error:
        load_model(tmp_path / "x.pth")
    assert words in str(error.value)
    with pytest.raises(UserError) as error:
        load_model(tmp_path / "9.state")
    assert words.replace("x.pth", "9.state") in str(error.value)
    assert "\n" not in str(error.value)


class Settings(dict):
    """Configuration libraries store such objects."""

    __getattr__ = dict.get


class Steps(list):
    """A list that also has a name."""


class Mode(enum.Enum):
    FAST = 1


class Slots:
    """An object without a dictionary."""

    __slots__ = ("a", "b")

    def __init__(self):
        self.a, self.b = 1, 2


HARMLESS = {
    "float of NumPy": np.float64(27.5),
    "whole number of NumPy": np.int64(3),
    "truth value of NumPy": np.bool_(True),
    "type of NumPy": np.dtype("float32"),
    "array": np.arange(4.0),
    "array of texts": np.array(["a", "b"]),
    "array of objects": np.array([1, "a", None], object),
    "random numbers": (np.random.get_state(), np.random.default_rng(0)),
    "Namespace": argparse.Namespace(lr=1e-4, gpus=[0]),
    "path": pathlib.Path("/weights/x.pth"),
    "path of another system": pathlib.PureWindowsPath("C:/x.pth"),
    "OrderedDict": collections.OrderedDict(a=1),
    "defaultdict": collections.defaultdict(list, {"a": [1]}),
    "deque": collections.deque([1, 2]),
    "sets": ({1, 2}, frozenset([1])),
    "Size": torch.Size([1, 2]),
    "device": torch.device("cpu"),
    "type": torch.float16,
    "date": datetime.datetime(2024, 1, 1),
    "dictionary of another library": Settings(scale=4, inner=Settings(a=1)),
    "list of another library": Steps([1, 2, 3]),
    "enumeration": {Mode.FAST: Mode.FAST},
    "object": Slots(),
    "class": Slots,
}


@pytest.mark.parametrize("case", HARMLESS)
def test_other_objects_in_a_weights_file_are_passed_over(case, tmp_path):
    """The file contains an object of a library that is not installed; nothing of it is imported."""
    for zipped_format in (True, False):
        path = tmp_path / "x.pth"
        content = {"before": HARMLESS[case], "state_dict": COMPACT, "after": [HARMLESS[case]]}
        torch.save(content, path, _use_new_zipfile_serialization=zipped_format)
        assert_holds(load_network(path), COMPACT)


def test_the_spellings_of_older_and_newer_numpy(tmp_path):
    """`numpy.core` became `numpy._core` in version 2; the reader also passes over an unknown library."""
    torch.save({"best": np.float64(2), "params": COMPACT}, tmp_path / "new.pth")
    for module in (b"numpy.core.multiarray", b"numpy._core.multiarray", b"mmengine.logging.history"):
        with (
            zipfile.ZipFile(tmp_path / "new.pth") as source,
            zipfile.ZipFile(tmp_path / "old.pth", "w") as target,
        ):
            for name in source.namelist():
                data = re.sub(rb"numpy\._?core\.multiarray", module, source.read(name))
                assert not name.endswith("data.pkl") or module in data
                target.writestr(name, data)
        assert_holds(load_network(tmp_path / "old.pth"), COMPACT)


class Calls:
    """Unrestricted unpickling of the object calls a function."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def attacks(marker):
    return {
        "os.system": Calls(os.system, f"touch {marker}"),
        "open": Calls(open, marker, "w"),
        "eval": Calls(eval, f"open({str(marker)!r}, 'w')"),
        "exec": Calls(exec, f"open({str(marker)!r}, 'w')"),
        "mkdir": Calls(os.mkdir, str(marker)),
        "partial": Calls(functools.partial, os.mkdir, str(marker)),
        "a function of the file's author": Calls(create, str(marker)),
        "of NumPy": Calls(np.save, str(marker), np.zeros(1)),
        "inside an array": np.array([Calls(os.mkdir, str(marker))], object),
        "inside a path": Calls(pathlib.PurePath, Calls(os.mkdir, str(marker))),
        "inside an object of a library": Calls(Settings, Calls(create, str(marker))),
        "as a method": Calls(getattr(pathlib.Path(marker), "touch")),  # noqa: B009
    }


def create(path):
    """Replaces a function of a library."""
    with open(path, "w", encoding="utf-8"):
        pass


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors", "x.keras"])
def test_no_code_of_a_file_runs(name, tmp_path):
    """Tests any file name, any position and every pickle format; the file may be refused or its object passed over."""
    marker, path = tmp_path / "was-run", tmp_path / name
    for attack in attacks(marker).values():
        for content in (attack, {"params": COMPACT, "beside": attack}, {"params": {**COMPACT, "body.9": attack}}):
            for write in (
                lambda content: torch.save(content, path),
                lambda content: torch.save(content, path, _use_new_zipfile_serialization=False),
                lambda content: torch.save(content, path, pickle_protocol=4),
                lambda content: path.write_bytes(pickle.dumps(content, 2)),
                lambda content: path.write_bytes(pickle.dumps(content)),
            ):
                write(content)
                try:
                    find_model(path)
                    load_torch_network(path)
                except UserError as error:
                    assert "\n" not in str(error)  # noqa: PT017
                assert not marker.exists(), (attack, name)
    pickle.loads(pickle.dumps(attacks(marker)["mkdir"]))  # unrestricted unpickling runs the attacks
    assert marker.exists()


def test_a_function_of_python_is_refused_by_name(tmp_path):
    for attack, name in (("eval", "eval"), ("open", "io.open"), ("partial", "functools.partial")):
        torch.save({"params": COMPACT, "beside": attacks(tmp_path / "was-run")[attack]}, tmp_path / "x.safetensors")
        with pytest.raises(UserError, match=rf"x.safetensors is refused: it holds {name}, not only tensors, and load"):
            load_network(tmp_path / "x.safetensors")


def test_a_program_in_a_keras_model_never_runs_under_another_name(tmp_path):
    def program(x):
        open(tmp_path / "was-run", "w", encoding="utf-8").close()
        return x

    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Lambda(program)])
    (tmp_path / "was-run").unlink()  # building the file ran the program
    model.save(tmp_path / "x.keras")
    (tmp_path / "x.keras").rename(tmp_path / "x.pth")
    with pytest.raises(UserError, match="is not a Keras model: "):
        load_model(tmp_path / "x.pth")
    assert not (tmp_path / "was-run").exists()


def test_pickles_that_are_not_read_are_one_line(tmp_path):
    torch.save(COMPACT, tmp_path / "x.pth", pickle_protocol=4)
    with pytest.raises(UserError, match=r"x\.pth was saved with an unsupported pickle protocol; save it again"):
        load_network(tmp_path / "x.pth")
    (tmp_path / "x.pth").write_bytes(pickle.dumps({"a": 1}, protocol=4))
    with pytest.raises(UserError, match=r"x\.pth is not a PyTorch file, but a pickle of another program; save"):
        load_network(tmp_path / "x.pth")


GIVEN = {
    **{f"R17/page.{end}": "is a web page, so the download failed" for end in ("pth", "safetensors", "keras")},
    **{f"R17/pointer.{end}": "is a Git LFS pointer" for end in ("pth", "safetensors", "keras")},
    **{f"R17/empty.{end}": "is an empty file" for end in ("pth", "safetensors", "keras")},
    "R17/picture.pth": "is a PNG picture",
    "R18/9.state": "holds an optimizer's state",
}
# {file: prefix of the weights' names for PyTorch and safetensors}
GIVEN_WEIGHTS = {
    "R17/really_pth.safetensors": "params.",
    "R17/really_safetensors.pth": "",
    "R18/mmagic.pth": "state_dict.generator_ema.",
    "R18/lightning.ckpt": "state_dict.net_g.",
    "R18/prefixed.safetensors": "params_ema.",
    "R18/gan.pth": "g_ema.",
    "R18/numpy_number.pth": "state_dict.",
    "R18/basicsr.pth": "params_ema.",
}


def given(name):
    if not TRIALS.is_dir():
        pytest.skip("needs the trials, which are not part of the repository")
    return TRIALS / name


@pytest.mark.parametrize("name", GIVEN)
def test_files_as_users_have_them_are_named(name):
    with pytest.raises(UserError, match=GIVEN[name]):
        load_network(given(name))


@pytest.mark.parametrize("name", GIVEN_WEIGHTS)
def test_files_as_users_have_them_are_read(name):
    path = given(name)
    kernel = load_network(path).get_layer("conv_first").kernel
    if path.read_bytes()[:2] == b"PK":
        tensors = flat(torch.load(path.open("rb"), weights_only=False))  # the tests wrote these files
    else:
        tensors = load(path.read_bytes())
    prefix = GIVEN_WEIGHTS[name]
    prefix = prefix if f"{prefix}conv_first.weight" in tensors else ""
    expected = tensors[f"{prefix}conv_first.weight"]
    np.testing.assert_array_equal(kernel, expected.numpy().transpose(2, 3, 1, 0))
