"""The network among the tensors of a file: a training's checkpoint holds several, under any prefix."""

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from esrgan_tf.errors import UserError, listed
from esrgan_tf.weights.architecture import Architecture, UnknownArchitecture, recognise
from esrgan_tf.weights.state_dicts import Tensors

_DEEPEST = 30  # parts of a prefix
_AVERAGE = re.compile(r"(?<![a-z])(ema|swa|avg|averaged?|shadow)|(ema|avg)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class _Candidate:
    """A network in the file: the tensors of these names, which begin with `prefix`."""

    prefix: str
    names: tuple[str, ...]
    architecture: Architecture

    @property
    def label(self):
        return self.prefix.removesuffix(".") or "the network without a prefix"

    @property
    def is_average(self):
        return bool(_AVERAGE.search(self.prefix))


def read_network(
    file: Tensors, where: str, say: Callable[[str], None], discriminator: bool = False
) -> tuple[Architecture, dict[str, np.ndarray]]:
    """The network that a file holds, and its tensors by the architecture's own names.

    Any prefix under which all tensors together are a known network names a candidate. A moving average is preferred to
    the network that it is of, and a generator to a discriminator.

    Args:
        where: what messages begin with, such as the file's name.
        say: is given a line where there was a choice.
        discriminator: prefer a discriminator.

    Raises:
        UserError: no candidate, or several of the same right.
    """
    shapes, (taken, *others) = _remaining(file, where, discriminator)
    state = _state(file, taken)
    _check_equal(file, where, taken, state, others)
    rest = _others(shapes, taken)
    if rest:
        average = " (the average)" if taken.is_average else ""
        say(f"{where}: {taken.label}{average} was taken; the file also holds {listed(rest, 3)}")
    return taken.architecture, state


def recognise_network(file: Tensors, where: str, discriminator: bool = False) -> Architecture:
    """The architecture of the network that `read_network` reads; tensors are read only to compare several networks.

    Raises:
        UserError: as `read_network`.
    """
    _, (taken, *others) = _remaining(file, where, discriminator)
    if others:
        _check_equal(file, where, taken, _state(file, taken), others)
    return taken.architecture


def _remaining(file, where, discriminator):
    """The shapes, and the candidates without those that another is the average of."""
    # PyTorch counts the batches that its running means have seen; nothing is computed from that.
    shapes = {name: shape for name, shape in file.shapes.items() if not name.endswith(".num_batches_tracked")}
    found = _candidates(shapes, where, discriminator)
    averaged = [candidate.architecture for candidate in found if candidate.is_average]
    return shapes, [c for c in found if c.is_average or c.architecture not in averaged]


def _check_equal(file, where, taken, state, others):
    if not all(_equal(state, _state(file, other)) for other in others):
        networks = [taken, *others]
        names = [f"{candidate.label} ({candidate.architecture.options.title})" for candidate in networks]
        raise UserError(
            f"{where} holds {len(names)} networks: {listed(names)}; save the state dict of the one that you want in a "
            "file, with torch.save(model.state_dict(), …)"
        )


def _candidates(shapes, where, discriminator) -> list[_Candidate]:
    """The networks of the wanted kind; of the other, where there are none and nothing is like one."""
    found: list[_Candidate] = []
    closest: UserError | None = None  # of the shortest prefix whose tensors resemble a network
    unknown: UserError | None = None
    passed: list[tuple[str, list[str]]] = []
    level = [("", list(shapes))]
    for _ in range(_DEEPEST):
        deeper = []
        for prefix, names in level:
            try:
                found.append(_candidate(prefix, names, shapes, where))
                continue
            except UnknownArchitecture as error:
                unknown = unknown or error
            except UserError as error:
                closest = closest or error
            passed.append((prefix, names))
            deeper += _parts(prefix, names)
        level = deeper
    for prefix, names in passed if found else ():  # a network may have others under the prefix of its own
        inner = {name for candidate in found for name in candidate.names}
        rest = [name for name in names if name not in inner]
        if 0 < len(rest) < len(names):
            with contextlib.suppress(UserError):
                found.append(_candidate(prefix, rest, shapes, where))
    wanted = [c for c in found if c.architecture.family.is_generator != discriminator]
    if wanted or (found and closest is None):
        return wanted or found
    raise closest or unknown or UserError(f"{where} holds no tensors")


def _candidate(prefix, names, shapes, where):
    architecture = recognise({name[len(prefix) :]: shapes[name] for name in names}, where)
    return _Candidate(prefix, tuple(names), architecture)


def _parts(prefix, names):
    """The next longer prefixes, with their names."""
    parts: dict[str, list[str]] = {}
    for name in names:
        part, dot, _ = name[len(prefix) :].partition(".")
        if dot:
            parts.setdefault(f"{prefix}{part}.", []).append(name)
    return parts.items()


def _state(file, candidate):
    return {name[len(candidate.prefix) :]: tensor for name, tensor in file.read(candidate.names).items()}


def _equal(state: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return state.keys() == other.keys() and all(np.array_equal(state[name], other[name]) for name in state)


def _others(shapes, candidate):
    """What else there is of kernels, by the parts of their names up to the first that is not in its prefix."""
    taken, names, others = candidate.prefix.split("."), set(candidate.names), []
    for name, shape in shapes.items():
        if len(shape) > 1 and name not in names:
            parts = name.split(".")
            pairs = enumerate(zip(parts, taken, strict=False))
            first = next((i for i, (part, other) in pairs if part != other), len(parts))
            others.append(".".join(parts[: first + 1]))
    return list(dict.fromkeys(others))
