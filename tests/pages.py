"""The documentation pages in the order of the site, and the commands of each page."""

import re
import shlex
from dataclasses import dataclass, field, replace

import yaml

from tests.conftest import REPOSITORY

# `make` and `pip` install everything, which only the build can do. Commands that publish need an account;
# tests/test_release.py runs them up to that point. Servers do not end; tests/test_web_server.py runs the server.
_NOT_RUN = re.compile(
    r"make \w+|pip install .*|esrgan-tf web|python -m http.server .*|hf .*|python -c .import kagglehub.*"
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A command line of an `sh` block, with continued lines joined, or a whole `python` block.

    Attributes:
        text: the text on the page.
        words: the words of a command; empty for a block.
        environment: variables that are set before the command.
        output: the `text` block below an `sh` block, which the block's last command prints; empty without such a block.
    """

    text: str
    words: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict, hash=False)
    output: str = ""


def pages() -> list[str]:
    """The README, then the pages of mkdocs.yml, as paths in the repository."""
    return ["README.md", *(f"docs/{path}" for path in _listed(yaml.safe_load(text_of("mkdocs.yml"))["nav"]))]


def text_of(path: str) -> str:
    return (REPOSITORY / path).read_text()


def blocks(page: str) -> list[tuple[str, str]]:
    """Each fenced block's language and text."""
    return _FENCE.findall(text_of(page))


def commands(page: str) -> list[str]:
    """The command lines of a page in order, with continued lines joined."""
    return [line for language, text in blocks(page) if language == "sh" for line in _lines(text)]


def steps(page: str) -> list[Step]:
    """The steps of a page that a test runs, in order."""
    found, before = [], ""
    for language, text in blocks(page):
        if language == "python":
            found.append(Step(text))
        elif language == "sh":
            found += [step_of(line) for line in _lines(text) if not _NOT_RUN.fullmatch(line)]
        elif language == "text" and before == "sh":
            found[-1] = replace(found[-1], output=text)
        before = language
    return found


def _lines(text):
    lines = text.replace("\\\n", " ").splitlines()
    return [" ".join(line.split("  #")[0].split()) for line in lines if line.strip()]


def step_of(line: str) -> Step:
    environment, words = {}, shlex.split(line)
    while re.match(r"[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    return Step(line, tuple(words), environment)


def _listed(entries):
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else (entry,):
            yield from _listed(value) if isinstance(value, list) else (value,)
