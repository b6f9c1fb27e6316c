"""The layers of the package: no import leads to a higher layer, and imports form no circle."""

import ast
import graphlib

import pytest

from tests.conftest import REPOSITORY

LAYERS = (
    *("errors", "quiet", "schema", "files", "file_kinds"),
    *("models", "config", "weights", "runs", "imaging", "data", "inference", "evaluation", "metrics"),
    *("training", "losses", "publish", "workflows", "cluster", "web", "cli", "__main__"),
)

# {(importing module, imported module): the reason}
UPWARD: dict[tuple[str, str], str] = {}

# {module: the reason for a print() outside of the commands}
PRINTING = {
    "data.cache": "the data layer has no `say` yet: lines on preparing and deleting decoded images",
    "inference.tiles": "the default of Upscaler's `notice`, which callers replace",
    "weights.model_names": "`report`, the default `say` of downloads, which callers replace",
    "web.server": "the server's log",
}

PACKAGE = REPOSITORY / "esrgan_tf"


def modules():
    """`{module below esrgan_tf: its syntax tree}`; a package is its `__init__`."""
    trees = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


TREES = modules()


def statements(tree):
    """All nodes except imports for type checkers."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def imports(tree):
    """The modules of the package that a module imports, also in functions."""
    found = set()
    for node in statements(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "esrgan_tf":
            source = node.module.removeprefix("esrgan_tf").removeprefix(".")
            for alias in node.names:
                name = f"{source}.{alias.name}".removeprefix(".")
                found.add(name if name in TREES else source)
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("esrgan_tf.") for alias in node.names if "esrgan_tf." in alias.name}
    return found - {""}


def layer(module):
    return LAYERS.index(module.partition(".")[0])


def test_every_module_is_in_a_layer():
    assert {module.partition(".")[0] for module in TREES} <= set(LAYERS)


def test_the_reader_of_imports_sees_functions_and_no_types():
    tree = ast.parse(
        "from esrgan_tf.imaging import reading\nif TYPE_CHECKING:\n    import esrgan_tf.cli.main\n"
        "def f():\n    from esrgan_tf.weights.loading import load_network\n    import esrgan_tf.files"
    )
    assert imports(tree) == {"imaging.reading", "weights.loading", "files"}


@pytest.mark.parametrize("module", TREES)
def test_no_import_leads_to_a_higher_layer(module):
    higher = {other for other in imports(TREES[module]) if layer(other) > layer(module)}
    assert {(module, other) for other in higher} == {pair for pair in UPWARD if pair[0] == module}


def test_no_imports_form_a_circle():
    graph = {module: imports(tree) - {module} for module, tree in TREES.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())


def test_the_library_leaves_printing_to_its_callers():
    printing = {
        module
        for module, tree in TREES.items()
        for node in statements(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert {module for module in printing if module.partition(".")[0] != "cli"} == set(PRINTING)


def test_commands_alone_silence_the_process():
    silencing = {module for module, tree in TREES.items() if "quiet" in imports(tree)}
    assert {module.partition(".")[0] for module in silencing} == {"cli"}


def test_files_can_be_read_in_one_sitting():
    long = [path.name for path in PACKAGE.rglob("*.py") if len(path.read_text(encoding="utf-8").splitlines()) > 350]
    assert long == []


@pytest.mark.parametrize("name", ["generator.keras", "discriminator.keras", "metrics.csv", "history.yaml"])
def test_only_runs_names_the_files_of_a_run(name):
    holders = {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value == name
    }
    assert holders == {"runs.folder"}
