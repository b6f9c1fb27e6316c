"""Bounds, choices and meanings of configuration keys, which annotations hold.

A section is a frozen dataclass. Each field is a key, such as `steps: Annotated[int, AtLeast(1), "meaning"] = 1000`.
Fields that are marked `Inferred` are no keys: files and other sections determine their values.
"""

import dataclasses
import difflib
import functools
import typing
from collections.abc import Iterable
from dataclasses import dataclass

import yaml

from esrgan_tf.errors import UserError


@dataclass(frozen=True)
class Between:
    """The least and the greatest allowed value of a number, or of each number in a list; None is no limit."""

    least: float | None
    most: float | None


def AtLeast(least: float) -> Between:
    """The bounds of a number that is `least` or greater."""
    return Between(least, None)


class OneOf:
    """The allowed values of a key. A keyword argument explains its value: `OneOf("div2k", folder="your images")`."""

    def __init__(self, *choices, **explained: str):
        self._choices = {**dict.fromkeys(choices, ""), **explained}

    def __iter__(self):
        return iter(self._choices)

    def __str__(self):
        texts = {choice: "null" if choice is None else str(choice) for choice in self}
        return " | ".join(
            f"{texts[choice]} ({word})" if word else texts[choice] for choice, word in self._choices.items()
        )


class Inferred:
    """Marks a field that is no key."""


Probability = typing.Annotated[float, Between(0, 1)]
Pair = tuple[float, float]  # the smaller first
Weights = dict[str, float]


def keys_of(section: type) -> dict[str, tuple]:
    """`{key: (type, annotations)}` of a section, in order; the annotations are bounds, choices and meanings."""
    return _keys_of(section)


@functools.cache
def _keys_of(section):
    hints = typing.get_type_hints(section, include_extras=True)
    keys = {}
    for f in dataclasses.fields(section):
        wanted, *marks = (
            typing.get_args(hints[f.name]) if typing.get_origin(hints[f.name]) is typing.Annotated else (hints[f.name],)
        )
        if Inferred not in marks:
            keys[f.name] = wanted, tuple(marks)
    return keys


def meaning_of(section: type, key: str) -> list[str | OneOf]:
    """The texts and choices that explain a key, in order.

    A section inherits them from its base class if it only changes the key's default.
    """
    bases = [cls for cls in section.__mro__ if dataclasses.is_dataclass(cls) and key in keys_of(cls)]
    explained = [[mark for mark in keys_of(cls)[key][1] if isinstance(mark, str | OneOf)] for cls in bases]
    return next((marks for marks in explained if marks), [])


def converted(section: type, key: str, value, title: str):
    """Converts a value that YAML has read to the type of its key.

    Args:
        title: the section's name, for messages.

    Raises:
        UserError: the value has another type, or is out of bounds.
    """
    wanted, marks = keys_of(section)[key]
    name = f"{title}.{key}"
    result = _to_type(wanted, value)
    if result is _WRONG:
        default = getattr(section(), key)
        example = list(default) if isinstance(default, tuple) else default
        like = f", like {yaml.safe_dump(example, default_flow_style=True).strip()}" if wanted in _WITH_EXAMPLE else ""
        raise UserError(f"{name}: {value!r} is not {_TYPE_NAMES[wanted]}{like}")
    for mark in marks:
        if isinstance(mark, OneOf) and result not in mark:
            choices = ", ".join("null" if choice is None else str(choice) for choice in mark)
            raise UserError(f"{name}: {value!r} is not one of {choices}")
        if isinstance(mark, Between) and result is not None:
            _check_bounds(name, result if isinstance(result, tuple) else (result,), mark)
    return result


def nearest(name: str, names: Iterable[str]) -> str:
    """The last part of a message on an unknown name: the nearest name, or all names."""
    names = list(names)
    # The commonest mistake is a key without its section, so the last parts are compared first.
    last = name.split(".")[-1]
    same = [candidate for candidate in names if candidate.split(".")[-1] == last]
    close = same or difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(names)}"


def as_plain(values: typing.Any) -> typing.Any:
    """All keys of a section, or of nested sections, as YAML's types: dictionaries, lists, texts and numbers."""
    if dataclasses.is_dataclass(values):
        name = getattr(values, "name", None)
        return ({} if name is None else {"name": name}) | {
            key: as_plain(getattr(values, key)) for key in keys_of(type(values))
        }
    if isinstance(values, dict):
        return {key: as_plain(value) for key, value in values.items()}
    return list(values) if isinstance(values, tuple) else values


def _check_bounds(name, numbers, bounds):
    for number in numbers:
        if bounds.least is not None and number < bounds.least:
            raise UserError(f"{name}: {number} is too small; the least is {bounds.least}")
        if bounds.most is not None and number > bounds.most:
            raise UserError(f"{name}: {number} is too large; the most is {bounds.most}")


_WRONG = object()
_TYPE_NAMES = {
    str: "text",
    str | None: "text or null",
    int: "a whole number",
    int | None: "a whole number or null",
    bool: "true or false",
    float: "a number",
    float | None: "a number or null",
    tuple[int, ...]: "a list of whole numbers",
    Pair: "a list of two numbers, the smaller first",
    Weights: "a mapping of names to weights",
}
_WITH_EXAMPLE = (tuple[int, ...], Pair, Weights)  # types for which messages show the key's default


def _to_type(wanted, value):
    if wanted is str:
        # YAML reads a bare on or off as a boolean.
        value = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
        return value if isinstance(value, str) and value else _WRONG
    if wanted == (str | None):
        return value if value is None or (isinstance(value, str) and value) else _WRONG
    if wanted in (int | None, float | None):
        return value if value is None else _to_type(int if wanted == (int | None) else float, value)
    if wanted is bool:
        return value if isinstance(value, bool) else _WRONG
    if wanted is float:
        return _to_float(value)
    if wanted is int:
        if isinstance(value, str | float):  # users write a number of steps as 1e6
            number = _to_float(value)
            value = int(number) if number is not _WRONG and number == int(number) else _WRONG
        return value if isinstance(value, int) and not isinstance(value, bool) else _WRONG
    if wanted in (tuple[int, ...], Pair):
        kind = int if wanted == tuple[int, ...] else float
        items = tuple(_to_type(kind, item) for item in value) if isinstance(value, list | tuple) else (_WRONG,)
        ordered = wanted != Pair or (len(items) == 2 and _WRONG not in items and items[0] <= items[1])
        return items if ordered and _WRONG not in items else _WRONG
    weights = {name: _to_float(weight) for name, weight in value.items()} if isinstance(value, dict) else {}
    return weights if weights and _WRONG not in weights.values() else _WRONG


def _to_float(value):
    if isinstance(value, str):  # YAML reads 1e-4 (no dot) as text
        try:
            value = float(value)
        except ValueError:
            return _WRONG
    finite = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    return float(value) if finite else _WRONG
