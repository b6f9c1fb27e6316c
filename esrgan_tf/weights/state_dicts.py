"""Weights files: named tensors in, named tensors out, and never a line of a file's own code run."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes  # noqa: F401  (teaches NumPy the name bfloat16, which safetensors asks for)
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from esrgan_tf.errors import UserError, first_line, listed
from esrgan_tf.weights.formats import PICKLED, import_torch

READABLE = (".safetensors", *PICKLED)
WRITABLE = (".safetensors", ".pth")

# Where trainers put the weights inside what they save, the moving average first: it is what they publish.
_WRAPPERS = ("params_ema", "params-ema", "params", "model_state_dict", "state_dict", "model", "net")
_PLAIN = "expected plain tensors of float16, bfloat16, float32 or float64"
# What data parallelism, GAN trainers and compilation put before every name.
_PREFIXES = ("module.", "netG.", "_orig_mod.")


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a `.safetensors`, `.pth`, `.pt` or `.ckpt` file, wrappers and prefixes removed.

    Half-precision tensors and doubles come as float32, other types as they are.

    Raises:
        UserError: no such file; damaged; holds more than tensors, which loading could run; no PyTorch to read it with.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no file {path}; expected weights ({', '.join(READABLE)})")
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        tensors = _read_safetensors(path)
    elif suffix in PICKLED:
        tensors = _read_pickled(path)
    else:
        raise UserError(f"{path}: weights are read from {', '.join(READABLE)} files")
    if not all(name.isprintable() for name in tensors):
        raise UserError(f"{path}: the names of its tensors cannot be printed")
    return {name: _widened(tensor) for name, tensor in _without_prefixes(tensors).items()}


def write_state_dict(state: Mapping[str, np.ndarray], path: str | Path, wrapper: str | None = None) -> None:
    """Writes float32 tensors as `.safetensors`, or as `.pth` inside a dictionary under the key `wrapper`.

    Raises:
        UserError: the name has another ending, or there is no PyTorch to write a `.pth` with.
    """
    path = Path(path)
    # What is not contiguous would be written in another order than it is read.
    state = {name: np.ascontiguousarray(tensor) for name, tensor in state.items()}
    if path.suffix == ".safetensors":
        path.write_bytes(save(state, metadata={"format": "pt"}))
    elif path.suffix == ".pth":
        torch = import_torch(path)
        tensors = {name: torch.from_numpy(tensor) for name, tensor in state.items()}
        with open(path, "wb") as file:
            torch.save(tensors if wrapper is None else {wrapper: tensors}, file)
    else:
        raise UserError(f"{path}: PyTorch weights are written to {' and '.join(WRITABLE)} files")


def _read_safetensors(path):
    try:
        with safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118  (it has no other iteration)
                kind = file.get_slice(name).get_dtype()
                if kind.startswith("F") and kind not in ("F64", "F32", "F16"):
                    raise UserError(f"{path}: {name} holds {kind}; {_PLAIN}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except UserError:
        raise
    except Exception as error:  # a parser of damaged bytes raises whatever it meets
        raise UserError(f"{path} is not a safetensors file, or is cut short: {first_line(error)}") from error
    if not tensors:
        raise UserError(f"{path} holds no tensors")
    return tensors


def _read_pickled(path):
    torch = import_torch(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they say less than the errors that follow
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a parser of damaged bytes raises whatever it meets
            foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
            if foreign:
                raise UserError(
                    f"{path} is refused: it holds {foreign[1]}, not only tensors, and loading that could run its code; "
                    "save its state dict alone, with torch.save(model.state_dict(), …)"
                ) from error
            if "TorchScript" in str(error):
                raise UserError(f"{path} is a TorchScript program, not weights; save its state dict instead") from error
            raise UserError(f"{path} is not a PyTorch file, or is cut short, or holds more than tensors") from error

        tensors, found = {}, _unwrapped(content, path)
        for name, tensor in found.items():
            if not isinstance(tensor, torch.Tensor):
                continue
            plain = tensor.layout is torch.strided and not (tensor.is_nested or tensor.is_quantized or tensor.is_meta)
            widened = tensor.dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
            if not plain or tensor.is_complex() or (tensor.is_floating_point() and not widened):
                raise UserError(f"{path}: {name} holds {tensor.dtype}, {tensor.layout}; {_PLAIN}")
            tensors[str(name)] = (tensor.detach().float() if widened else tensor).numpy()
    if not tensors:
        keys = f"; its keys are {listed(list(found), 3)}" if found else ""
        raise UserError(f"{path} holds no tensors{keys}")
    return tensors


def _unwrapped(content, path):
    """The innermost dictionary: wrappers are followed by their names, then wherever there is one way only."""
    for _ in range(9):  # a pickle may hold itself
        if not isinstance(content, Mapping):
            break
        inner = [key for key in _WRAPPERS if isinstance(content.get(key), Mapping) and content[key]]
        only = [value for value in content.values() if isinstance(value, Mapping)] if len(content) == 1 else []
        if not inner and not only:
            return content
        content = content[inner[0]] if inner else only[0]
    kind = "dictionary in itself" if isinstance(content, Mapping) else type(content).__name__
    raise UserError(f"{path} holds a {kind}, not a dictionary of tensors")


def _without_prefixes(tensors):
    found = True
    while found:
        found = False
        for prefix in _PREFIXES:
            kept = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            # A checkpoint of a whole GAN has its generator beside other networks.
            if kept and (len(kept) == len(tensors) or prefix == "netG."):
                tensors, found = kept, True
    return tensors


def _widened(tensor):
    floating = tensor.dtype.kind == "f" or tensor.dtype.name == "bfloat16"
    with np.errstate(over="ignore"):  # infinity is found, and told, later
        return tensor.astype(np.float32) if floating else tensor
