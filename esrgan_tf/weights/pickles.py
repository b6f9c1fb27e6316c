"""PyTorch's files, of which tensors and plain containers are read, and never a line of code run.

`torch.load(weights_only=True)` builds nothing but tensors and containers. Every other class in a file is given to it as
an empty class of this module, so no class of the file is imported, built or called.
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

_LOCK = threading.Lock()  # PyTorch keeps the classes that it is given in a global variable
_MAX = 100  # other classes in a file
# Of Python's own library, whose other names are what attacks are made of.
_HARMLESS = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|collections\.(defaultdict|deque|ChainMap|UserDict)|"
    r"builtins\.(frozenset|slice|range|object|type|dict|list|tuple|int|float|bool|str|bytes|NoneType)|"
    r"copyreg\._reconstructor|pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path|"
    r"datetime\.(date|datetime|time|timedelta|timezone)|decimal\.Decimal|fractions\.Fraction|uuid\.UUID"
)
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # PyTorch's own beginning, before 1.6


def load_pickled(path: Path) -> Any:
    """What a file of `torch.save` holds; objects of other libraries are empty in it.

    Raises:
        UserError: no PyTorch, a damaged file, or one that would run code of Python's own library.
    """
    torch = import_torch(path)
    stand_ins: dict[str, type] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they say less than the errors that follow
        while True:
            given = [(stand_in, name) for name, stand_in in stand_ins.items()]
            try:
                # Of a path, some versions of PyTorch look at the extension.
                with _LOCK, torch.serialization.safe_globals(given), open(path, "rb") as file:
                    return torch.load(file, map_location="cpu", weights_only=True)
            except Exception as error:  # a parser of damaged bytes raises whatever it meets
                if not _stand_in(str(error), stand_ins):
                    raise UserError(_refusal(path, str(error), stand_ins)) from error


def _stand_in(message, stand_ins) -> bool:
    """Adds an empty class for what PyTorch's reader met, or makes one a container; whether that can help."""
    foreign = _foreign(message)
    if foreign is not None:
        helps = foreign not in stand_ins and len(stand_ins) < _MAX and "is blocked" not in message
        if foreign.partition(".")[0] in sys.stdlib_module_names and not _HARMLESS.fullmatch(foreign):
            helps = False
        if helps:
            stand_ins[foreign] = _named(foreign, _Nothing)
        return helps
    container = re.search(r"Can only (SETITEMS?|append|extend) .* but got <class '(\S+)'>", message)
    if container is None or stand_ins.get(container[2]) is None or not issubclass(stand_ins[container[2]], _Nothing):
        return False
    stand_ins[container[2]] = _named(container[2], _Dictionary if container[1].startswith("SETITEM") else _List)
    return True


def _foreign(message):
    """The full name of a class or function that PyTorch's reader does not know; it leaves out `builtins.`"""
    found = re.search(r"GLOBAL (\S+)", message)
    if found is None:
        return None
    return found[1] if "." in found[1] else f"builtins.{found[1]}"


def _refusal(path, message, stand_ins):
    foreign = _foreign(message) or next((name for name in stand_ins if not _is_common(name)), None)
    if foreign:
        return f"{_refused(path, foreign)}; save its state dict alone, with torch.save(model.state_dict(), …)"
    with open(path, "rb") as file:
        head = file.read(len(_LEGACY))
    if "Unsupported operand" in message and head.startswith((b"\x80", b"PK\x03\x04")):
        if head.startswith(b"\x80") and head != _LEGACY:
            return (
                f"{path} is not a PyTorch file, but a pickle that something else wrote; save the state dict with "
                "torch.save(model.state_dict(), …)"
            )
        return (
            f"{path} was saved with a pickle protocol that is not read; save it again without pickle_protocol, with "
            "torch.save(model.state_dict(), …)"
        )
    return f"{path} is not a PyTorch file, or is cut short, or holds more than tensors; download or save it again"


def _refused(path, name):
    name = name.removeprefix("builtins.")
    return f"{path} is refused: it holds {name}, not only tensors, and loading that could run its code"


def check_objects(content: Any, path: Path) -> None:
    """Refuses a file without weights that holds a network as an object, or has one under a key.

    Raises:
        UserError: with the line of Python that saves the state dict.
    """
    items = content.items() if isinstance(content, Mapping) else [(None, content)]
    for key, value in items:
        if isinstance(value, _Nothing) and not _is_common(type(value).__module__):
            load = f'torch.load("{path.name}", weights_only=False){"" if key is None else f"[{key!r}]"}'
            name = f"{type(value).__module__}.{type(value).__qualname__}"
            raise UserError(
                f"{_refused(path, name)}; if you trust it, save its state dict alone, with "
                f'torch.save({load}.state_dict(), "state_dict.pth")'
            )


def _is_common(name):
    """Whether a name is of NumPy or Python, whose objects are beside weights but never networks."""
    return name.partition(".")[0] in {"numpy", *sys.stdlib_module_names}


class _Nothing:
    """Stands for an object of another library, and drops what it is given."""

    def __new__(cls, *args, **kwargs):
        return object.__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass


class _Dictionary(_Nothing):
    """The same for one that is filled as a dictionary, which it then is."""

    def __new__(cls, *args, **kwargs):
        return OrderedDict()


class _List(_Nothing):
    """The same for one that is filled as a list."""

    def __new__(cls, *args, **kwargs):
        return []


def _named(name, base):
    """A class of its own, so that messages name what it stands for."""
    module, _, last = name.rpartition(".")
    return type(last, (base,), {"__module__": module, "__qualname__": last})
