"""Selection of a network from a file's tensors; a training checkpoint holds several networks, each under a prefix."""

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from esrgan_tf.errors import UserError, listed
from esrgan_tf.weights.architecture import Architecture, UnknownArchitecture, recognise
from esrgan_tf.weights.state_dicts import Tensors

_MAX_DEPTH = 30  # parts of a prefix
_AVERAGE = re.compile(r"(?<![a-z])(ema|swa|avg|averaged?|shadow)|(ema|avg)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class _Candidate:
    """A network in the file: the tensors `names`, each of which begins with `prefix`."""

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
    """The network in a file, and its tensors by the architecture's own names.

    Each prefix under which all tensors form a known network is a candidate. An average of weights (EMA, SWA) is
    preferred to the network itself, and a generator to a discriminator.

    Args:
        where: the start of messages, such as the file's name.
        say: is called with a line if the file holds other networks too.
        discriminator: prefer a discriminator.

    Raises:
        UserError: no candidate, or several different candidates of equal preference.
    """
    shapes, (selected, *others) = _remaining(file, where, discriminator)
    state = _read_state(file, selected)
    _check_equal(file, where, selected, state, others)
    rest = _other_kernels(shapes, selected)
    if rest:
        average = " (the average)" if selected.is_average else ""
        say(f"{where}: {selected.label}{average} was selected; the file also holds {listed(rest, 3)}")
    return selected.architecture, state


def recognise_network(file: Tensors, where: str, discriminator: bool = False) -> Architecture:
    """The architecture of the network that `read_network` reads; tensors are read only to compare several networks.

    Raises:
        UserError: as `read_network`.
    """
    _, (selected, *others) = _remaining(file, where, discriminator)
    if others:
        _check_equal(file, where, selected, _read_state(file, selected), others)
    return selected.architecture


def _remaining(file, where, discriminator):
    """The shapes, and the candidates without those that another is the average of."""
    # PyTorch counts the batches that its running means have seen; nothing is computed from that.
    shapes = {name: shape for name, shape in file.shapes.items() if not name.endswith(".num_batches_tracked")}
    found = _find_candidates(shapes, where, discriminator)
    averaged = [candidate.architecture for candidate in found if candidate.is_average]
    return shapes, [c for c in found if c.is_average or c.architecture not in averaged]


def _check_equal(file, where, selected, state, others):
    if not all(_equal(state, _read_state(file, other)) for other in others):
        networks = [selected, *others]
        names = [f"{candidate.label} ({candidate.architecture.options.title})" for candidate in networks]
        raise UserError(
            f"{where} holds {len(names)} networks ({listed(names)}); save the state dict of the network that you want "
            "in a file, with torch.save(model.state_dict(), …)"
        )


def _find_candidates(shapes, where, discriminator) -> list[_Candidate]:
    """The networks of the wanted kind; those of the other kind if no tensors resemble the wanted kind."""
    found: list[_Candidate] = []
    closest: UserError | None = None  # the error of the shortest prefix with tensors that resemble a network
    unknown: UserError | None = None
    rejected: list[tuple[str, list[str]]] = []
    level = [("", list(shapes))]
    for _ in range(_MAX_DEPTH):
        deeper = []
        for prefix, names in level:
            try:
                found.append(_create_candidate(prefix, names, shapes, where))
                continue
            except UnknownArchitecture as error:
                unknown = unknown or error
            except UserError as error:
                closest = closest or error
            rejected.append((prefix, names))
            deeper += _longer_prefixes(prefix, names)
        level = deeper
    for prefix, names in rejected if found else ():  # a network may have other networks under its own prefix
        inner = {name for candidate in found for name in candidate.names}
        rest = [name for name in names if name not in inner]
        if 0 < len(rest) < len(names):
            with contextlib.suppress(UserError):
                found.append(_create_candidate(prefix, rest, shapes, where))
    wanted = [c for c in found if c.architecture.family.is_generator != discriminator]
    if wanted or (found and closest is None):
        return wanted or found
    raise closest or unknown or UserError(f"{where} holds no tensors")


def _create_candidate(prefix, names, shapes, where):
    architecture = recognise({name[len(prefix) :]: shapes[name] for name in names}, where)
    return _Candidate(prefix, tuple(names), architecture)


def _longer_prefixes(prefix, names):
    """The prefixes with one more part, and the tensors' names under each."""
    parts: dict[str, list[str]] = {}
    for name in names:
        part, dot, _ = name[len(prefix) :].partition(".")
        if dot:
            parts.setdefault(f"{prefix}{part}.", []).append(name)
    return parts.items()


def _read_state(file, candidate):
    return {name[len(candidate.prefix) :]: tensor for name, tensor in file.read(candidate.names).items()}


def _equal(state: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return state.keys() == other.keys() and all(np.array_equal(state[name], other[name]) for name in state)


def _other_kernels(shapes, candidate):
    """The kernels outside of the candidate, each name cut after the first part that differs from its prefix."""
    prefix, names, others = candidate.prefix.split("."), set(candidate.names), []
    for name, shape in shapes.items():
        if len(shape) > 1 and name not in names:
            parts = name.split(".")
            pairs = enumerate(zip(parts, prefix, strict=False))
            first = next((i for i, (part, other) in pairs if part != other), len(parts))
            others.append(".".join(parts[: first + 1]))
    return list(dict.fromkeys(others))
