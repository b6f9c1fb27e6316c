"""Pairing of LR and HR files by their names."""

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
        ambiguous: an HR name with several possible LR names, or several HR names with the same possible LR name.
    """

    partners: dict[str, str]
    hr_alone: list[str]
    lr_alone: list[str]
    ambiguous: list[tuple[list[str], list[str]]]


def pair_names(hr: Sequence[str], lr: Sequence[str], scale: int) -> Pairing:
    """Pairs two lists of names, each name unique and relative to its folder, with `/` between folders.

    A partner is in the same folder. The first rule with a candidate decides:

    1. the same name;
    2. the same name, except for the case of the extension and the Unicode normal form;
    3. the same stem;
    4. the stem with an LR suffix of test sets, such as `_x4`, `-x4`, `_LR`, `_LR4`, `_bicubic`, DIV2K's `x4` (also
       `x4m`, `x4d`, `x4w1`) and RCAN's `_LRBI_x4`;
    5. the stem without an HR suffix of test sets, with or without an LR suffix. HR suffixes are `_HR`, RCAN's
       `_HR_x4`, SelfExSR's `_SRF_4_HR` and DRealSR's `_x1`.

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
    """Pairs of functions that return equal keys for partners, the strictest first."""
    # Suffixes that test sets add to a stem; "" is no suffix.
    hr_suffixes = (rf"[-_](?:HR|GT)(?:[-_]?x?{scale})?", rf"_SRF_{scale}_HR", r"[-_]x1")
    lr_suffixes = (
        rf"[-_. ]?x{scale}(?:[md]|w[1-4])?",
        rf"[-_](?:LR|LRBI|LRBD|LRDN|bicubic|bic)(?:[-_]?x?{scale})?",
        rf"_SRF_{scale}_LR",
    )
    yield (lambda name: {(name,)},) * 2
    for hr_allowed, lr_allowed in ((("",), ("",)), (("",), lr_suffixes), (hr_suffixes, ("", *lr_suffixes))):
        for with_extension in (True, False):
            yield (
                functools.partial(_matching_keys, suffixes=hr_allowed, with_extension=with_extension),
                functools.partial(_matching_keys, suffixes=lr_allowed, with_extension=with_extension),
            )


def _matching_keys(name, suffixes, with_extension):
    """Folder, stem without each suffix that matches, and extension: equal for partners."""
    path = PurePosixPath(unicodedata.normalize("NFC", name))
    found = (re.search(rf"(?<=.)(?:{suffix})$", path.stem, re.IGNORECASE) for suffix in suffixes)
    extension = path.suffix.lower() if with_extension else ""
    return {(path.parent, path.stem[: match.start()], extension) for match in found if match}
