"""The one exception that means "you can fix this": the command line prints it as one line and exits 2."""

import shlex
import sys
import unicodedata
from collections.abc import Collection
from pathlib import Path


class UserError(Exception):
    """A mistake in a flag, a configuration, a path or a file; its message says what is wrong and what is right."""


def first_line(error: BaseException) -> str:
    """What an exception of somebody else's says, cut for a one-line message; its type where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0]:.160}" if lines else type(error).__name__


def as_typed(command: str, *arguments: object) -> str:
    """A command line to suggest, in the form that this process was started in.

    `esrgan-tf COMMAND …`, `python -m esrgan_tf COMMAND …`, or `python train.py …` with its neighbour `export.py`.
    """
    program = Path(sys.argv[0])
    scripts = ("train", "export")
    # Such a script puts its command before what was typed; a program of somebody else's may have its name.
    if program.stem in scripts and program.suffix == ".py" and sys.argv[1:2] == [program.stem] and command in scripts:
        start = f"python {shlex.quote(str(program.with_stem(command)))}"
    elif program.parts[-2:] == ("esrgan_tf", "__main__.py"):
        start = f"python -m esrgan_tf {command}"
    else:
        start = f"esrgan-tf {command}"
    return f"{start} {shlex.join(map(str, arguments))}".rstrip()


def listed(names: Collection[object], limit: int = 5) -> str:
    """Joins `names` for a one-line message, cutting a long list: `a, b, c and 17 more`."""
    texts = [str(name) for name in names]
    if len(texts) <= limit:
        return ", ".join(texts)
    return f"{', '.join(texts[:limit])} and {len(texts) - limit} more"


def printable(text: object) -> str:
    """`text` as one line that every UTF-8 terminal shows: what a name has of other bytes or of controls is escaped.

    A byte that is no UTF-8 becomes `\\xe9`, a line break `\\n`.
    """
    return "".join(_escaped(c) if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in str(text))


def _escaped(character):
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte that it cannot decode
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
