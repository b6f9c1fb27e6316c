"""Writes the meanings of the configuration's keys into config.yaml and docs/configuration.md: `make keys`.

The meanings are in annotations, in esrgan_tf/config/sections.py and in options.py of each network.
"""

import math
import textwrap
from pathlib import Path

import yaml

from esrgan_tf.config import Config
from esrgan_tf.models import DISCRIMINATORS, GENERATORS
from esrgan_tf.schema import OneOf, as_plain, keys_of, meaning_of

_ROOT = Path(__file__).resolve().parent.parent
_COLUMN, _WIDTH = 38, 120
_TABLES = {"generator": GENERATORS, "discriminator": DISCRIMINATORS}
_OTHERS = "## The other networks\n"

_HEAD = f"""\
# The complete ESRGAN recipe: every key with its default, its unit and its source.
#
#   python train.py --phase psnr      {Config().psnr.steps:9,} steps: RRDB-PSNR
#   python train.py --phase gan       {Config().gan.steps:9,} steps: ESRGAN
#   python export.py --output saved_model
#
# Values without a source are those of the paper (Wang et al., "ESRGAN", arXiv 1809.00219, section 4.1) and of the
# authors' own options (BasicSR, options/train/ESRGAN).
#
# Change a value in this file, in another file for --config, or with --set section.key=value. A file for --config needs
# only the keys that differ. A relative path starts from the folder of the command, also in a file. A run stores
# absolute paths, so a later command resumes the run from any folder.
"""


def rendered() -> dict[Path, str]:
    """`{file: its new text}`."""
    page = _ROOT / "docs" / "configuration.md"
    above, heading, _ = page.read_text(encoding="utf-8").partition(_OTHERS)
    return {_ROOT / "config.yaml": _recipe(Config()), page: above + heading + _other_networks()}


def _recipe(config):
    sections, shown = [], set()
    for title in keys_of(Config):
        families = OneOf(**{name: family.options.origin for name, family in _TABLES.get(title, {}).items()})
        name = [families, "docs/configuration.md lists the keys of each"]
        sections.append(_section(title, getattr(config, title), meaning_of(Config, title), name, shown))
    return "\n".join([_HEAD, *sections])


def _other_networks():
    blocks = ["\nThe keys of `generator` and `discriminator` for each other `name`:\n"]
    for title, table in _TABLES.items():
        for family in table.values():
            if family.name != getattr(Config(), title).name:
                blocks.append(f"```yaml\n{_section(title, family.options(), [], [family.options.origin], set())}```\n")
    return "\n".join(blocks)


def _section(title, values, meaning, meaning_of_name, shown):
    """A section as YAML. A meaning that was `shown` for an earlier section is not repeated."""
    lines = _explained(f"{title}:", meaning)
    for key, value in as_plain(values).items():
        parts = meaning_of_name if key == "name" else meaning_of(type(values), key)
        lines += _explained(_written(key, value), [part for part in parts if (key, str(part)) not in shown])
        shown.update((key, str(part)) for part in parts)
    return "".join(f"{line}\n" for line in lines)


def _written(key, value):
    """A key with its value on one line, or on several lines if it is too long."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf).splitlines()[0]
    start = f"  {key}: "
    return "\n".join(textwrap.wrap(start + text, _WIDTH, subsequent_indent=" " * (len(start) + 1)))


def _explained(written, parts):
    """Lines with their comment at the end, or above if it is too long."""
    comment = ""
    for before, part in zip(["", *parts], parts, strict=False):
        comment += (": " if isinstance(part, OneOf) else "; ") if before else ""
        comment += str(part)
    line = f"{written:{_COLUMN - 2}}  # {comment}"
    if not comment:
        return [written]
    if "\n" not in written and len(line) <= _WIDTH:
        return [line]
    start = " " * (len(written) - len(written.lstrip())) + "# "
    return [*textwrap.wrap(comment, _WIDTH, initial_indent=start, subsequent_indent=start), written]


if __name__ == "__main__":
    for path, text in rendered().items():
        path.write_text(text, encoding="utf-8")
