"""Weights files: named tensors in, named tensors out, and never a line of a file's own code run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (teaches NumPy the name bfloat16, which safetensors asks for)
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from esrgan_tf.errors import UserError, first_line, listed
from esrgan_tf.file_kinds import EXPECTED, READABLE, FileKind, identify
from esrgan_tf.weights.pickles import check_objects, load_pickled
from esrgan_tf.weights.torch_import import import_torch

WRITABLE = (".safetensors", ".pth")

_DEEPEST = 30  # dictionaries in one another
_PLAIN = "expected plain tensors of float16, bfloat16, float32 or float64"


@dataclass(frozen=True)
class Tensors:
    """The tensors of a weights file.

    Attributes:
        shapes: `{name: shape}`; the keys of dictionaries around a tensor are part of its name, joined by dots.
        read: the tensors of these names; half-precision tensors and doubles come as float32, other types as they are.
            Raises UserError at one that is not plain.
    """

    shapes: dict[str, tuple[int, ...]]
    read: Callable[[Iterable[str]], dict[str, np.ndarray]]


def open_tensors(path: str | Path) -> Tensors:
    """Opens the tensors of a file that PyTorch or safetensors wrote, whatever its name.

    Raises:
        UserError: no such file; another kind of file; damaged; no tensors; an object that loading would run; no
            PyTorch to read it with.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no file {path}; expected weights ({', '.join(READABLE)})")
    kind = identify(path)
    if kind not in (FileKind.SAFETENSORS, FileKind.TORCH):
        raise UserError(f"{path} is {kind.value}; {EXPECTED}")
    tensors = _open_safetensors(path) if kind is FileKind.SAFETENSORS else _open_pickled(path)
    if not all(name.isprintable() for name in tensors.shapes):
        raise UserError(f"{path}: the names of its tensors cannot be printed")
    return tensors


def write_state_dict(state: Mapping[str, np.ndarray], path: str | Path, wrapper: str | None = None) -> None:
    """Writes float32 tensors as `.safetensors`, or as `.pth` inside a dictionary under the key `wrapper`.

    Raises:
        UserError: the name has another extension, or there is no PyTorch to write a `.pth` with.
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


def _open_safetensors(path):
    def read(names):
        with safe_open(path, "np") as file:
            for name in names:
                kind = file.get_slice(name).get_dtype()
                if kind.startswith("F") and kind not in ("F64", "F32", "F16"):
                    raise UserError(f"{path}: {name} holds {kind}; {_PLAIN}")
            return {name: _widened(file.get_tensor(name)) for name in names}

    try:
        with safe_open(path, "np") as file:  # closed again: a file that is open can be neither moved nor replaced
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # a parser of damaged bytes raises whatever it meets
        raise UserError(f"{path} is not a safetensors file, or is cut short: {first_line(error)}") from error
    if not shapes:
        raise UserError(f"{path} holds no tensors")
    return Tensors(shapes, read)


def _open_pickled(path):
    torch = import_torch(path)
    content = load_pickled(path)
    tensors, has_optimizer = _flattened(content, torch)
    if has_optimizer and not any(tensor.dim() > 1 for tensor in tensors.values()):
        raise UserError(
            f"{path} holds the state of an optimizer, to resume a training, and no network; the network is in another "
            "file of that training, such as models/net_g_….pth"
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


def _flattened(content, torch):
    """`{keys joined by dots: tensor}` but for optimizers' states, and whether there are such states."""
    tensors: dict[str, Any] = {}
    has_optimizer = False
    seen = set()  # a pickle may hold itself, or one dictionary twice
    stack: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while stack:
        keys, value = stack.pop()
        if isinstance(value, torch.Tensor):
            if keys:
                tensors[".".join(keys)] = value
        elif isinstance(value, Mapping | list | tuple) and len(keys) < _DEEPEST:
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
    with np.errstate(over="ignore"):  # infinity is found, and told, later
        return tensor.astype(np.float32) if floating else tensor
