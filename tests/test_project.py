"""What is stated about the project in several files is the same in all of them."""

import re

import yaml

from esrgan_tf import __version__
from tests.conftest import REPOSITORY

PYPROJECT = (REPOSITORY / "pyproject.toml").read_text()  # Python 3.10 has no tomllib to read it with
STATED_VERSION = re.search(r'^version = "(.+)"$', PYPROJECT, flags=re.MULTILINE)[1]
TARGETS = set(re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))


def test_the_version_told_is_the_one_stated(run_main):
    status, out, _ = run_main("--version")
    assert status == 0
    assert out.startswith(f"esrgan-tf {STATED_VERSION}, ")
    assert __version__ == STATED_VERSION


def test_the_changelog_tells_of_this_version():
    sections = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert sections[1] == STATED_VERSION


def test_hooks_and_workflow_call_targets_that_there_are():
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    jobs = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "test.yml").read_text())["jobs"]
    commands = [hook["entry"] for hook in hooks]
    commands += [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert len(commands) >= 3
    for command in commands:
        program, target = command.split()[:2]
        assert program == "make"
        assert target in TARGETS


def test_the_guide_names_targets_and_files_that_there_are():
    guide = (REPOSITORY / "CONTRIBUTING.md").read_text()
    assert set(re.findall(r"(?:^|`|&& )make (\w+)", guide)) <= TARGETS
    for path in re.findall(r"`((?:esrgan_tf|tests|docs)/[a-z0-9_/]+\.\w+)`", guide):
        assert "espcn" in path or (REPOSITORY / path).is_file(), path  # the guide's example is not there


def test_the_workflow_has_the_pythons_that_are_stated():
    matrix = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "test.yml").read_text())["jobs"]["test"]
    stated = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)
    assert matrix["strategy"]["matrix"]["python"] == stated


def test_issue_forms_parse():
    forms = sorted((REPOSITORY / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert [form.stem for form in forms] == ["bug", "feature"]
    for form in forms:
        content = yaml.safe_load(form.read_text())
        assert {"name", "description", "body"} <= content.keys()
        assert all("label" in entry["attributes"] for entry in content["body"])
