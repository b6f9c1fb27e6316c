"""From a YAML file and overrides to a checked configuration, and back. Imports no TensorFlow."""

import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from esrgan_tf.config.consistency import check_consistency
from esrgan_tf.config.sections import Config
from esrgan_tf.errors import UserError, first_line, listed
from esrgan_tf.files import replacing
from esrgan_tf.models import DISCRIMINATORS, GENERATORS
from esrgan_tf.schema import as_plain, converted, keys_of, nearest

# Where a machine keeps its things: no number depends on it.
MACHINE_SPECIFIC = (
    "data.data_dir",
    "data.cache_dir",
    "data.hr_dir",
    "data.lr_dir",
    "data.val_hr_dir",
    "data.val_lr_dir",
)
PATHS = (*MACHINE_SPECIFIC, "gan.vgg_weights")

_SECTIONS: dict[str, Any] = {f.name: f.default_factory for f in dataclasses.fields(Config)}
_TABLES = {"generator": GENERATORS, "discriminator": DISCRIMINATORS}  # the sections whose keys follow from their name
# A run of before families had keys of their own recorded all there were, whatever its network.
_RECORDED_ONCE = {"filters", "growth", "blocks", "scale", "unshuffle", "plus", "batch_norm"}


# Names of version 0.1.0, which this version still reads.
_RENAMED_KEYS = {
    "gan.grid_weight": "gan.checkerboard_weight",
    "runtime.recompute": "runtime.gradient_checkpointing",
}
_RENAMED_NETWORKS = {"residual": "compact_resnet"}
_RENAMED_FILES = ("box_", "bundled_")  # the beginnings of recipes' names


def keys(config: Config) -> list[str]:
    """Every `section.key` that `config` has."""
    return [f"{section}.{key}" for section in _SECTIONS for key in _names(type(getattr(config, section)))]


def load_config(
    path: str | Path | None = None,
    overrides: Iterable[str] = (),
    together: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Config:
    """Reads a YAML file on top of the defaults, then applies overrides in order, then checks the whole.

    Args:
        path: a YAML file with any of the sections and keys; None for the defaults.
        overrides: `section.key=value`, the value written as in YAML.
        together: also check that keys suit one another; a caller that replaces a section with `with_section`, which
            checks them too, leaves it out here.
        say: receives a line per name of version 0.1.0, with the name of today.

    Raises:
        UserError: the file cannot be read; unknown key (the nearest one is named); wrong type; impossible value.
    """
    of_file = _read(path, say) if path is not None else {}
    given: dict[str, dict] = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        section, _, key = _today(name.strip(), say).partition(".")
        if not equals:
            raise UserError(f"--set {override}: write it as section.key=value, for instance psnr.steps=1000")
        if section not in _SECTIONS or not key:
            raise UserError(f"unknown configuration key {name.strip()!r}{nearest(name.strip(), _all_keys())}")
        try:
            given.setdefault(section, {})[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"--set {override}: the value is not YAML ({first_line(error)})") from error
    config = Config(**{s: _section(s, of_file.get(s, {}), given.get(s, {}), say) for s in _SECTIONS})
    if together:
        check_consistency(config)
    return config


def with_section(config: Config, section: str, values: dict) -> Config:
    """`config` with another section, checked like one that is read; keys not given have their defaults.

    Raises:
        UserError: as `load_config`.
    """
    config = dataclasses.replace(config, **{section: _section(section, {}, values, lambda line: None)})
    check_consistency(config)
    return config


def with_absolute_paths(config: Config) -> Config:
    """`config` with its relative paths, which begin in the working directory, made absolute; `~` stays."""
    sections: dict[str, dict[str, str]] = {}
    for key in PATHS:
        section, name = key.split(".")
        value = value_of(config, key)
        if _is_path(key, value) and not value.startswith("~"):
            sections.setdefault(section, {})[name] = str(Path(value).absolute())
    changed = {name: dataclasses.replace(getattr(config, name), **values) for name, values in sections.items()}
    return dataclasses.replace(config, **changed)


def same_value(key: str, recorded, value) -> bool:
    """Whether `section.key` means the same in a recorded configuration and in one with absolute paths.

    A record may have a relative path: of a folder nobody noted, so that it fits every path that ends alike.
    """
    if recorded == value:
        return True
    if not (_is_path(key, recorded) and _is_path(key, value)):
        return False
    before, now = (Path(text).expanduser() for text in (recorded, value))
    return before.resolve() == now.resolve() or (
        not before.is_absolute() and now.parts[len(now.parts) - len(before.parts) :] == before.parts
    )


def _is_path(key, value):
    return key in PATHS and value is not None and (key, value) != ("gan.vgg_weights", "imagenet")


def save_config(config: Config, path: Path) -> None:
    """Writes every value of `config`, so that the file alone reproduces it."""
    with replacing(path) as staging:
        staging.write_text(yaml.safe_dump(as_plain(config), sort_keys=False), encoding="utf-8")


def value_of(config: Config, key: str):
    """The value of `section.key`; None where the section's network has no such key."""
    section, name = key.split(".")
    return getattr(getattr(config, section), name, None)


def _read(path, say):
    """The file's values as `{section: {key: value}}`."""
    path = Path(path)
    old, new = _RENAMED_FILES
    renamed = path.with_name(path.name.replace(old, new, 1))
    if path.name.startswith(old) and not path.exists() and renamed.is_file():
        say(f"{path} is now {renamed}")
        path = renamed
    if not path.is_file():
        raise UserError(f"no configuration file {path}; config.yaml at the top of the repository is a complete one")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:  # the latter of bytes that are no UTF-8, and of impossible dates
        raise UserError(f"{path} is not YAML: {first_line(error)}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected sections ({', '.join(_SECTIONS)}), found {tree!r:.60}")
    for section, entries in tree.items():
        if section not in _SECTIONS:
            raise UserError(f"{path}: unknown section {section!r}{nearest(str(section), _SECTIONS)}")
        if not isinstance(entries or {}, dict):
            raise UserError(f"{path}: section {section} must hold keys, not {entries!r:.60}")
    return {
        section: {_today(f"{section}.{key}", say).partition(".")[2]: value for key, value in (entries or {}).items()}
        for section, entries in tree.items()
    }


def _today(key, say):
    """The name of a `section.key` in this version."""
    if key in _RENAMED_KEYS:
        say(f"{key} is now {_RENAMED_KEYS[key]}")
    return _RENAMED_KEYS.get(key, key)


def of_another_program(path: Path) -> str | None:
    """Why a file that only lies there, named by nobody, is none of ours; None where it may be.

    A file with one section of ours is ours, whatever is wrong with the rest, which `load_config` tells.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # a slip, or the tags and templates of other programs
        ours = re.search(rf"^({'|'.join(_SECTIONS)})\s*:", text, flags=re.MULTILINE)
        return None if ours else "it is not YAML, and none of its lines begins a section"
    if tree is None or (isinstance(tree, dict) and (not tree or tree.keys() & _SECTIONS.keys())):
        return None
    return f"unknown section {next(iter(tree))!r}" if isinstance(tree, dict) else "it has no sections"


def _section(section, of_file, given, say):
    """One section, of a file's values and of those given over them."""
    cls = _SECTIONS[section]
    if section in _TABLES:
        table = _TABLES[section]
        for values in (of_file, given):
            if values.get("name") in _RENAMED_NETWORKS:
                say(f"{section}.name {values['name']} is now {_RENAMED_NETWORKS[values['name']]}")
                values["name"] = _RENAMED_NETWORKS[values["name"]]
        own = of_file.get("name", cls.name)
        name = given.get("name", own)
        if name not in table:
            raise UserError(f"{section}.name: {name!r} is not one of {', '.join(table)}")
        cls = table[name].options
        if name != own or set(of_file) - {"name"} == _RECORDED_ONCE:
            # The file's keys are for another network, or for all there were.
            of_file = {key: value for key, value in of_file.items() if key in keys_of(cls)}
    values = {key: value for key, value in {**of_file, **given}.items() if (section, key) not in _NAMES}
    for key in values:
        if key not in keys_of(cls):
            raise _unknown(section, key, cls)
    return cls(**{key: _converted(cls, key, value, section) for key, value in values.items()})


def _converted(cls, key, value, section):
    try:
        return converted(cls, key, value, section)
    except UserError as error:
        families = _TABLES.get(section, {}) if key == "scale" else {}
        able = [name for name, family in families.items() if _takes(family.options, key, value)]
        if not able:
            raise
        raise UserError(f"{error} for {cls.name}; {listed(able)} can") from error


def _takes(cls, key, value):
    try:
        converted(cls, key, value, key)
    except UserError:
        return False
    return True


_NAMES = {(section, "name") for section in _TABLES}


def _names(cls):
    return [*(["name"] if hasattr(cls, "name") else []), *keys_of(cls)]


def _unknown(section, key, cls):
    of_others = (family.options for family in _TABLES.get(section, {}).values())
    if any(key in keys_of(options) for options in of_others):
        return UserError(f"{section}.{key}: {key} is not a key of {cls.name}; it has {listed(list(keys_of(cls)), 20)}")
    return UserError(f"unknown configuration key '{section}.{key}'{nearest(f'{section}.{key}', _all_keys())}")


def _all_keys():
    everything = keys(Config())
    for section, table in _TABLES.items():
        everything += [f"{section}.{key}" for family in table.values() for key in keys_of(family.options)]
    return list(dict.fromkeys(everything))
