"""`esrgan-tf models`: lists and downloads models by name: bundled, downloaded, downloadable."""

import dataclasses
import json
import shutil
import textwrap
from pathlib import Path

from absl import flags
from tabulate import tabulate

from esrgan_tf.cli.common import define_models_dir, parse
from esrgan_tf.errors import UserError
from esrgan_tf.weights.bundled import Bundled, bundled_models
from esrgan_tf.weights.downloadable import Downloadable, downloadable_models, fetch, models_folder
from esrgan_tf.weights.model_names import find_by_name, report

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "search", None,
    "List the models with all of these words in name, title, author, licence, architecture or tags. Default: all "
    "models.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_boolean("json", False, "Print all facts of each model as JSON.", flag_values=FLAGS)
flags.DEFINE_string(
    "download", None, "Download the model of this name and print its path. Default: no download.", flag_values=FLAGS
)
define_models_dir(FLAGS)
GROUPS = {"list": ("search", "json"), "download": ("download", "models_dir")}

_KEYS = [field.name for field in dataclasses.fields(Downloadable)]
_SEARCHED = ("name", "aliases", "title", "author", "licence", "architecture", "tags")
_OPTIONAL = (
    "parameters",
    "MB",
    "scale",
    "network",
    "licence",
    "where",
)  # columns dropped on a narrow terminal, in this order
_GAP = 2  # characters between columns
_MIN_TAGS = 12  # least width of the column of tags
_CUT = "…"


def main(argv: list[str]) -> None:
    """Lists or downloads models with the given flags. See `esrgan-tf models --help`."""
    extra = parse(FLAGS, GROUPS, argv, "models [--search WORD] [--json] [--download NAME] [--models_dir D]")
    if extra:
        raise UserError(f"models takes flags only; what is {extra[0]!r}? To search: models --search {extra[0]}")
    folder = models_folder(FLAGS.models_dir)
    if FLAGS.download is not None:
        print(_download(FLAGS.download, folder))
        return
    models: list[Bundled | Downloadable] = [*bundled_models().values(), *downloadable_models().values()]
    found = [facts for facts in (_facts(model, folder) for model in models) if _matches(facts, FLAGS.search or "")]
    found.sort(key=lambda facts: ("bundled", "downloaded", "downloadable").index(facts["where"]))
    if FLAGS.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif not found:
        print(f"no model has {FLAGS.search} in its {', '.join(_SEARCHED)}")
    else:
        width = shutil.get_terminal_size(fallback=(0, 0)).columns  # 0 without a terminal
        print("\n".join([_table(found, width), "", *_legend(found, folder)]))


def _download(name: str, folder: Path) -> Path:
    if FLAGS.search is not None or FLAGS.json:
        raise UserError("--download cannot be combined with --search or --json")
    model = find_by_name(name)
    if isinstance(model, Bundled):
        return model.path
    return fetch(model, folder, report)


def _facts(model: Bundled | Downloadable, folder: Path) -> dict:
    """All facts of a model; every model has the same keys."""
    if isinstance(model, Bundled):
        number = {key: int(model.facts[key]) if key in model.facts else None for key in ("scale", "parameters")}
        known = {key: model.facts.get(key) for key in ("architecture", "licence", "made_for")}
        file = {"type": model.path.suffix[1:], "bytes": model.path.stat().st_size}
        place = {"is_manual": False, "where": "bundled", "path": str(model.path)}
        empty = {**dict.fromkeys(_KEYS), "aliases": (), "size": (), "tags": ()}
        return {**empty, "name": model.name, **known, **number, "non_commercial": False, **file, **place}
    path = folder / model.file
    there = path.is_file() and path.stat().st_size == model.bytes  # the hash is checked when the model is loaded
    return {
        **dataclasses.asdict(model),
        "made_for": None,
        "parameters": model.parameters,
        "non_commercial": model.non_commercial,
        "is_manual": model.is_manual,
        "where": "downloaded" if there else "downloadable",
        "path": str(path) if there else None,
    }


def _matches(facts: dict, words: str) -> bool:
    parts = [facts[key] or "" for key in _SEARCHED]
    text = " ".join(part if isinstance(part, str) else " ".join(part) for part in parts).lower()
    return all(word in text for word in words.lower().split())


def _table(found: list[dict], width: int) -> str:
    """A row per model, at most `width` characters wide; 0 is no limit."""
    columns = {
        "name": [facts["name"] for facts in found],
        "network": [facts["architecture"] or "" for facts in found],
        "scale": [f"{facts['scale']}x" if facts["scale"] else "" for facts in found],
        "parameters": [f"{facts['parameters']:,}" if facts["parameters"] else "" for facts in found],
        "MB": [f"{facts['bytes'] / 1e6:.1f}" for facts in found],
        "licence": [f"{facts['licence'] or 'not stated'}{' *' if facts['non_commercial'] else ''}" for facts in found],
        "where": [_where(facts, in_full=not width) for facts in found],
        "tags": [", ".join(facts["tags"]) for facts in found],
    }
    if width:
        tags = columns.pop("tags")
        for title in _OPTIONAL:
            if _width(columns) > width:
                del columns[title]
        room = width - _width(columns) - _GAP
        if room >= _MIN_TAGS:
            columns["tags"] = [textwrap.shorten(text, room, placeholder=_CUT) for text in tags]
    right = [("right" if title in ("scale", "parameters", "MB") else "left") for title in columns]
    table = tabulate(columns, headers="keys", disable_numparse=True, colalign=right)
    lines = [line.rstrip() for line in table.splitlines()]
    return "\n".join(line if not width or len(line) <= width else line[: width - 1] + _CUT for line in lines)


def _width(columns):
    return sum(max(map(len, (title, *cells))) + _GAP for title, cells in columns.items()) - _GAP


def _where(facts, in_full):
    if facts["where"] == "downloadable":
        return "manual" if facts["is_manual"] else "download"
    return facts["path"] if in_full and facts["where"] == "downloaded" else facts["where"]


def _legend(found: list[dict], folder: Path) -> list[str]:
    """Meanings of the marks in the table."""
    marks = {_where(facts, in_full=False) for facts in found}  # also if a narrow terminal has no column `where`
    lines = ["*: the licence forbids commercial use"] if any(facts["non_commercial"] for facts in found) else []
    meanings = {
        "downloaded": f"in {folder}",
        "download": "downloaded on first use, or with --download NAME",
        "manual": "in an archive or on a page; --download NAME prints the address and the folder for the file",
    }
    return lines + [f"{mark}: {meaning}" for mark, meaning in meanings.items() if mark in marks]
