"""Which low-resolution file belongs to which high-resolution file, by their names."""

import functools
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Pairing:
    """Partners by name.

    Attributes:
        partners: HR name to LR name.
        hr_alone: HR names without a partner.
        lr_alone: LR names without a partner.
        ambiguous: HR names and LR names that could be partners, one of them several times.
    """

    partners: dict[str, str]
    hr_alone: list[str]
    lr_alone: list[str]
    ambiguous: list[tuple[list[str], list[str]]]


def pair_names(hr: Sequence[str], lr: Sequence[str], scale: int) -> Pairing:
    """Pairs two lists of names, each name unique and relative to its folder, with `/` between folders.

    A partner has the same folder, and the first of these that any name has decides:

    1. the same name;
    2. the same name, but for the case of its extension and the Unicode normal form;
    3. the same stem;
    4. the stem with what test sets add to LR names: DIV2K's `0001x4` (also `x4m`, `x4d`, `x4w1`), `_x4`, `-x4`, `_LR`,
       `_LR4`, `_bicubic`, RCAN's `_LRBI_x4`;
    5. the stem without what test sets add to HR names (`_HR`, RCAN's `_HR_x4`, SelfExSR's `_SRF_4_HR`, DRealSR's
       `_x1`), with or without an addition to the LR name.

    Rules 4 and 5 prefer the same extension.
    """
    hr_left, lr_left = list(hr), list(lr)
    partners: dict[str, str] = {}
    for hr_keys, lr_keys in _rules(scale):
        by_key: dict[tuple, set[str]] = {}
        for name in lr_left:
            for key in lr_keys(name):
                by_key.setdefault(key, set()).add(name)
        found = {name: set().union(*(by_key.get(key, ()) for key in hr_keys(name))) for name in hr_left}
        claims: dict[str, list[str]] = {}
        for name, candidates in found.items():
            for partner in candidates:
                claims.setdefault(partner, []).append(name)
        ambiguous = [([name], sorted(candidates)) for name, candidates in found.items() if len(candidates) > 1]
        ambiguous += [(sorted(claimants), [name]) for name, claimants in claims.items() if len(claimants) > 1]
        if ambiguous:
            return Pairing(partners, hr_left, lr_left, ambiguous)
        partners |= {name: candidates.pop() for name, candidates in found.items() if candidates}
        hr_left = [name for name in hr_left if name not in partners]
        lr_left = [name for name in lr_left if name not in claims]
    return Pairing(partners, hr_left, lr_left, [])


Keys = Callable[[str], set[tuple]]


def _rules(scale: int) -> Iterator[tuple[Keys, Keys]]:
    """What a name and its partner have in common: pairs of functions, the strictest first."""
    # What test sets add to a stem; "" is a stem as it is.
    hr_marks = (rf"[-_](?:HR|GT)(?:[-_]?x?{scale})?", rf"_SRF_{scale}_HR", r"[-_]x1")
    lr_marks = (
        rf"[-_. ]?x{scale}(?:[md]|w[1-4])?",
        rf"[-_](?:LR|LRBI|LRBD|LRDN|bicubic|bic)(?:[-_]?x?{scale})?",
        rf"_SRF_{scale}_LR",
    )
    yield (lambda name: {(name,)},) * 2
    for hr_added, lr_added in ((("",), ("",)), (("",), lr_marks), (hr_marks, ("", *lr_marks))):
        for with_extension in (True, False):
            yield (
                functools.partial(_keys, added=hr_added, with_extension=with_extension),
                functools.partial(_keys, added=lr_added, with_extension=with_extension),
            )


def _keys(name, added, with_extension):
    """Folder, stem without each of `added` that it ends in, and extension: equal for partners."""
    path = PurePosixPath(unicodedata.normalize("NFC", name))
    found = (re.search(rf"(?<=.)(?:{mark})$", path.stem, re.IGNORECASE) for mark in added)
    extension = path.suffix.lower() if with_extension else ""
    return {(path.parent, path.stem[: match.start()], extension) for match in found if match}
