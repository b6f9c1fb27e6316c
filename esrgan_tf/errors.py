"""The exception for mistakes that the user can correct; the command line prints it as one line and exits with 2."""

import shlex
import sys
import unicodedata
from collections.abc import Collection
from pathlib import Path


class UserError(Exception):
    """A mistake in a flag, a configuration, a path or a file; the message names the mistake and the correction."""


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, at most 160 characters; the type of an exception without message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0]:.160}" if lines else type(error).__name__


def as_typed(command: str, *arguments: object) -> str:
    """A command line to suggest, in the form in which the user started this process.

    The form is `esrgan-tf COMMAND …`, `python -m esrgan_tf COMMAND …`, or `python train.py …` (also `export.py`).
    """
    program = Path(sys.argv[0])
    scripts = ("train", "export")
    # train.py and export.py insert their command into sys.argv; another program of that name does not.
    if program.stem in scripts and program.suffix == ".py" and sys.argv[1:2] == [program.stem] and command in scripts:
        start = f"python {shlex.quote(str(program.with_stem(command)))}"
    elif program.parts[-2:] == ("esrgan_tf", "__main__.py"):
        start = f"python -m esrgan_tf {command}"
    else:
        start = f"esrgan-tf {command}"
    return f"{start} {shlex.join(map(str, arguments))}".rstrip()


def listed(names: Collection[object], limit: int = 5) -> str:
    """Joins `names` for a one-line message and shortens a long list: `a, b, c and 17 more`."""
    texts = [str(name) for name in names]
    if len(texts) <= limit:
        return ", ".join(texts)
    return f"{', '.join(texts[:limit])} and {len(texts) - limit} more"


def printable(text: object) -> str:
    """`text` as one line that every UTF-8 terminal shows.

    Control characters and undecodable bytes are escaped: a byte that is not UTF-8 as `\\xe9`, a line break as `\\n`.
    """
    return "".join(_escaped(c) if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in str(text))


def _escaped(character):
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # Python's surrogate escape of a byte that it cannot decode
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
