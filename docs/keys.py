"""Writes what the annotations of the configuration's keys say (esrgan_tf/config/sections.py, and options.py of each
network) into config.yaml and docs/configuration.md: `make keys`."""

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
# The ESRGAN recipe, complete: every key there is, with its unit and where its value comes from. Values not explained
# otherwise are those of the paper (Wang et al., "ESRGAN", arXiv 1809.00219, section 4.1) and of BasicSR's
# options/train/ESRGAN, which are the authors' own.
#
#   python train.py --phase psnr      {Config().psnr.steps:9,} steps: RRDB-PSNR
#   python train.py --phase gan       {Config().gan.steps:9,} steps: ESRGAN
#   python export.py --output saved_model
#
# Change a value here, in a file given with --config (only what differs need stand there), or with
# --set section.key=value. A relative path begins in the folder where the command is given, in a file too; the run keeps
# it absolute and goes on from any folder.
"""


def rendered() -> dict[Path, str]:
    """`{file: what it is to hold}`."""
    page = _ROOT / "docs" / "configuration.md"
    above, heading, _ = page.read_text(encoding="utf-8").partition(_OTHERS)
    return {_ROOT / "config.yaml": _recipe(Config()), page: above + heading + _other_networks()}


def _recipe(config):
    sections, shown = [], set()
    for title in keys_of(Config):
        families = OneOf(**{name: family.options.origin for name, family in _TABLES.get(title, {}).items()})
        name = [families, "docs/configuration.md has the keys of each"]
        sections.append(_section(title, getattr(config, title), meaning_of(Config, title), name, shown))
    return "\n".join([_HEAD, *sections])


def _other_networks():
    blocks = ["\nWhat `generator` and `discriminator` hold where their `name` is another:\n"]
    for title, table in _TABLES.items():
        for family in table.values():
            if family.name != getattr(Config(), title).name:
                blocks.append(f"```yaml\n{_section(title, family.options(), [], [family.options.origin], set())}```\n")
    return "\n".join(blocks)


def _section(title, values, meaning, meaning_of_name, shown):
    """A section as YAML. What was `shown` of a key, as of phase `psnr` when it comes to `gan`, is not repeated."""
    lines = _explained(f"{title}:", meaning)
    for key, value in as_plain(values).items():
        parts = meaning_of_name if key == "name" else meaning_of(type(values), key)
        lines += _explained(_written(key, value), [part for part in parts if (key, str(part)) not in shown])
        shown.update((key, str(part)) for part in parts)
    return "".join(f"{line}\n" for line in lines)


def _written(key, value):
    """A key with its value on a line, or on several where that is too long."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf).splitlines()[0]
    start = f"  {key}: "
    return "\n".join(textwrap.wrap(start + text, _WIDTH, subsequent_indent=" " * (len(start) + 1)))


def _explained(written, parts):
    """Lines with their comment behind them, or above where it is too long for that."""
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
