"""Where the results of many inputs go, every doubt settled before anything is done. Imports no TensorFlow."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from esrgan_tf.errors import UserError, listed
from esrgan_tf.files import check_folder
from esrgan_tf.images.image_files import FORMATS, READ, help_for


@dataclass(frozen=True)
class Job:
    """One input and where its result goes; None is standard input, and standard output."""

    source: Path | None
    target: Path | None


@dataclass(frozen=True)
class Naming:
    """How results are named, as the flags of `esrgan-tf upscale` explain it."""

    output: str | None = None
    suffix: str | None = None
    format: str | None = None
    recursive: bool = False
    overwrite: bool = False
    skip_existing: bool = False


def check_inputs(inputs: list[str], naming: Naming) -> None:
    """Refuses what needs no knowledge of the network.

    Raises:
        UserError: an input that is not there, or flags that contradict one another.
    """
    if naming.overwrite and naming.skip_existing:
        raise UserError("--overwrite and --skip_existing contradict each other; give one")
    if naming.suffix and ("/" in naming.suffix or "\\" in naming.suffix):
        raise UserError(f"--suffix {naming.suffix}: is part of a name, not of a path")
    for name in inputs:
        if name != "-" and not Path(name).is_dir():
            _file(name)


def plan(inputs: list[str], naming: Naming, factor: float | None) -> tuple[list[Job], int]:
    """What to do, and how many inputs are left out because their results exist.

    Args:
        inputs: files, folders, or `-`.
        factor: how many times larger results are; may be None where `naming.output` says their names.

    Raises:
        UserError: two results of one name, a result that exists, a name that is no place for one.
    """
    if naming.output is None:
        return _settled([pair for name in inputs for pair in _beside(name, naming, factor)], naming)
    single = len(inputs) == 1 and not Path(inputs[0]).is_dir()
    if naming.output == "-" and not single:
        raise UserError("--output -: standard output takes one image; name a folder for several")
    if "-" in inputs and not single:
        raise UserError("standard input (-) goes alone, without other inputs")

    output = Path(naming.output)
    if single and naming.output == "-":
        return [Job(None if inputs[0] == "-" else _file(inputs[0]), None)], 0
    if single and output.suffix.lower() in FORMATS and not output.is_dir():
        if naming.suffix:
            raise UserError(f"--suffix is for results in a folder, and --output {output} names a file")
        if naming.format and FORMATS[output.suffix.lower()] != f".{naming.format}":
            raise UserError(f"--format {naming.format} and --output {output} name two formats")
        pairs = [(None if inputs[0] == "-" else _file(inputs[0]), output)]
    elif inputs == ["-"]:
        raise UserError(
            f"--output {output}: name a file ending in {listed(list(FORMATS), 9)}, or -, for standard input"
        )
    else:
        foreign = output.suffix if single else output.suffix.lower() in FORMATS
        if foreign and not output.is_dir():
            raise UserError(
                f"--output {output}: for one image, end it in {listed(list(FORMATS), 9)}; else name a folder"
            )
        pairs = [(path, output / relative) for path, relative in _found(inputs, naming, output)]
    return _settled(pairs, naming)


def _beside(name, naming, factor):
    """`(input, its result)` for a file, whose result lies in the same folder, or for what is in a folder."""
    if name == "-":
        raise UserError("standard input (-) has no place beside it; name one with --output, or - for standard output")
    path, ending = Path(name), f"_x{factor:g}"
    if not path.is_dir():
        result = _renamed(Path(path.name), ending if naming.suffix is None else naming.suffix, naming)
        return [(_file(name), path.with_name(result.name))]
    folder = path if path.name not in ("", "..") else path.resolve()
    if not folder.name:
        raise UserError(f"{name} has no place beside it; name a folder with --output")
    results = folder.with_name(folder.name + ending)
    return [(file, results / relative) for file, relative in _found([name], naming, results)]


def _file(name):
    path = Path(name)
    if not path.is_file():
        raise UserError(f"no file or folder {path}")
    return path


def _found(inputs, naming, output):
    """`(input, its result's path below the output folder)` for all files named and in folders named.

    Results of an earlier run, where the output folder lies in an input folder, are no inputs.
    """
    results = output.resolve()
    found = []
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            images = [
                file
                for file in _inside(path, naming.recursive)
                if file.suffix.lower() in READ and (results == path.resolve() or results not in file.resolve().parents)
            ]
            if not images:
                deeper = "" if naming.recursive else "; --recursive looks into the folders below"
                left_out = not_readable([name], naming.recursive)
                others = "".join(f"; {listed(names, 3)}: {words}" for words, names in left_out.items())
                raise UserError(f"no image ({listed(list(READ), 20)}) in {path}{others or deeper}")
            found += [(file, _renamed(file.relative_to(path), naming.suffix or "", naming)) for file in images]
        else:
            found.append((_file(name), _renamed(Path(path.name), naming.suffix or "", naming)))
    return found


def _inside(folder, recursive) -> Iterator[Path]:
    """The files of a folder that are not hidden."""
    for file in sorted(folder.rglob("*") if recursive else folder.iterdir()):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            yield file


def not_readable(inputs: list[str], recursive: bool) -> dict[str, list[Path]]:
    """Images in the folders among `inputs` that cannot be read here: `{what would help: their names}`."""
    found: dict[str, list[Path]] = {}
    for folder in map(Path, inputs):
        for file in _inside(folder, recursive) if folder.is_dir() else ():
            if words := help_for(file):
                found.setdefault(words, []).append(file.relative_to(folder))
    return found


def _renamed(relative, suffix, naming):
    """A result's name: its input's, with the ending of another format where the input's is not written."""
    own = relative.suffix.lower()
    ending = relative.suffix if own in FORMATS else READ.get(own, relative.suffix)
    ending = f".{naming.format}" if naming.format else ending
    return relative.with_name(f"{relative.stem}{suffix}{ending}")


def _settled(pairs, naming):
    check_folder(pairs[0][1])
    if naming.skip_existing:  # *.png names results of the time before, too
        results = {target.resolve() for source, target in pairs if target.exists()}
        pairs = [(source, target) for source, target in pairs if source is None or source.resolve() not in results]
    sources = {path.resolve() for path, _ in pairs if path is not None}
    by_target: dict[Path, Job] = {}
    existing = []
    # Those that keep their ending keep their name: beside a.png, a.bmp becomes a_bmp.png.
    for source, target in sorted(pairs, key=_changes_ending):
        if target.resolve() in sources:
            raise UserError(f"{target} is an input; choose another --output, or a --suffix")
        before = by_target.get(target.resolve())
        if before is not None and before.source and before.source.resolve() == source.resolve():
            continue  # named twice
        if before is not None and _changes_ending((source, target)):
            target = target.with_name(f"{target.stem}_{source.suffix[1:]}{target.suffix}")
            before = by_target.get(target.resolve())
        if before is not None:
            raise UserError(
                f"{before.source} and {source} would both become {target}; choose another --output or --suffix for one"
            )
        by_target[target.resolve()] = Job(source, target)
        if target.exists():
            existing.append(target)
    if existing and not (naming.overwrite or naming.skip_existing):
        raise UserError(f"there is already {listed(existing, 3)}; give --overwrite or --skip_existing")
    skipped = set(existing) if naming.skip_existing else set()
    return [job for job in by_target.values() if job.target not in skipped], len(skipped)


def _changes_ending(pair):
    source, target = pair
    return source is not None and source.suffix.lower() != target.suffix.lower()
