"""Writes what the annotations of the configuration's keys say (esrgan_tf/config/sections.py, and options.py of each
network) into config.yaml and docs/configuration.md: `make keys`."""

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
# Change a value here, in a file given with --config (only what differs need stand there), or with --set section.key=value.
# A relative path begins in the folder where the command is given, in a file too; the run keeps it absolute and goes on
# from any folder.
"""


def rendered() -> dict[Path, str]:
    """`{file: what it is to hold}`."""
    page = _ROOT / "docs" / "configuration.md"
    above, heading, _ = page.read_text(encoding="utf-8").partition(_OTHERS)
    return {_ROOT / "config.yaml": _recipe(Config()), page: above + heading + _other_networks()}


def _recipe(config):
    shown = set()
    sections = []
    for title in keys_of(Config):
        values = getattr(config, title)
        names = [OneOf(**{name: family.options.whose for name, family in _TABLES.get(title, {}).items()})]
        sections.append(_section(title, values, meaning_of(Config, title), names, shown))
    return "\n".join([_HEAD, *sections])


def _other_networks():
    blocks = ["\nWhat `generator` and `discriminator` hold where their `name` is another:\n"]
    for title, table in _TABLES.items():
        for family in table.values():
            options = family.options()
            if options != getattr(Config(), title):
                blocks.append(f"```yaml\n{_section(title, options, [], [options.whose], set())}```\n")
    return "\n".join(blocks)


def _section(title, values, meaning, name_means, shown):
    """A section as YAML; what `shown`, which grows, has of a key is not said of it again."""
    lines = _explained(f"{title}:", meaning, "")
    for key, value in as_plain(values).items():
        parts = name_means if key == "name" else meaning_of(type(values), key)
        new = [part for part in parts if (key, str(part)) not in shown]
        shown |= {(key, str(part)) for part in new} if key != "name" else set()
        written = yaml.safe_dump({key: value}, default_flow_style=None, sort_keys=False, width=_WIDTH - 4)
        lines += _explained(textwrap.indent(written.rstrip(), "  "), new, "  ")
    return "".join(f"{line}\n" for line in lines)


def _explained(written, parts, indent):
    """Lines with their comment behind them, or above where it is too long for that."""
    comment = ""
    for before, part in zip([None, *parts], parts, strict=False):
        introduced = isinstance(before, str) and isinstance(part, OneOf)
        comment += ("" if before is None else ": " if introduced else "; ") + str(part)
    line = f"{written:{_COLUMN - 2}}  # {comment}"
    if not comment or "\n" not in written and len(line) <= _WIDTH:
        return [line if comment else written]
    return [*textwrap.wrap(comment, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "), written]


if __name__ == "__main__":
    for path, text in rendered().items():
        path.write_text(text, encoding="utf-8")
