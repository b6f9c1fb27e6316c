"""The pages on networks: external and bundled models, small networks and their results, and the Python API."""

import pytest

from tests.doc_commands import Place

PAGES = (
    "docs/bundled/index.md", "docs/pytorch.md", "docs/api.md", "docs/networks.md", "docs/results.md",
)  # fmt: skip
pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def place(tmp_path_factory, warm):
    return Place(tmp_path_factory.mktemp("place"), warm)


@pytest.mark.parametrize("page", PAGES)
def test_page(page, place, request):
    if page == "docs/pytorch.md":
        place.has_run(lambda: request.getfixturevalue("trained_run"))
    place.run(page, eagerly=True)
