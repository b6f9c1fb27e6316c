"""Reading and writing of weights files as named tensors, without running code that a file holds."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (registers NumPy's bfloat16, which safetensors uses)
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from esrgan_tf.errors import UserError, first_line, listed
from esrgan_tf.file_kinds import EXPECTED, READABLE, FileKind, identify
from esrgan_tf.weights.pickles import check_objects, load_pickled
from esrgan_tf.weights.torch_import import import_torch

WRITABLE = (".safetensors", ".pth")

_MAX_DEPTH = 30  # nested dictionaries
_PLAIN = "expected plain tensors of float16, bfloat16, float32 or float64"


@dataclass(frozen=True)
class Tensors:
    """The tensors of a weights file.

    Attributes:
        shapes: `{name: shape}`; a tensor's name begins with the keys of the dictionaries around it, joined by dots.
        read: returns the tensors of the given names. Floats of 16 and 64 bits become float32; other types are kept.
            Raises UserError on sparse, quantized and other special tensors.
    """

    shapes: dict[str, tuple[int, ...]]
    read: Callable[[Iterable[str]], dict[str, np.ndarray]]


def open_tensors(path: str | Path) -> Tensors:
    """Opens the tensors of a PyTorch or safetensors file; the file's name does not matter.

    Raises:
        UserError: the file is missing, damaged, of another kind, without tensors, or would run code; or PyTorch is
            needed and not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no file {path}; expected weights ({', '.join(READABLE)})")
    kind = identify(path)
    if kind not in (FileKind.SAFETENSORS, FileKind.TORCH):
        raise UserError(f"{path} is {kind.value}; {EXPECTED}")
    tensors = _open_safetensors(path) if kind is FileKind.SAFETENSORS else _open_pickled(path)
    if not all(name.isprintable() for name in tensors.shapes):
        raise UserError(f"{path}: its tensors' names have control characters; expected printable names")
    return tensors


def write_state_dict(state: Mapping[str, np.ndarray], path: str | Path, wrapper: str | None = None) -> None:
    """Writes float32 tensors as `.safetensors`, or as `.pth` inside a dictionary under the key `wrapper`.

    Raises:
        UserError: the path has another extension, or PyTorch, which writes `.pth`, is not installed.
    """
    path = Path(path)
    # safetensors writes an array's memory as it is, so arrays must be contiguous.
    state = {name: np.ascontiguousarray(tensor) for name, tensor in state.items()}
    if path.suffix == ".safetensors":
        path.write_bytes(save(state, metadata={"format": "pt"}))
    elif path.suffix == ".pth":
        torch = import_torch(path)
        tensors = {name: torch.from_numpy(tensor) for name, tensor in state.items()}
        with open(path, "wb") as file:
            torch.save(tensors if wrapper is None else {wrapper: tensors}, file)
    else:
        raise UserError(f"{path}: PyTorch weights are written to {' or '.join(WRITABLE)} files")


def _open_safetensors(path):
    def read(names):
        with safe_open(path, "np") as file:
            for name in names:
                kind = file.get_slice(name).get_dtype()
                if kind.startswith("F") and kind not in ("F64", "F32", "F16"):
                    raise UserError(f"{path}: {name} holds {kind}; {_PLAIN}")
            return {name: _widened(file.get_tensor(name)) for name in names}

    try:
        with safe_open(path, "np") as file:  # closed afterwards: Windows cannot move or replace an open file
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # parsers raise any exception on damaged bytes
        raise UserError(f"{path} is not a safetensors file, or is cut short: {first_line(error)}") from error
    if not shapes:
        raise UserError(f"{path} holds no tensors")
    return Tensors(shapes, read)


def _open_pickled(path):
    torch = import_torch(path)
    content = load_pickled(path)
    tensors, has_optimizer = _flatten(content, torch)
    if has_optimizer and not any(tensor.dim() > 1 for tensor in tensors.values()):
        raise UserError(
            f"{path} holds an optimizer's state and no network; the network is in another file of the training, such "
            "as models/net_g_….pth"
        )
    if not tensors:
        check_objects(content, path)
    if not isinstance(content, Mapping) and not any("." in name for name in tensors):
        raise UserError(f"{path} holds a {type(content).__name__}, not a dictionary of tensors")
    if not tensors:
        raise UserError(f"{path} holds no tensors{f'; its keys are {listed(list(content), 3)}' if content else ''}")

    def read(names):
        return {name: plain_array(tensors[name], name) for name in names}

    def plain_array(tensor, name):
        plain = tensor.layout is torch.strided and not (tensor.is_nested or tensor.is_quantized or tensor.is_meta)
        widened = tensor.dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
        if not plain or tensor.is_complex() or (tensor.is_floating_point() and not widened):
            raise UserError(f"{path}: {name} holds {tensor.dtype}, {tensor.layout}; {_PLAIN}")
        return (tensor.detach().float() if widened else tensor).numpy()

    shapes = {name: () if tensor.is_nested else tuple(tensor.shape) for name, tensor in tensors.items()}
    return Tensors(shapes, read)


def _flatten(content, torch):
    """`{keys joined by dots: tensor}` without optimizers' states, and whether the file holds an optimizer's state."""
    tensors: dict[str, Any] = {}
    has_optimizer = False
    seen = set()  # a pickle may hold itself, or a dictionary twice
    stack: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while stack:
        keys, value = stack.pop()
        if isinstance(value, torch.Tensor):
            if keys:
                tensors[".".join(keys)] = value
        elif isinstance(value, Mapping | list | tuple) and len(keys) < _MAX_DEPTH:
            if isinstance(value, Mapping) and "param_groups" in value and "state" in value:
                has_optimizer = True
                continue
            if id(value) in seen:
                continue
            seen.add(id(value))
            pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
            stack += reversed([((*keys, str(key)), inner) for key, inner in pairs])
    return tensors, has_optimizer


def _widened(tensor):
    floating = tensor.dtype.kind == "f" or tensor.dtype.name == "bfloat16"
    with np.errstate(over="ignore"):  # a later check reports infinite values
        return tensor.astype(np.float32) if floating else tensor
