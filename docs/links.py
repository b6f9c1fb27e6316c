"""An mkdocs hook for links to the repository's files outside of docs/: the site gets a copy of each linked file."""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File, InclusionLevel

_FROM_THE_TOP = re.compile(r"(?<=\]\()docs/")  # [text](docs/training.md): in a page that is a file of the top folder
_LINK = re.compile(r"(?<=\]\()(\.\./[^)#\s]+)")  # [text](../config.yaml): out of the page's folder


def on_files(files, config):
    """Adds the files that pages link to."""
    root = Path(config.config_file_path).parent
    for page in list(files.documentation_pages()):
        for link in _LINK.findall(page.content_string):
            path = _outside(page, link)
            if path and (root / path).is_file() and f"files/{path}" not in files.src_uris:
                files.append(
                    File.generated(
                        config, f"files/{path}", abs_src_path=str(root / path), inclusion=InclusionLevel.NOT_IN_NAV
                    )
                )
    return files


def on_page_markdown(markdown, page, config, files):
    """Points those links to the copies."""

    def moved(match):
        path = _outside(page.file, match[1])
        if path is None:
            return match[1]
        return posixpath.relpath(f"files/{path}", posixpath.dirname(page.file.src_uri) or ".")

    if posixpath.dirname(page.file.src_uri) == "files":
        return _FROM_THE_TOP.sub("../", markdown)
    return _LINK.sub(moved, markdown)


def _outside(page, link):
    """The path in the repository of what a link points to; None where that is below docs/."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page.src_uri), link))
    return None if path.startswith("docs/") else path
