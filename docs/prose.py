"""Checks the wording of pages, help texts, messages, docstrings and comments: `make prose`."""

import argparse
import ast
import collections
import io
import re
import sys
import textwrap
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).resolve().parent.parent
_EXCEPTIONS = "docs/prose_exceptions.txt"
_CHECKED = (
    "*.md",
    "docs/**/*.md",
    "esrgan_tf/weights/packaged/*.md",
    "config.yaml",
    "configs/*.yaml",
    "esrgan_tf/**/*.py",
    "benchmarks/**/*.py",
    "docs/**/*.py",
    "tests/**/*.py",
)
_CARD = "esrgan_tf/publish/model_card.py"  # its strings are the pages of a model
_MOST_WORDS, _MOST_NUMBERS, _CELL_WORDS = 25, 2, 4

PROSE, HEADING, CELL, HELP, MESSAGE = "prose", "heading", "cell", "help", "message"


class Text(NamedTuple):
    """A paragraph, heading, cell, help text or message; each line of `text` is a line of the file."""

    line: int
    text: str
    kind: str


class Finding(NamedTuple):
    file: str
    line: int
    rule: str
    word: str
    sentence: str

    def __str__(self):
        return f"{self.file}:{self.line}: {self.rule}: {self.word + ': ' if self.word else ''}{self.sentence}"


# Code, paths and addresses become a private character each, which is a word without letters.
_FIRST_SPAN, _LAST_SPAN = 0xE000, 0xF8FF
_SPANS = f"{chr(_FIRST_SPAN)}-{chr(_LAST_SPAN)}"

# Rules of single words and phrases.

_UNITS = (
    "step|pixel|second|minute|hour|day|week|month|image|photo|file|batch|epoch|run|thread|core|patch|channel|tile|"
    "megapixel|inch|layer|device|byte|sample|side"
)
_MEASURES = (
    "seconds|s|ms|minutes|hours|pixels|patches|images|photos|steps|bytes|[kMG]i?B|bits|numbers?|times|radians|"
    "channels|megapixels|samples|tiles|files|multiplications|operations|parameters|values|updates|dots"
)
_NUMBER_WORDS = "one|two|three|four|five|six|seven|eight|nine|ten|hundreds|thousands|millions|once|twice"
_AFTER_UNIT = r"(?=\s*(?:[.,;:)!?]|$|(?:and|or|on|in|with|for|at|than|by|as|when|where|but|from|while|instead|over)\b))"
_PLACES = "in|beside|below|there|under|next|on|here|elsewhere|outside"
_FILES = rf"^(?=.*\b(?:files?|folders?|director(?:y|ies)|links?|cards?|models?|target)\b|.*[{_SPANS}]).*?"
_IMAGE = r"(?:images?|photos?|pictures?|patch|patches|targets?)"
_SIZED = rf"^(?=.*\b(?:{_IMAGE}|results?|enough)\b).*?"

_WORDS = [
    (rule, re.compile(pattern, re.IGNORECASE))
    for rule, pattern in (
        (
            "per",
            rf"\b(?:(?:\d[\d.,]*|{_NUMBER_WORDS})(?:\s(?:{_MEASURES}))?|{_MEASURES})\san?\s(?:{_UNITS}){_AFTER_UNIT}",
        ),
        ("verb", r"\b(?:says|said|tells|told|knows|asks|hears|weaves|paints)\b"),
        ("verb", r"\b(?:do(?:es)?\snot|will|would|flags|files|weights|options|programs|texts|they)\s(?:say|tell)\b"),
        ("avoid", r"\banew\b"),
        ("avoid", r"\b(?:go|goes|going|went|gone)\son\b(?!\s(?:the|an?|each|every|its|your|top|both)\b)"),
        ("avoid", r"\bmend(?:s|ed|ing)?\b"),
        ("avoid", r"(?<!line\s)\bendings\b|(?<=\b(?:its|the|one|any|own)\s)ending\b(?!\s(?:in|with|at|a|the)\b)"),
        ("avoid", r"(?<=\b(?:an|no|by|of)\s)ending\b(?!\s(?:in|with|at|a|the)\b)"),
        ("avoid", r"(?<=\b(?:file|name|same|that)(?:\s|'))(?:s\s)?ending\b(?!\s(?:in|with|at|a|the)\b)"),
        ("avoid", rf"\b(?:stands?|stood)\s(?:{_PLACES}|with|above|at|alone|where|before)\b(?!\sthe\sway)"),
        ("avoid", rf"{_FILES}(?P<word>\b(?:lies|lie|lay)\s(?:{_PLACES})\b)(?!\s[\[\d])|\b(?:lies|lie)\sthere\b"),
        ("avoid", r"(?<!\bleft\s)(?<!\bfar\s)\bbehind\b(?!\s(?:an?|the|your)\s(?:\w+\s)?(?:proxy|firewall|gateway))"),
        ("avoid", r"\bspoil(?:s|t|ed|ing)?\b"),
        ("avoid", r"\breckon(?:s|ed|ing)?\b"),
        ("avoid", r"\bfor\swant\sof\b"),
        ("avoid", r"\bpieces?\b"),
        ("avoid", r"\bnone\sof\sours\b"),
        ("avoid", r"\bwhose\b|\bwhom\b"),
        ("avoid", r"\bor\snot(?=[.,;:)]|$)|\bwhether\sor\snot\b"),
        ("avoid", r"\bby\sitself\b|\bof\sits\sown\b"),
        ("term", r"\benlarg(?:e|es|ed|ing|er|ers|ement|ements)\b"),
        ("term", r"\btimes\slarger\b"),
        ("term", rf"{_SIZED}(?P<word>\b(?:twice|(?:four|three|eight)\stimes)\sas\slarge\b)"),
        ("term", r"\bpackaged\s(?:networks?|models?|ones?|generators?|weights)\b"),
        ("term", r"\b(?:in|from)\sthe\sbox\b"),
        ("term", rf"\breduc(?:es?|ed|ing)\s(?:(?:an?|the|each|its|their)\s)?{_IMAGE}\b"),
        ("term", rf"\b{_IMAGE}\s(?:(?:that\s)?(?:is|are|was|were)\s)?reduced\b"),
        (
            "term",
            r"\breduced\s(?:four\stimes|by\s(?:bicubic|blur)|bicubically)\b|\breductions\b(?!\s(?:over|in|along)\b)",
        ),
        ("term", r"\b(?:bicubic|antialiased|clean|area|bilinear)\sreduction\b"),
        ("term", r"\blow\sresolution\b"),
        ("term", r"(?<!ground\s)(?<!ground-)\btruth\b(?!\svalue)"),
        ("term", r"\bimitat(?:es?|ed|ing|ion|ions)\b"),
        ("term", r"(?<!style\s)(?<!data\s)(?<!cheat\s)\bsheets?\b"),
        ("term", r"\bdots\b(?=.*\b(?:checkerboard|grain|bright|dark|dense)\b)|\b(?:bright|dark)\sdots\b"),
        ("term", r"\bweave\b|\bwoven\b"),
        ("term", r"\brecomput(?:es?|ed|ing|ation)\b"),
        ("term", r"\bpublished\s(?:networks?|models?)\b"),
        ("term", r"^(?=.*\bdownload).*?(?P<word>\bby\shand\b)"),
        ("term", r"\bown\saverages?\b|\beight\sflips\sand\squarter\sturns\b"),
        ("term", r"\bnoise\sof\slight\b|\bnoise\sin\sall\scolours\b"),
        ("term", r"(?<!exponential\s)\bmoving\saverages?\b(?!.*\bbatch.normal)"),
        ("term", r"\bnames\sof\s2018\b|\bwhat\sbecame\sof\sa\spoint\b|\blearn(?:s|ed|t)?\sfrom\sanother\snetwork\b"),
        ("term", r"\bfar\s(?:as\s)?(?:it|they|(?:the|a)\snetwork)\s(?:looks?|sees?)\b"),
    )
]

# Rules of sentences.

_CLAUSE = re.compile(r"[(\"'“]*(?:What|Where|Who|Whoever|Which|Whose|Of)\b")
_FRONTED = re.compile(r"With(?:out)? [^,.;:]{1,60}\bonly,|With such\b")
_OPENINGS = re.compile(
    r"(?:what|where|who|whoever|which|whose|how|why|when|if|it|its|they|there|this|these|that|else|also|left|of|in|on|"
    r"at|by|for|from|with|without|to|as|beside|until|after|before)\b(?!-)",
    re.IGNORECASE,
)
_ABBREVIATIONS = re.compile(r"(?:(?<![\w'’])(?:e\.g|i\.e|al|vs|cf|ca|approx|resp|incl|Fig|Dr|St|[A-Z])|\.\.)\.$")
_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s|$)")
_FORMULA = re.compile(r"\s[=*+^<>≤≥/]\s|\d\s[-−]\s\d|\d/[a-z]")
_NUMBER = re.compile(r"[−+±~≈<>-]?\d[\d,]*(?:\.\d+)?(?:e[-−+]?\d+)?(?:[%°]|[kMG]i?B|dB|s|ms|px|h|min)?")
_NAME_WITH_NUMBER = re.compile(  # versions, sections, standards
    r"(?:[A-Z][A-Z-]+|Python|TensorFlow|Keras|PyTorch|NumPy|Pillow|Android|OpenVINO|BasicSR|libvips|opset|arXiv|Unicode|"
    r"(?:[Vv]ersion|[Ss]ection|[Cc]hapter|[Tt]able|[Ff]igure|[Ee]quation|[Pp]age|[Aa]ppendix|[Ll]evel|[Pp]art)s?)"
)
_METRICS = {"PSNR", "SSIM", "LPIPS", "DISTS", "GB", "MB", "KB"}


def findings_in(text: str, kind: str = PROSE, file: str = "", line: int = 1) -> Iterator[Finding]:
    """Every breach of a rule in a text, sentence by sentence."""
    masked, spans = _mask(text)
    for number, (offset, sentence) in enumerate(_sentences(masked)):
        at = line + masked.count("\n", 0, offset)
        flat = " ".join(sentence.split())
        for rule, word in _breaches(flat, kind, number == 0):
            yield Finding(file, at, rule, _restore(word, spans), _restore(flat, spans))


def _breaches(sentence, kind, first):
    words = sum(any(char.isalnum() or _is_span(char) for char in token) for token in sentence.split())
    short = kind == HEADING or (kind == CELL and words < _CELL_WORDS)
    if first and kind in (HEADING, HELP) and (match := _OPENINGS.match(sentence)) and not sentence.endswith("?"):
        yield "opening", match[0]
    elif not short and (match := _CLAUSE.match(sentence)) and not sentence.endswith("?"):
        yield "start", match[0]
    if match := _FRONTED.match(sentence):
        yield "fronted", match[0]
    if not short:
        if words > _MOST_WORDS:
            yield "length", f"{words} words"
        if (marks := len(re.findall(r"[:;](?=\s|$)", _without_label(sentence, kind)))) > 1:
            yield "colons", f"{marks} colons or semicolons"
    if kind not in (CELL, HEADING) and (numbers := _count_numbers(sentence)) > _MOST_NUMBERS:
        yield "numbers", f"{numbers} numbers"
    seen = set()
    for rule, pattern in _WORDS:
        for match in pattern.finditer(sentence):
            word = match.groupdict().get("word") or match[0]
            if (rule, word.lower()) not in seen:
                seen.add((rule, word.lower()))
                yield rule, word


def _without_label(sentence, kind):
    """A sentence without what a colon names first: a file in a message, a key in a list."""
    label = re.match(r"(?:\S+\s){0,2}?\S+:\s", sentence)
    if kind == MESSAGE:
        label = re.match(r"(?:\S+:\s)+", sentence) or label
    if label and (any(map(_is_span, label[0])) or (kind == MESSAGE and ("--" in label[0] or label[0].count(" ") == 1))):
        return sentence[label.end() :]
    return sentence


def _count_numbers(sentence):
    """Numbers but for versions, dimensions, years of publications, and those of formulas and lists in brackets."""
    if _FORMULA.search(sentence):
        return 0
    sentence = re.sub(
        r"[\[(][\d.−-]+(?:,\s[\d.−-]+)+[\])]|\b\d[\d,]* (?:by|x|×) \d[\d,]*\b|\b0(?:\.0)? to \d[\d.]*\b", " ", sentence
    )
    count, before = 0, ""
    for token in re.split(r"[\s/–]+", sentence):
        bare = token.strip("()[]{},.;:!?\"'*|")
        year = re.fullmatch(r"(?:19|20)\d\d", bare) and (token.endswith(")") or before.endswith((",", "al.")))
        name = before.strip("(,")
        named = _NAME_WITH_NUMBER.fullmatch(name) and name not in _METRICS
        if _NUMBER.fullmatch(bare) and not year and not named:
            count += 1
        before = token
    return count


def _sentences(text):
    """`(offset, sentence)` of each sentence."""
    start = 0
    for end in _END.finditer(text):
        if end[0][0] == "." and _ABBREVIATIONS.search(text[: end.start() + 1]):
            continue
        if end[0][0] == "…" and text[end.end() :].lstrip()[:1].islower():
            continue
        yield from _stripped(text, start, end.end())
        start = end.end()
    yield from _stripped(text, start, len(text))


def _stripped(text, start, end):
    part = text[start:end]
    if part.strip():
        yield start + len(part) - len(part.lstrip()), part.strip()


_SPAN = re.compile(
    r"``.+?``|`[^`]+`|https?://[^\s)>]*[^\s)>.,;:]|\{[^{}\s]+\}"
    r"|(?<![\w/.-])[A-Za-z][\w-]+(?:[/._][A-Za-z][\w-]+)+(?:=[^\s)]*[^\s).,;:])?",  # paths, identifiers, settings
    re.DOTALL,
)


def _mask(text):
    spans = []

    def hide(match):
        spans.append(" ".join(match[0].split()))
        return chr(_FIRST_SPAN + len(spans) - 1) + "\n" * match[0].count("\n")

    return _SPAN.sub(hide, text), spans


def _is_span(char):
    return _FIRST_SPAN <= ord(char) <= _LAST_SPAN


def _restore(text, spans):
    return "".join(spans[ord(char) - _FIRST_SPAN] if _is_span(char) else char for char in text)


# Texts of files.


def texts_of(path: str, source: str) -> Iterable[Text]:
    """The texts of a file that a person reads."""
    if path.endswith(".md"):
        rows = list(enumerate(source.splitlines(), 1))
        return _markdown(_unreleased(rows) if Path(path).name == "CHANGELOG.md" else rows)
    if path.endswith(".yaml"):
        return _yaml(source, only_head=path == "config.yaml")
    return _python(path, source)


def _unreleased(rows):
    """Only the newest section of a changelog."""
    starts = [i for i, (_, text) in enumerate(rows) if text.startswith("## ")] + [len(rows), len(rows)]
    return rows[starts[0] : starts[1]]


_FENCE = re.compile(r"\s*(```|~~~)")
_BULLET = re.compile(r"\s*(?:[-*+]|\d+\.)\s+")
_DIRECTIVE = re.compile(r"\s*(?::::|!!!|-{2,}8<|\[[^\]]+\]:\s|<!--)")


def _markdown(rows, headings=True) -> Iterator[Text]:
    """Paragraphs, list entries, headings and cells of `(line number, line)`, without code blocks."""
    block: list[tuple[int, str]] = []
    fence, skipping = None, False
    margin = 0  # the column of a list entry's text

    def flush():
        if block:
            yield Text(block[0][0], _plain("\n".join(text for _, text in block)), PROSE)
            block.clear()

    if rows and rows[0][1] == "---":
        end = next((i for i, (_, text) in enumerate(rows[1:], 1) if text == "---"), 0)
        rows = rows[end + 1 :]
    for number, line in rows:
        if fence or (match := _FENCE.match(line)):
            yield from flush()
            fence = (None if line.strip().startswith(fence) else fence) if fence else match[1]
        elif not line.strip():
            yield from flush()
            skipping = False
        elif headings and (heading := re.match(r"#{1,6}\s+(.*)", line)):
            yield from flush()
            margin = 0
            yield Text(number, _plain(heading[1]), HEADING)
        elif line.lstrip().startswith("|") and line.count("|") > 1:
            yield from flush()
            for cell in re.split(r"(?<!\\)\|", line.strip().strip("|")):
                if cell.strip(" :-"):
                    yield Text(number, _plain(cell.strip()), CELL)
        elif _DIRECTIVE.match(line) or skipping:
            yield from flush()
            skipping = True
        elif bullet := _BULLET.match(line):
            yield from flush()
            margin = bullet.end()
            block.append((number, line[bullet.end() :]))
        elif not block and line.startswith(" " * (margin + 4)):
            continue
        else:
            margin = margin if block or line.startswith(" ") else 0
            block.append((number, line.strip().removeprefix("> ")))
    yield from flush()


def _plain(text):
    """Text without links' addresses, tags and emphasis."""
    text = re.sub(r"!?\[((?:[^\[\]`]|`[^`]*`)*)\]\([^)\s]*(?:\s\"[^\"]*\")?\)", r"\1", text)
    text = re.sub(r"</?[a-z][^<>]*>", "", text)
    return re.sub(r"\*\*(?=\S)(.+?)\*\*|(?<!\w)\*(?=\S)([^*]+)\*(?!\w)", r"\1\2", text, flags=re.DOTALL)


def _yaml(source, only_head):
    """Comments. The meanings of config.yaml's keys are checked where they are written, in the package's annotations."""
    comments = []
    for number, line in enumerate(source.splitlines(), 1):
        if only_head and line and not line.startswith("#"):
            break
        if match := re.match(r"(\s*)#\s?(.*)|.*?\s()#\s(.*)", line):
            own = match[1] is not None
            comments.append((number, len(match[1]) if own else None, match[2] if own else match[4]))
    return _comments(comments)


_PRAGMA = re.compile(r"!|noqa|type:|fmt:|ruff:|pragma|mypy:|-\*-")


def _comments(comments) -> Iterator[Text]:
    """Paragraphs of `(line number, column, text)`; the column is None after code on the same line."""
    rows: list[tuple[int, str]] = []
    before = (0, None)
    for number, column, text in comments:
        if column is None or (number, column) != (before[0] + 1, before[1]):
            yield from _markdown(rows, headings=False)
            rows = []
        before = (number, column)
        # Commands and drawings are indented.
        rows.append((number, "" if _PRAGMA.match(text) or re.match(r"\s{2,}", text) else text))
    yield from _markdown(rows, headings=False)


def _python(path, source) -> Iterator[Text]:
    comments = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            own = not token.line[: token.start[1]].strip()
            comments.append((token.start[0], token.start[1] if own else None, re.sub(r"^#+\s?", "", token.string)))
    yield from _comments(comments)
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and ast.get_docstring(node):
                yield from _docstring(first.value.lineno, first.value.value)
    if path.startswith("esrgan_tf/"):
        yield from _strings(path, tree)


_SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields|Examples?|Notes?):\s*$")


def _docstring(line, text):
    """Paragraphs and entries of a docstring in Google's style."""
    first, _, rest = text.partition("\n")
    rows, section = [], None
    for number, row in enumerate([first.strip(), *textwrap.dedent(rest).splitlines()], line):
        if match := _SECTION.match(row):
            section, row = match[1], ""
        elif row and not row.startswith(" "):
            section = None
        elif section and section.startswith("Example"):
            row = ""
        elif section and re.match(r" {4}\S", row):
            named = section in ("Args", "Attributes", "Raises")
            row = "- " + (re.sub(r"^\s+[\w*.,`\s]+(?:\([^)]*\))?:\s", "", row) if named else row.strip())
        elif section:
            row = row.strip()
        rows.append((number, "" if row.lstrip().startswith(">>>") else row))
    return _markdown(rows, headings=False)


_SPEAKING = {"OneOf", "UserError", "say", "print", "warn", "warning", "tell", "notice", "refuse", "refused"}


def _strings(path, tree):
    """Help texts of flags, meanings of keys, messages, and the sentences of model cards."""
    taken = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            if name.startswith("DEFINE_"):
                at = 3 if "enum" in name else 2
                yield from _literals(node.args[at : at + 1], HELP, taken)
            elif name.strip("_") in _SPEAKING:
                yield from _literals(given, MESSAGE, taken)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from _literals(node.exc.args, MESSAGE, taken)
        elif isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "Annotated":
            meanings = node.slice.elts[1:] if isinstance(node.slice, ast.Tuple) else []
            yield from _literals([m for m in meanings if not isinstance(m, ast.Call)], HELP, taken)
    if path == _CARD:
        for statement in tree.body:
            for text in _literals([statement], PROSE, taken):
                yield from _markdown(list(enumerate(text.text.splitlines(), text.line)))


def _literals(nodes, kind, taken):
    """The strings with a space in expressions, what is formatted into them as a code span."""
    for node in nodes:
        if isinstance(node, ast.Expr) or node in taken:  # a docstring is an expression
            continue
        if isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.Constant) else "{" + _expression(p) + "}" for p in node.values]
            text = "".join(parts)
            yield from _literals([p.value for p in node.values if isinstance(p, ast.FormattedValue)], kind, taken)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            yield from _literals(ast.iter_child_nodes(node), kind, taken)
            continue
        taken.add(node)
        if " " in text.strip():
            yield Text(node.lineno, text, kind)


def _expression(part):
    """A short word for what is formatted into a string."""
    return re.sub(r"[\s{}`]+", "", ast.unparse(part.value))[:30] or "…"


# Files and exceptions.


def check(root: Path, only: Iterable[str] = ()) -> list[Finding]:
    """The findings in the files below a folder, or in some of these, that no exception allows.

    Raises:
        ValueError: a file that is not checked, or a line of the exceptions in another form.
    """
    files = sorted({path.relative_to(root).as_posix() for pattern in _CHECKED for path in root.glob(pattern)})
    if only := set(only):
        if unknown := sorted(only - set(files)):
            raise ValueError(f"{unknown[0]}: not a file that is checked")
        files = [file for file in files if file in only]
    exceptions = [entry for entry in _exceptions(root) if not only or entry.file in only]
    used, left = set(), []
    for file in files:
        source = (root / file).read_text(encoding="utf-8")
        for text in sorted(texts_of(file, source), key=lambda text: text.line):
            for finding in findings_in(text.text, text.kind, file, text.line):
                allowing = {e for e in exceptions if e[1:3] == (file, finding.rule) and e.fragment in finding.sentence}
                used |= allowing
                if not allowing:
                    left.append(finding)
    for entry in exceptions:
        if entry not in used:
            left.append(Finding(_EXCEPTIONS, entry.line, "exception", "matches nothing", entry.fragment))
    return left


class _Exception(NamedTuple):
    line: int
    file: str
    rule: str
    fragment: str


def _exceptions(root):
    path = root / _EXCEPTIONS
    for number, row in enumerate(path.read_text(encoding="utf-8").splitlines() if path.is_file() else [], 1):
        if row.strip() and not row.startswith("#"):
            match = re.fullmatch(r"(\S+): (\w+): \"(.+)\"", row.strip())
            if match is None:
                raise ValueError(f'{_EXCEPTIONS}:{number}: expected `file: rule: "part of the sentence"`')
            yield _Exception(number, *match.groups())


def main(arguments: list[str], root: Path = _ROOT) -> int:
    """Prints the findings and their counts. The exit status is 1 if there are any."""
    parser = argparse.ArgumentParser(description="Check the wording of texts in this repository.")
    parser.add_argument("files", nargs="*", metavar="FILE", help="Files to check instead of all.")
    parser.add_argument("--count", action="store_true", help="Print only the number of findings per file.")
    options = parser.parse_args(arguments)
    try:
        only = [Path(file).resolve().relative_to(root).as_posix() for file in options.files]
        found = check(root, only)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    sys.stdout.reconfigure(encoding="utf-8")
    if not options.count:
        print(*found, sep="\n", end="\n\n" if found else "")
        _print_counts(finding.rule for finding in found)
    _print_counts(finding.file for finding in found)
    return 1 if found else 0


def _print_counts(names):
    for name, count in collections.Counter(names).most_common():
        print(f"{count:6}  {name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
