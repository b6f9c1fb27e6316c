"""Reading of PyTorch's pickled files without running their code.

`torch.load(weights_only=True)` builds only tensors and containers. This module replaces every other class of a file by
an empty class, so no class that the file names is imported, built or called.
"""

import re
import sys
import threading
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from esrgan_tf.errors import UserError
from esrgan_tf.weights.torch_import import import_torch

_LOCK = threading.Lock()  # PyTorch stores the allowed classes in a global variable
_MAX_CLASSES = 100  # stand-ins per file
# Harmless names of Python's standard library; attacks use its other names.
_HARMLESS = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|collections\.(defaultdict|deque|ChainMap|UserDict)|"
    r"builtins\.(frozenset|slice|range|object|type|dict|list|tuple|int|float|bool|str|bytes|NoneType)|"
    r"copyreg\._reconstructor|pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path|"
    r"datetime\.(date|datetime|time|timedelta|timezone)|decimal\.Decimal|fractions\.Fraction|uuid\.UUID"
)
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # PyTorch's signature before version 1.6


def load_pickled(path: Path) -> Any:
    """Reads a file that `torch.save` wrote; objects of other libraries become empty objects.

    Raises:
        UserError: PyTorch is not installed, or the file is damaged or names functions of Python's standard library.
    """
    torch = import_torch(path)
    stand_ins: dict[str, type] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the errors that follow are more specific
        while True:
            allowed = [(stand_in, name) for name, stand_in in stand_ins.items()]
            try:
                # Some versions of PyTorch choose the format by the extension if they get a path.
                with _LOCK, torch.serialization.safe_globals(allowed), open(path, "rb") as file:
                    return torch.load(file, map_location="cpu", weights_only=True)
            except Exception as error:  # parsers raise any exception on damaged bytes
                if not _add_stand_in(str(error), stand_ins):
                    raise UserError(_refusal_message(path, str(error), stand_ins)) from error


def _add_stand_in(message, stand_ins) -> bool:
    """Adds an empty class for the class that PyTorch's reader refused, or makes the empty class a container.

    Returns whether another attempt can succeed.
    """
    name = _refused_global(message)
    if name is not None:
        can_help = name not in stand_ins and len(stand_ins) < _MAX_CLASSES and "is blocked" not in message
        if name.partition(".")[0] in sys.stdlib_module_names and not _HARMLESS.fullmatch(name):
            can_help = False
        if can_help:
            stand_ins[name] = _create_class(name, _Empty)
        return can_help
    container = re.search(r"Can only (SETITEMS?|append|extend) .* but got <class '(\S+)'>", message)
    if container is None or stand_ins.get(container[2]) is None or not issubclass(stand_ins[container[2]], _Empty):
        return False
    base = _EmptyDictionary if container[1].startswith("SETITEM") else _EmptyList
    stand_ins[container[2]] = _create_class(container[2], base)
    return True


def _refused_global(message):
    """The full name of the class or function that PyTorch's reader refused; its message omits `builtins.`."""
    match = re.search(r"GLOBAL (\S+)", message)
    if match is None:
        return None
    return match[1] if "." in match[1] else f"builtins.{match[1]}"


def _refusal_message(path, message, stand_ins):
    name = _refused_global(message) or next((name for name in stand_ins if not _is_common(name)), None)
    if name:
        return f"{_object_message(path, name)}; save its state dict alone, with torch.save(model.state_dict(), …)"
    with open(path, "rb") as file:
        head = file.read(len(_LEGACY))
    if "Unsupported operand" in message and head.startswith((b"\x80", b"PK\x03\x04")):
        if head.startswith(b"\x80") and head != _LEGACY:
            return (
                f"{path} is not a PyTorch file, but a pickle of another program; save the state dict with "
                "torch.save(model.state_dict(), …)"
            )
        return (
            f"{path} was saved with an unsupported pickle protocol; save it again without pickle_protocol, with "
            "torch.save(model.state_dict(), …)"
        )
    return f"{path} is not a PyTorch file, or is cut short, or holds more than tensors; download or save it again"


def _object_message(path, name):
    name = name.removeprefix("builtins.")
    return f"{path} is refused: it holds {name}, not only tensors, and loading that could run its code"


def check_objects(content: Any, path: Path) -> None:
    """Refuses a file without weights that holds a network as an object, directly or under a key.

    Raises:
        UserError: the file holds such an object; the message has the Python line that saves the state dict.
    """
    items = content.items() if isinstance(content, Mapping) else [(None, content)]
    for key, value in items:
        if isinstance(value, _Empty) and not _is_common(type(value).__module__):
            load = f'torch.load("{path.name}", weights_only=False){"" if key is None else f"[{key!r}]"}'
            name = f"{type(value).__module__}.{type(value).__qualname__}"
            raise UserError(
                f"{_object_message(path, name)}; if you trust it, save its state dict alone, with "
                f'torch.save({load}.state_dict(), "state_dict.pth")'
            )


def _is_common(name):
    """Whether a name belongs to NumPy or Python; their objects accompany weights but are never networks."""
    return name.partition(".")[0] in {"numpy", *sys.stdlib_module_names}


class _Empty:
    """Replaces an object of another library and ignores all arguments."""

    def __new__(cls, *args, **kwargs):
        return object.__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass


class _EmptyDictionary(_Empty):
    """Replaces an object that the pickle fills as a dictionary."""

    def __new__(cls, *args, **kwargs):
        return OrderedDict()


class _EmptyList(_Empty):
    """Replaces an object that the pickle fills as a list."""

    def __new__(cls, *args, **kwargs):
        return []


def _create_class(name, base):
    """A new class with the module and name of the replaced class, which messages then show."""
    module, _, last = name.rpartition(".")
    return type(last, (base,), {"__module__": module, "__qualname__": last})
