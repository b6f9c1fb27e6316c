"""Reads a configuration from a YAML file and overrides, checks and saves it. Imports no TensorFlow."""

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

# Paths that may differ between machines; results do not depend on them.
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
_TABLES = {"generator": GENERATORS, "discriminator": DISCRIMINATORS}  # sections with keys that depend on the name
# Old runs recorded these keys for every network.
_KEYS_OF_OLD_RUNS = {"filters", "growth", "blocks", "scale", "unshuffle", "plus", "batch_norm"}


# Names of version 0.1.0, still accepted.
_RENAMED_KEYS = {
    "gan.grid_weight": "gan.checkerboard_weight",
    "runtime.recompute": "runtime.gradient_checkpointing",
}
_RENAMED_NETWORKS = {"residual": "compact_resnet"}
_RENAMED_FILES = ("box_", "bundled_")  # prefixes of recipe files


def keys(config: Config) -> list[str]:
    """All keys of `config` as `section.key`."""
    return [f"{section}.{key}" for section in _SECTIONS for key in _key_names(type(getattr(config, section)))]


def load_config(
    path: str | Path | None = None,
    overrides: Iterable[str] = (),
    together: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Config:
    """Reads a YAML file over the defaults, applies overrides in order, and checks the result.

    Args:
        path: a YAML file with any of the sections and keys; None for the defaults.
        overrides: `section.key=value` with a YAML value.
        together: also check keys against each other. False if the caller replaces a section with `with_section`, which
            makes the same check.
        say: receives a line per name of version 0.1.0, with its present name.

    Raises:
        UserError: an unreadable file, an unknown key, a wrong type, or an impossible value.
    """
    file_values = _read(path, say) if path is not None else {}
    given: dict[str, dict] = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        section, _, key = _rename_key(name.strip(), say).partition(".")
        if not equals:
            raise UserError(f"--set {override}: write section.key=value, for instance psnr.steps=1000")
        if section not in _SECTIONS or not key:
            raise UserError(f"unknown configuration key {name.strip()!r}{nearest(name.strip(), _all_keys())}")
        try:
            given.setdefault(section, {})[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"--set {override}: the value is not YAML ({first_line(error)})") from error
    config = Config(**{s: _build_section(s, file_values.get(s, {}), given.get(s, {}), say) for s in _SECTIONS})
    if together:
        check_consistency(config)
    return config


def with_section(config: Config, section: str, values: dict) -> Config:
    """`config` with a replaced section, checked as in `load_config`; missing keys have their defaults.

    Raises:
        UserError: see `load_config`.
    """
    config = dataclasses.replace(config, **{section: _build_section(section, {}, values, lambda line: None)})
    check_consistency(config)
    return config


def with_absolute_paths(config: Config) -> Config:
    """`config` with absolute paths; relative paths start in the working directory. `~` is kept."""
    sections: dict[str, dict[str, str]] = {}
    for key in PATHS:
        section, name = key.split(".")
        value = value_of(config, key)
        if _is_path(key, value) and not value.startswith("~"):
            sections.setdefault(section, {})[name] = str(Path(value).absolute())
    changed = {name: dataclasses.replace(getattr(config, name), **values) for name, values in sections.items()}
    return dataclasses.replace(config, **changed)


def same_value(key: str, recorded, value) -> bool:
    """Whether a recorded value of `section.key` matches a value with an absolute path.

    The folder of a recorded relative path is unknown, so a relative path matches any path with the same end.
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
    """Writes all values of `config`, including defaults."""
    with replacing(path) as staging:
        staging.write_text(yaml.safe_dump(as_plain(config), sort_keys=False), encoding="utf-8")


def value_of(config: Config, key: str):
    """The value of `section.key`; None if the section's network lacks the key."""
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
        raise UserError(f"no configuration file {path}; config.yaml at the top of the repository is an example")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:  # ValueError for invalid UTF-8 and impossible dates
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
        section: {
            _rename_key(f"{section}.{key}", say).partition(".")[2]: value for key, value in (entries or {}).items()
        }
        for section, entries in tree.items()
    }


def _rename_key(key, say):
    """The present name of a `section.key`."""
    if key in _RENAMED_KEYS:
        say(f"{key} is now {_RENAMED_KEYS[key]}")
    return _RENAMED_KEYS.get(key, key)


def of_another_program(path: Path) -> str | None:
    """The reason why `./config.yaml` belongs to another program; None for a configuration of esrgan-tf.

    One known section makes a file a configuration of esrgan-tf. `load_config` reports mistakes in its other parts.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # a mistake, or tags and templates of other programs
        has_section = re.search(rf"^({'|'.join(_SECTIONS)})\s*:", text, flags=re.MULTILINE)
        return None if has_section else "it is not YAML, and none of its lines begins a section"
    if tree is None or (isinstance(tree, dict) and (not tree or tree.keys() & _SECTIONS.keys())):
        return None
    return f"unknown section {next(iter(tree))!r}" if isinstance(tree, dict) else "it has no sections"


def _build_section(section, file_values, given, say):
    """Builds a section from the file's values and the overrides."""
    cls = _SECTIONS[section]
    if section in _TABLES:
        table = _TABLES[section]
        for values in (file_values, given):
            if values.get("name") in _RENAMED_NETWORKS:
                say(f"{section}.name {values['name']} is now {_RENAMED_NETWORKS[values['name']]}")
                values["name"] = _RENAMED_NETWORKS[values["name"]]
        file_name = file_values.get("name", cls.name)
        name = given.get("name", file_name)
        if name not in table:
            raise UserError(f"{section}.name: {name!r} is not one of {', '.join(table)}")
        cls = table[name].options
        if name != file_name or set(file_values) - {"name"} == _KEYS_OF_OLD_RUNS:
            # The file's keys are for another network, or for every network.
            file_values = {key: value for key, value in file_values.items() if key in keys_of(cls)}
    values = {key: value for key, value in {**file_values, **given}.items() if (section, key) not in _NAMES}
    for key in values:
        if key not in keys_of(cls):
            raise _unknown_key_error(section, key, cls)
    return cls(**{key: _convert(cls, key, value, section) for key, value in values.items()})


def _convert(cls, key, value, section):
    try:
        return converted(cls, key, value, section)
    except UserError as error:
        families = _TABLES.get(section, {}) if key == "scale" else {}
        suitable = [name for name, family in families.items() if _accepts(family.options, key, value)]
        if not suitable:
            raise
        raise UserError(f"{error} for {cls.name}; {listed(suitable)} can") from error


def _accepts(cls, key, value):
    try:
        converted(cls, key, value, key)
    except UserError:
        return False
    return True


_NAMES = {(section, "name") for section in _TABLES}


def _key_names(cls):
    return [*(["name"] if hasattr(cls, "name") else []), *keys_of(cls)]


def _unknown_key_error(section, key, cls):
    other_options = (family.options for family in _TABLES.get(section, {}).values())
    if any(key in keys_of(options) for options in other_options):
        return UserError(f"{section}.{key}: {key} is not a key of {cls.name}; it has {listed(list(keys_of(cls)), 20)}")
    return UserError(f"unknown configuration key '{section}.{key}'{nearest(f'{section}.{key}', _all_keys())}")


def _all_keys():
    everything = keys(Config())
    for section, table in _TABLES.items():
        everything += [f"{section}.{key}" for family in table.values() for key in keys_of(family.options)]
    return list(dict.fromkeys(everything))
