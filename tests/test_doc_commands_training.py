"""The pages on training, on one machine and on several machines."""

import pytest

from tests.doc_commands import Place
from tests.test_data import div2k_dir  # noqa: F401  (a fixture)

PAGES = ("docs/training.md", "docs/long_runs.md")
pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def place(tmp_path_factory, warm, div2k_dir):  # noqa: F811
    return Place(tmp_path_factory.mktemp("place"), warm, div2k_dir)


def test_training(place):
    place.run("docs/training.md", eagerly=True)
    assert "DIV2K" in (place.path / "exports" / "div2k" / "MODEL_CARD.md").read_text()


def test_unattended(place, request):
    place.has_run(lambda: request.getfixturevalue("trained_run"))
    place.run("docs/long_runs.md")
    for run in ("machines", "cluster"):
        assert (place.path / "runs" / run / "psnr" / "generator.keras").is_file()
