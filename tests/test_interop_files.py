"""Recognised weights files, and the one-line messages for other files."""

import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from esrgan_tf.errors import UserError
from esrgan_tf.weights.architecture import recognise_model
from esrgan_tf.weights.state_dicts import open_tensors
from esrgan_tf.weights.torch_files import load_torch
from esrgan_tf.weights.torch_import import check_torch
from tests import torch_reference as reference
from tests.conftest import REPOSITORY

torch.manual_seed(0)
SMALL = {"filters": 8, "blocks": 2, "growth": 4}
BASICSR = reference.BasicSR(**SMALL).state_dict()
OLDEST = reference.Oldest(**SMALL, stages=3).state_dict()
COMPACT = reference.Compact(2, 8, 2).state_dict()
RRDB_X4 = {"scale": 4, **SMALL, "in_channels": 3, "out_channels": 3, "unshuffle": 1, "plus": False}
# Cases that a second block does not change.
ONE = {**SMALL, "blocks": 1}
ONE_BLOCK, ONE_BLOCK_X4 = reference.BasicSR(**ONE).state_dict(), {**RRDB_X4, **ONE}


def changed(state, **tensors):
    """`state` with tensors replaced, or removed if None; `__` in a name replaces a dot."""
    state = dict(state)
    for name, tensor in tensors.items():
        state[name.replace("__", ".")] = tensor
    return {name: tensor for name, tensor in state.items() if tensor is not None}


def prefixed(state, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def cast(state, dtype):
    return {name: tensor.to(dtype) for name, tensor in state.items()}


# torch.save writes each network as .pth. Reading it must recognise these hyper-parameters.
RECOGNISED = {
    "bare": (BASICSR, RRDB_X4),
    "ordered": (OrderedDict(ONE_BLOCK), ONE_BLOCK_X4),
    "params_ema": ({"params_ema": ONE_BLOCK}, ONE_BLOCK_X4),
    "params-ema": ({"params-ema": ONE_BLOCK}, ONE_BLOCK_X4),
    "params": ({"params": ONE_BLOCK}, ONE_BLOCK_X4),
    "both: the average wins": (
        {"params": changed(ONE_BLOCK, conv_hr__bias=None), "params_ema": ONE_BLOCK},
        ONE_BLOCK_X4,
    ),
    "model_state_dict": (
        {"model_state_dict": ONE_BLOCK, "optimizer_state_dict": {"step": 3}, "epoch": 1},
        ONE_BLOCK_X4,
    ),
    "state_dict": ({"state_dict": ONE_BLOCK, "iteration": 5}, ONE_BLOCK_X4),
    "model": ({"model": ONE_BLOCK, "args": "x4"}, ONE_BLOCK_X4),
    "net": ({"net": ONE_BLOCK, "lr": 0.1}, ONE_BLOCK_X4),
    "a single key": ({"generator": ONE_BLOCK}, ONE_BLOCK_X4),
    "wrapped twice": ({"state_dict": {"params": ONE_BLOCK}}, ONE_BLOCK_X4),
    "data parallel": (prefixed(ONE_BLOCK, "module."), ONE_BLOCK_X4),
    "of a GAN": ({**prefixed(ONE_BLOCK, "netG."), "netD.conv0.weight": torch.zeros(1)}, ONE_BLOCK_X4),
    "data parallel, of a GAN": (prefixed(ONE_BLOCK, "module.netG."), ONE_BLOCK_X4),
    "compiled": (prefixed(ONE_BLOCK, "_orig_mod."), ONE_BLOCK_X4),
    "with a number beside": ({**ONE_BLOCK, "step": 100}, ONE_BLOCK_X4),
    "half precision": (cast(ONE_BLOCK, torch.float16), ONE_BLOCK_X4),
    "bfloat16": (cast(ONE_BLOCK, torch.bfloat16), ONE_BLOCK_X4),
    "double precision": (cast(ONE_BLOCK, torch.float64), ONE_BLOCK_X4),
    "parameters": (dict(reference.BasicSR(**ONE).named_parameters()), ONE_BLOCK_X4),
    "an empty average": ({"params_ema": {}, "params": ONE_BLOCK}, ONE_BLOCK_X4),
    "BasicSR's names, x2": (
        {name: tensor for name, tensor in ONE_BLOCK.items() if not name.startswith("conv_up2")},
        {**ONE_BLOCK_X4, "scale": 2},
    ),
    "BasicSR's names, x8": (
        {**ONE_BLOCK, "conv_up3.weight": ONE_BLOCK["conv_up1.weight"], "conv_up3.bias": ONE_BLOCK["conv_up1.bias"]},
        {**ONE_BLOCK_X4, "scale": 8},
    ),
    "the repository's names, x2": (reference.Repository(**ONE, scale=2).state_dict(), {**ONE_BLOCK_X4, "scale": 2}),
    "the repository's names": (reference.Repository(**SMALL).state_dict(), RRDB_X4),
    "the oldest names": (reference.Oldest(**SMALL).state_dict(), RRDB_X4),
    "oldest x1": (reference.Oldest(**ONE, stages=0).state_dict(), {**ONE_BLOCK_X4, "scale": 1}),
    "oldest x8": (OLDEST, {**RRDB_X4, "scale": 8}),
    "oldest x16": (reference.Oldest(**ONE, stages=4).state_dict(), {**ONE_BLOCK_X4, "scale": 16}),
    "x2 of packed pixels": (
        reference.BasicSR(**ONE, unshuffle=2).state_dict(),
        {**ONE_BLOCK_X4, "scale": 2, "unshuffle": 2},
    ),
    "x1 of packed pixels": (
        reference.BasicSR(**ONE, unshuffle=4).state_dict(),
        {**ONE_BLOCK_X4, "scale": 1, "unshuffle": 4},
    ),
    "ESRGAN+": (reference.Oldest(**ONE, plus=True).state_dict(), {**ONE_BLOCK_X4, "plus": True}),
    "gray": (
        reference.BasicSR(**ONE, in_channels=1, out_channels=1).state_dict(),
        {**ONE_BLOCK_X4, "in_channels": 1, "out_channels": 1},
    ),
    "twelve channels, none packed": (
        reference.Oldest(**ONE, stages=0, in_channels=12).state_dict(),
        {**ONE_BLOCK_X4, "scale": 1, "in_channels": 12},
    ),
    "growth 8": (reference.BasicSR(8, 2, 8).state_dict(), {**RRDB_X4, "growth": 8}),
    "compact": (COMPACT, {"scale": 2, "filters": 8, "blocks": 2, "channels": 3}),
    "compact, wrapped": ({"params": COMPACT}, {"scale": 2, "filters": 8, "blocks": 2, "channels": 3}),
    "compact without a body": (
        reference.Compact(3, 8, 0).state_dict(),
        {"scale": 3, "filters": 8, "blocks": 0, "channels": 3},
    ),
}

TRANSFORMER = {
    f"layers.{i}.attn.{part}.weight": torch.zeros(4, 4) for i in range(3) for part in ("qkv", "proj", "relative_bias")
}
NAN = torch.full((8,), float("nan"))
ITSELF = {}
ITSELF["model"] = ITSELF
NOT_RECOGNISED = {
    "a transformer": (TRANSFORMER, "an unknown architecture; its 9 tensors begin with layers.0.attn.qkv.weight, "),
    "a discriminator": ({"conv0.weight": torch.zeros(8, 3, 3, 3)}, "an unknown architecture; its 1 tensors begin with"),
    "a shape that contradicts another": (
        changed(BASICSR, body__1__rdb2__conv4__weight=torch.zeros(4, 19, 3, 3)),
        "but body.1.rdb2.conv4.weight is (4, 19, 3, 3), not (4, 20, 3, 3)",
    ),
    "another first layer": (
        changed(BASICSR, conv_first__weight=torch.zeros(16, 3, 3, 3)),
        "16 filters, 2 blocks, growth 4, ",
    ),
    "5x5 convolutions": (
        changed(BASICSR, conv_hr__weight=torch.zeros(8, 8, 5, 5)),
        "but conv_hr.weight is (8, 8, 5, 5), not (8, 8, 3, 3)",
    ),
    "no convolution at all": (
        changed(BASICSR, conv_first__weight=torch.zeros(8)),
        "conv_first.weight has the shape (8,), which no convolution has",
    ),
    "no outputs": (
        changed(BASICSR, conv_last__weight=torch.zeros(0, 8, 3, 3)),
        "conv_last.weight has the shape (0, 8, 3, 3), which no convolution has",
    ),
    "a missing bias": (changed(BASICSR, conv_body__bias=None), "but the file lacks conv_body.bias"),
    "a missing end": (
        changed(BASICSR, conv_last__weight=None),
        "it resembles RRDBNet, but there is no conv_last.weight",
    ),
    "a missing block": (
        {name: tensor for name, tensor in BASICSR.items() if not name.startswith("body.0.")},
        "there is no body.0.rdb1.conv1.weight",
    ),
    "a missing stage": (
        {name: tensor for name, tensor in OLDEST.items() if not name.startswith("model.6.")},
        "the file lacks model.6.weight, model.6.bias",
    ),
    "a missing end of the oldest": (
        changed(OLDEST, model__13__weight=None, model__13__bias=None),
        "there is no model.13.weight",
    ),
    "a block far away": (
        changed(BASICSR, body__99999__rdb1__conv1__weight=torch.zeros(1)),
        "it has tensors of block 99999",
    ),
    "half of ESRGAN+": (
        changed(OLDEST, **{"model.1.sub.0.RDB1.conv1x1.weight": torch.zeros(4, 8, 1, 1)}),
        "but the file lacks model.1.sub.0.RDB2.conv1x1.weight, model.1.sub.0.RDB3.conv1x1.weight, ",
    ),
    "one tensor too many": (changed(BASICSR, attention=torch.zeros(3)), "but the file also has attention"),
    "a network with batch normalisation": (
        changed(OLDEST, **{"model.1.sub.0.RDB1.conv1.1.running_mean": torch.zeros(4)}),
        "but the file also has model.1.sub.0.RDB1.conv1.1.running_mean",
    ),
    "integer weights": (
        changed(BASICSR, conv_hr__weight=torch.zeros((8, 8, 3, 3), dtype=torch.int8)),
        "conv_hr.weight holds int8; weights must be floating-point numbers",
    ),
    "complex weights": (
        changed(BASICSR, conv_hr__bias=torch.zeros(8, dtype=torch.complex64)),
        "conv_hr.bias holds torch.complex64",
    ),
    "sparse weights": (changed(BASICSR, conv_hr__bias=torch.zeros(8).to_sparse()), "torch.sparse_coo"),
    "weights without values": (
        changed(BASICSR, conv_hr__bias=torch.zeros(8, device="meta")),
        "conv_hr.bias holds torch.float32",
    ),
    "compressed weights": (
        changed(BASICSR, beside=torch.eye(3).to_sparse_csr()),
        "but the file also has beside",
    ),
    "weights of eight bits": (
        changed(BASICSR, conv_hr__bias=torch.zeros(8).to(torch.float8_e4m3fn)),
        "conv_hr.bias holds torch.float8_e4m3fn",
    ),
    "scale 32": (
        reference.Oldest(**SMALL, stages=5).state_dict(),
        "it upscales by 32, and RRDBNet supports 1, 2",
    ),
    "a stage far away": (
        changed(BASICSR, conv_up20000__weight=torch.zeros(1)),
        "it has an upsampling stage number 20000",
    ),
    "a name of two lines": (prefixed(BASICSR, "first\nsecond."), "its tensors' names have control characters"),
    "two networks": (
        {"net_a": BASICSR, "net_b": COMPACT},
        "holds 2 networks (net_a (RRDBNet), net_b (SRVGGNetCompact)); save the state dict of the network that you want",
    ),
    "NaN": (changed(BASICSR, conv_hr__bias=NAN), "values that are not finite in conv_hr.bias"),
    "infinity": (changed(BASICSR, conv_hr__bias=1 / torch.zeros(8)), "values that are not finite in conv_hr.bias"),
    "compact without slopes": (
        {name: tensor for name, tensor in COMPACT.items() if tensor.ndim == 4 or not name.endswith("weight")},
        "the file lacks body.1.weight, body.3.weight, body.5.weight",
    ),
    "compact without its end": (
        changed(COMPACT, body__6__weight=None, body__6__bias=None),
        "body.5.weight has the shape (8,); the first and the last layer must be convolutions",
    ),
    "compact with a number for its beginning": (
        changed(COMPACT, body__0__weight=torch.tensor(1.0)),
        "body.0.weight has the shape ()",
    ),
    "compact of no scale": (
        changed(COMPACT, body__6__weight=torch.zeros(13, 8, 3, 3), body__6__bias=torch.zeros(13)),
        "body.6.weight has 13 outputs; expected 3 channels times a squared scale",
    ),
    "compact with a hole": (
        changed(COMPACT, body__400__weight=torch.zeros(8)),
        "it has tensors of layer 400, but the tensors of earlier",
    ),
    "empty": ({}, "holds no tensors"),
    "nothing but numbers": ({"epoch": 3, "loss": 0.1}, "holds no tensors; its keys are epoch, loss"),
    "a tensor": (torch.zeros(3), "holds a Tensor, not a dictionary of tensors"),
    "a list": ([torch.zeros(3)], "holds a list, not a dictionary of tensors"),
    "wrapped in itself": (ITSELF, "holds no tensors; its keys are model"),
}


@pytest.mark.parametrize("case", RECOGNISED)
def test_recognised(case, tmp_path):
    content, arguments = RECOGNISED[case]
    torch.save(content, tmp_path / "weights.pth")
    options = recognise_model(load_torch(tmp_path / "weights.pth")).options
    assert options == type(options)(**arguments)


@pytest.mark.parametrize("case", NOT_RECOGNISED)
def test_not_recognised(case, tmp_path):
    content, message = NOT_RECOGNISED[case]
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(UserError) as error:
        load_torch(tmp_path / "weights.pth")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "weights.pth"))


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".PTH"])
def test_extensions_of_pytorch(suffix, tmp_path):
    torch.save(ONE_BLOCK, tmp_path / f"weights{suffix}")
    assert load_torch(tmp_path / f"weights{suffix}").count_params()


def test_files_of_old_pytorch(tmp_path):
    torch.save(ONE_BLOCK, tmp_path / "weights.pth", _use_new_zipfile_serialization=False)
    assert load_torch(tmp_path / "weights.pth").count_params()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_every_precision_is_widened_exactly(dtype, suffix, tmp_path):
    state = cast(COMPACT, dtype)
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    bias = load_torch(path).get_layer("body_0").get_weights()[1]
    np.testing.assert_array_equal(bias, state["body.0.bias"].float().numpy())


def test_doubles_beyond_float32_are_not_finite(tmp_path, recwarn):
    save_file({**COMPACT, "body.0.bias": torch.full((8,), 1e300, dtype=torch.float64)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"values that are not finite in body.0.bias"):
        load_torch(tmp_path / "w.safetensors")
    assert not recwarn.list


def test_eight_bit_floats_in_safetensors_are_refused(tmp_path):
    save_file({**COMPACT, "body.0.bias": torch.zeros(8).to(torch.float8_e4m3fn)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"body.0.bias holds F8_E4M3; expected plain tensors of float16"):
        load_torch(tmp_path / "w.safetensors")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_one_line(suffix, tmp_path):
    path = tmp_path / f"weights{suffix}"
    save_file(COMPACT, path) if suffix == ".safetensors" else torch.save(COMPACT, path)
    whole = path.read_bytes()
    for length in {1, 7, 8, 9, 100, *range(997, len(whole), 997), len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="or is cut short") as error:
            load_torch(path)
        assert "\n" not in str(error.value)


def test_noise_is_one_line(tmp_path):
    rng = np.random.default_rng(0)
    for suffix in (".pth", ".pt", ".ckpt", ".safetensors"):
        for length in (16, 1000):
            path = tmp_path / f"weights{suffix}"
            path.write_bytes(rng.bytes(length))
            with pytest.raises(UserError) as error:
                load_torch(path)
            assert "\n" not in str(error.value)


class Attack:
    """Unrestricted unpickling of the object runs a command."""

    def __init__(self, marker):
        self._command = f"touch {marker}"

    def __reduce__(self):
        return os.system, (self._command,)


@pytest.mark.parametrize(
    "kind", ["torch", "old torch", "bare pickle", "newer pickle", "beside tensors", "in a zip file"]
)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt"])
def test_a_file_that_would_run_code_is_refused(kind, suffix, tmp_path):
    marker, path = tmp_path / "was-run", tmp_path / f"weights{suffix}"
    attack = Attack(marker)
    if kind == "torch":
        torch.save(attack, path)
    elif kind == "old torch":
        torch.save(attack, path, _use_new_zipfile_serialization=False)
    elif kind == "bare pickle":
        path.write_bytes(pickle.dumps({"params": attack}, protocol=2))
    elif kind == "newer pickle":
        path.write_bytes(pickle.dumps({"params": attack}))
    elif kind == "beside tensors":
        torch.save({"params": BASICSR, "arguments": attack}, path)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(attack, protocol=2))
            archive.writestr("archive/version", "3")
    with pytest.raises(UserError) as error:
        load_torch(path)
    refusal = "is refused: it holds posix.system, not only tensors"
    assert ("is not a PyTorch file" if kind == "newer pickle" else refusal) in str(error.value)
    assert "\n" not in str(error.value)
    assert not marker.exists()
    # The attack is real: unrestricted unpickling runs it.
    if "pickle" in kind:
        pickle.loads(path.read_bytes())
        assert marker.exists()


def test_a_whole_module_is_refused(tmp_path):
    torch.save(reference.Compact(2, 4, 1), tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"it holds tests.torch_reference.Compact, not only tensors"):
        load_torch(tmp_path / "weights.pth")


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_program_is_refused(tmp_path):
    torch.jit.trace(reference.Compact(2, 4, 1), torch.zeros(1, 3, 4, 4)).save(tmp_path / "weights.pt")
    with pytest.raises(UserError, match="TorchScript program, not weights"):
        load_torch(tmp_path / "weights.pt")


def test_without_pytorch_one_line_names_the_package_to_install(tmp_path):
    """Nothing else requires PyTorch."""
    torch.save(COMPACT, tmp_path / "weights.pth")
    save_file(COMPACT, tmp_path / "weights.safetensors")
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from esrgan_tf.cli.main import main\n"
        "folder = sys.argv[1]\n"
        "assert main(['convert', f'{folder}/weights.safetensors', f'{folder}/a.keras']) == 0\n"
        "sys.exit(main(['convert', *(f'{folder}/{name}' for name in sys.argv[2:])]))\n"
    )
    for names in (("weights.pth", "b.keras"), ("weights.safetensors", "b.pth")):
        command = [sys.executable, "-c", program, str(tmp_path), *names]
        result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        assert result.returncode == 2
        assert result.stderr.endswith("needs PyTorch; pip install 'esrgan-tf[torch]', or use .safetensors\n")
        assert result.stderr.count("\n") == 1
        (tmp_path / "a.keras").unlink()


@pytest.mark.parametrize(
    "trouble",
    [
        "OSError('libtorch_cpu.so: cannot open shared object file:\\nNo such file')",
        "ImportError('libtorch_cpu.so: cannot open shared object file:\\nNo such file')",
        "RuntimeError('libtorch_cpu.so: cannot open shared object file:\\nNo such file')",
        "ModuleNotFoundError('libtorch_cpu.so: cannot open shared object file:', name='typing_extensions')",
    ],
)
def test_a_pytorch_that_cannot_be_imported_is_one_line(trouble, tmp_path, monkeypatch):
    """A small package replaces PyTorch and raises the error of a missing shared library."""
    (tmp_path / "site" / "torch").mkdir(parents=True)
    (tmp_path / "site" / "torch" / "__init__.py").write_text(f"raise {trouble}\n")
    torch.save(COMPACT, tmp_path / "weights.pth")
    monkeypatch.syspath_prepend(tmp_path / "site")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    for path in (tmp_path / "weights.pth", tmp_path / "new.pth"):
        with pytest.raises(UserError) as error:
            open_tensors(path) if path.exists() else check_torch(path)
        assert str(error.value) == (
            f"{path}: this format needs PyTorch, and the installed package torch cannot be imported (libtorch_cpu.so: "
            "cannot open shared object file:); pip install --force-reinstall torch, or use .safetensors"
        )
