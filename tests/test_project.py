"""Facts about the project in several files are equal in all files."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

from esrgan_tf import __version__
from tests.conftest import REPOSITORY

PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
STATED_VERSION = PROJECT["version"]
PYTHONS = [line.split()[-1] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
CONSTRAINTS = [
    Requirement(line)
    for line in (REPOSITORY / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
JOBS = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "test.yml").read_text())["jobs"]
TARGETS = set(re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))


def test_the_printed_version_is_the_stated_one(run_main):
    status, out, _ = run_main("--version")
    assert status == 0
    assert out.startswith(f"esrgan-tf {STATED_VERSION}, ")
    assert __version__ == STATED_VERSION


def test_the_changelog_has_this_version():
    sections = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert sections[1] == STATED_VERSION


def test_hooks_and_workflow_call_targets_that_there_are():
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    commands = [hook["entry"] for hook in hooks]
    commands += [step["run"] for name in ("test", "lowest") for step in JOBS[name]["steps"] if "run" in step]
    assert len(commands) >= 4
    for command in commands:
        program, target = command.split()[:2]
        assert program == "make"
        assert target in TARGETS


def test_the_guide_names_targets_and_files_that_there_are():
    guide = (REPOSITORY / "CONTRIBUTING.md").read_text()
    assert set(re.findall(r"(?:^|`|&& )make (\w+)", guide)) <= TARGETS
    for path in re.findall(r"`((?:esrgan_tf|tests|docs)/[a-z0-9_/]+\.\w+)`", guide):
        assert "espcn" in path or (REPOSITORY / path).is_file(), path  # the guide's example does not exist


def test_the_same_pythons_are_stated_everywhere():
    lowest, highest = PYTHONS[0], PYTHONS[-1]
    minor = int(highest.removeprefix("3."))
    assert [f"3.{number}" for number in range(minor - len(PYTHONS) + 1, minor + 1)] == PYTHONS
    assert PROJECT["requires-python"] == f">={lowest},<3.{minor + 1}"
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{lowest.replace('.', '')}"
    assert JOBS["test"]["strategy"]["matrix"]["python"] == PYTHONS
    for name in ("lowest", "quick"):
        (setup,) = (step["with"] for step in JOBS[name]["steps"] if "setup-python" in step.get("uses", ""))
        assert setup["python-version"] == lowest
    assert f"\tpython{lowest} -m venv $(LOWEST)\n" in (REPOSITORY / "Makefile").read_text()
    for name in ("README.md", "CONTRIBUTING.md"):
        assert f"Python {lowest} to {highest}" in (REPOSITORY / name).read_text()


@pytest.mark.parametrize("python", PYTHONS)
def test_the_constraints_satisfy_each_requirement(python):
    stated = [*PYPROJECT["build-system"]["requires"], *PROJECT["dependencies"]]
    stated += [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    required = [Requirement(line) for line in stated]
    assert len(required) > 40
    for requirement in required:
        if requirement.name == PROJECT["name"]:
            continue
        name = requirement.name.replace("_", "-")
        (row,) = (row for row in CONSTRAINTS if row.name == name and _holds(row, python))
        (pinned,) = row.specifier
        assert pinned.operator == "=="
        assert requirement.specifier.contains(pinned.version), f"{requirement}: {row}"


def test_no_constraint_is_for_a_python_that_is_not_stated():
    for row in CONSTRAINTS:
        if row.marker is not None:
            assert 0 < sum(_holds(row, python) for python in PYTHONS) < len(PYTHONS), row


def _holds(row, python):
    return row.marker is None or row.marker.evaluate({"python_version": python, "python_full_version": f"{python}.0"})


def test_each_requirement_has_a_floor_and_a_ceiling():
    """`make lowest` reads the versions to install from the lower bounds."""
    lines = [*PROJECT["dependencies"], *(line for lines in PROJECT["optional-dependencies"].values() for line in lines)]
    for line in lines:
        requirement = Requirement(line)
        if requirement.name != PROJECT["name"]:
            operators = {part.operator for part in requirement.specifier}
            assert operators in ({">=", "<"}, {"=="}), line


def test_the_quick_tests_are_files_that_there_are():
    names = (REPOSITORY / "tests" / "quick.txt").read_text().splitlines()
    assert names == sorted(set(names))
    assert all((REPOSITORY / name).is_file() for name in names)
    assert JOBS["quick"]["steps"][-1]["run"] == 'python -m pytest "@tests/quick.txt"'
    assert "QUICK := @tests/quick.txt\n" in (REPOSITORY / "Makefile").read_text()


def test_issue_forms_parse():
    forms = sorted((REPOSITORY / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert [form.stem for form in forms] == ["bug", "feature"]
    for form in forms:
        content = yaml.safe_load(form.read_text())
        assert {"name", "description", "body"} <= content.keys()
        assert all("label" in entry["attributes"] for entry in content["body"])
