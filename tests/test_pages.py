"""The README and the pages of docs/: complete, linked, covered by a test, and built into a site."""

import ast
import os
import re
import sys

import pytest

from tests import test_doc_commands_networks, test_doc_commands_training, test_doc_commands_using
from tests.conftest import REPOSITORY, run_process
from tests.pages import blocks, commands, pages, steps, text_of

JOURNEYS = (test_doc_commands_using, test_doc_commands_training, test_doc_commands_networks)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site, and the build's output; TensorFlow and Keras cannot be imported during the build."""
    folder = tmp_path_factory.mktemp("site")
    program = "import sys; sys.modules |= dict(tensorflow=None, keras=None); from mkdocs.__main__ import cli; cli()"
    result = run_process(
        sys.executable, "-c", program, "build", "--strict", "--site-dir", folder, env={"NO_MKDOCS_2_WARNING": "1"}
    )
    return folder, result


def test_the_site_builds_without_a_warning(site):
    folder, result = site
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stdout + result.stderr
    for page in pages()[1:]:
        assert (folder / os.path.relpath(page, "docs")).with_suffix(".html").is_file()


def test_the_site_has_the_docstrings(site):
    text = (site[0] / "api.html").read_text()
    for name, words in (
        ("upscale", "Upscales a whole image"),
        ("train", "Trains a phase of a run to its last step"),
        ("rrdb_generator", "residual-in-residual dense block network"),
        ("perceptual_loss", "Weighted sum over layers"),
        ("psnr", "Peak signal-to-noise ratio"),
    ):
        assert f'{name}"' in text
        assert words in text


def test_the_site_has_the_files_that_pages_link_to(site):
    assert (site[0] / "files" / "config.yaml").read_text() == text_of("config.yaml")
    assert (
        "The network invents detail that the input lacks"
        in (site[0] / "files" / "esrgan_tf" / "weights" / "bundled_weights" / "photo.html").read_text()
    )
    assert "checkpoint_every: 1000" in re.sub("<.*?>", "", (site[0] / "configuration.html").read_text())


def test_the_readme_is_short():
    assert len(text_of("README.md").splitlines()) <= 100


def test_the_links_of_the_readme_lead_somewhere(site):
    links = re.findall(r"(?<!\")\]\((?!https?:)(.*?)\)", text_of("README.md"))
    assert len(links) > 10
    for link in links:
        path, _, heading = link.partition("#")
        assert (REPOSITORY / path).is_file(), link
        if heading:
            assert f'id="{heading}"' in (site[0] / path.removeprefix("docs/")).with_suffix(".html").read_text(), link


def test_the_site_has_all_pages():
    written = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "docs").rglob("*.md")}
    assert set(pages()) == {"README.md", *written}


@pytest.mark.parametrize("page", pages())
def test_blocks_are_of_a_kind_that_is_run(page):
    kinds = {"sh", "python", "yaml", "text"} | (
        {"kotlin", "swift"} if page == "docs/runtimes.md" else set()
    )  # the page explains this
    assert {language for language, _ in blocks(page)} <= kinds
    assert text_of(page).count("```") == 2 * len(blocks(page))  # no block that the pattern misses


def test_every_command_of_a_page_is_run():
    run = [page for journeys in JOURNEYS for page in journeys.PAGES]
    assert sorted(run) == sorted(page for page in pages() if steps(page))
    assert sum(len(steps(page)) for page in run) > 50
    for journeys in JOURNEYS:
        assert list(journeys.PAGES) == [page for page in pages() if page in journeys.PAGES]


def test_the_commands_of_make():
    assert {"make demo", "make test"} <= set(commands("README.md"))
    for target in ("demo", "test", "docs"):
        planned = run_process("make", "--dry-run", "--always-make", target).stdout
        assert "-m venv" in planned
        assert "pip install --quiet -c constraints.txt" in planned


def test_the_messages_of_the_page_on_errors_are_the_programs():
    messages = re.findall(r"^\| `([^`]+)`", text_of("docs/errors.md"), flags=re.MULTILINE)
    assert len(messages) > 30
    written = [words for path in (REPOSITORY / "esrgan_tf").rglob("*.py") for words in _strings(path)]
    for message in messages:
        for words in message.split("…"):
            assert any(words.strip("; ") in text for text in written), f"{words!r} of {message!r}"


def _strings(path):
    """The texts of a file; `…` replaces the computed parts of an f-string."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
