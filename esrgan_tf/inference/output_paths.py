"""Where the results of many inputs go, every doubt settled before anything is done. Imports no TensorFlow."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from esrgan_tf.errors import UserError, listed
from esrgan_tf.files import check_folder, is_loop
from esrgan_tf.imaging.image_formats import READ, WRITTEN, help_for, is_read
from esrgan_tf.imaging.listing import ABSENT, list_images, why_no_file, words_for


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


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        jobs: inputs, and where their results go.
        skipped: how many inputs are left out because their results exist.
        failed: a line for each input that cannot be read, or has no place for its result.
        left_out: images of formats that are not read: `{what would help: their names}`.
    """

    jobs: list[Job] = field(default_factory=list)
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=dict)


def check_inputs(inputs: list[str], naming: Naming) -> None:
    """Refuses what needs no knowledge of the network.

    Raises:
        UserError: no input that is there, or flags that contradict one another.
    """
    if naming.overwrite and naming.skip_existing:
        raise UserError("--overwrite and --skip_existing contradict each other; give one")
    if naming.suffix and ("/" in naming.suffix or "\\" in naming.suffix):
        raise UserError(f"--suffix {naming.suffix}: is part of a name, not of a path")
    refused = [_refusal(Path(name)) for name in inputs if name != "-"]
    if refused and len(refused) == len(inputs) and all(refused):
        raise UserError(listed(refused))


def plan(inputs: list[str], naming: Naming, factor: float | None) -> Plan:
    """What to do.

    An input that cannot be read ends up among `failed`, unless there is no other.

    Args:
        inputs: files, folders, or `-`.
        factor: how many times larger results are; may be None where `naming.output` says their names.

    Raises:
        UserError: two results of one name, a result that exists, a name that is no place for one, nothing to do.
    """
    plan = Plan()
    pairs = _pairs(inputs, naming, factor, plan)
    plan = _settled(pairs, naming, plan)
    if plan.failed and not plan.jobs and not plan.skipped:
        raise UserError(listed(plan.failed))
    return plan


def _pairs(inputs, naming, factor, plan):
    """`(input, its result)` for all that can be read; what cannot goes into the plan."""
    if naming.output is None:
        return [pair for name in inputs for pair in _beside(name, naming, factor, plan)]
    single = len(inputs) == 1 and not os.path.isdir(inputs[0])
    if naming.output == "-" and not single:
        raise UserError("--output -: standard output takes one image; name a folder for several")
    if "-" in inputs and not single:
        raise UserError("standard input (-) goes alone, without other inputs")

    output = Path(naming.output)
    if single and naming.output == "-":
        return [(None, None)] if inputs[0] == "-" else [(file, None) for file in _files(inputs[0], plan)]
    if single and output.suffix.lower() in WRITTEN and not output.is_dir():
        if naming.suffix:
            raise UserError(f"--suffix is for results in a folder, and --output {output} names a file")
        if naming.format and WRITTEN[output.suffix.lower()] != f".{naming.format}":
            raise UserError(f"--format {naming.format} and --output {output} name two formats")
        return [(None, output)] if inputs[0] == "-" else [(file, output) for file in _files(inputs[0], plan)]
    if inputs == ["-"]:
        raise UserError(
            f"--output {output}: name a file ending in {listed(list(WRITTEN), 9)}, or -, for standard input"
        )
    foreign = output.suffix if single else output.suffix.lower() in WRITTEN
    if foreign and not output.is_dir():
        raise UserError(f"--output {output}: for one image, end it in {listed(list(WRITTEN), 9)}; else name a folder")
    return [(path, output / relative) for name in inputs for path, relative in _found(name, naming, output, plan)]


def _beside(name, naming, factor, plan):
    """`(input, its result)` for a file, whose result lies in the same folder, or for what is in a folder."""
    if name == "-":
        raise UserError("standard input (-) has no place beside it; name one with --output, or - for standard output")
    path, extension = Path(name), f"_x{factor:g}"
    if not os.path.isdir(path):
        result = _renamed(Path(path.name), extension if naming.suffix is None else naming.suffix, naming)
        return [(file, file.with_name(result.name)) for file in _files(name, plan)]
    folder = path if path.name not in ("", "..") else path.resolve()
    if not folder.name:
        raise UserError(f"{name} has no place beside it; name a folder with --output")
    results = folder.with_name(folder.name + extension)
    return [(file, results / relative) for file, relative in _found(name, naming, results, plan)]


def _files(name, plan):
    """The file of that name, if it is one."""
    refusal = _refusal(Path(name))
    plan.failed.extend([refusal] if refusal else [])
    return [] if refusal else [Path(name)]


def _refusal(path):
    """A line on an input that is neither a file nor a folder; None for those."""
    words = None if os.path.isdir(path) else why_no_file(path)
    return words and (f"{words} {path}" if words == ABSENT else f"{path}: {words}")


def _found(name, naming, output, plan):
    """`(input, its result's path below the output folder)` for a file, or for the images in a folder.

    Results of an earlier run, where the output folder lies in an input folder, are no inputs.
    """
    path = Path(name)
    if not os.path.isdir(path):
        return [(file, _renamed(Path(path.name), naming.suffix or "", naming)) for file in _files(name, plan)]
    results = _real(output)
    everything = results == _real(path)
    listing = list_images(path, lambda file: is_read(file) or bool(help_for(file)), naming.recursive)
    images: list[Path] = []
    not_read: dict[str, list[Path]] = {}
    for file in listing.files:
        if words := help_for(file):
            not_read.setdefault(words, []).append(file.relative_to(path))
        elif everything or results not in _real(file).parents:
            images.append(file)
    plan.failed.extend(f"{problem}: {words}" for problem, words in listing.problems.items())
    if not images and not listing.problems:
        deeper = "" if naming.recursive else "; --recursive looks into the folders below"
        others = "".join(f"; {listed(names, 3)}: {words}" for words, names in not_read.items())
        plan.failed.append(f"no image ({listed(list(READ), 20)}) in {path}{others or deeper}")
    for words, names in not_read.items():
        plan.left_out.setdefault(words, []).extend(names)
    return [(file, _renamed(file.relative_to(path), naming.suffix or "", naming)) for file in images]


def _real(path):
    """The path without links; unlike `Path.resolve`, also of links that lead back to themselves."""
    return Path(os.path.realpath(path))


def _renamed(relative, suffix, naming):
    """A result's name: its input's, with the ending of another format where the input's is not written."""
    own = relative.suffix.lower()
    extension = relative.suffix if own in WRITTEN else READ.get(own, relative.suffix)
    extension = f".{naming.format}" if naming.format else extension
    return relative.with_name(f"{relative.stem}{suffix}{extension}")


def _settled(pairs, naming, plan):
    """The plan with its jobs: no two of one result, and none over an input or over what is to be kept."""
    if pairs and pairs[0][1] is None:
        return replace(plan, jobs=[Job(*pairs[0])])
    if pairs:
        check_folder(pairs[0][1])
    pairs, there = _with_a_place(pairs, plan)
    if naming.skip_existing:  # *.png names results of the time before, too
        results = {_real(target) for target in there}
        pairs = [(source, target) for source, target in pairs if source is None or _real(source) not in results]
    sources = {_real(path) for path, _ in pairs if path is not None}
    by_target: dict[Path, Job] = {}
    existing = []
    # Those that keep their ending keep their name: beside a.png, a.bmp becomes a_bmp.png.
    for source, target in sorted(pairs, key=_changes_extension):
        if _real(target) in sources:
            raise UserError(f"{target} is an input; choose another --output, or a --suffix")
        before = by_target.get(_real(target))
        if before is not None and before.source and _real(before.source) == _real(source):
            continue  # named twice
        if before is not None and _changes_extension((source, target)):
            target = target.with_name(f"{target.stem}_{source.suffix[1:]}{target.suffix}")
            before = by_target.get(_real(target))
        if before is not None:
            raise UserError(
                f"{before.source} and {source} would both become {target}; choose another --output or --suffix for one"
            )
        by_target[_real(target)] = Job(source, target)
        if target in there or target.exists():
            existing.append(target)
    if existing and not (naming.overwrite or naming.skip_existing):
        raise UserError(f"there is already {listed(existing, 3)}; give --overwrite or --skip_existing")
    skipped = set(existing) if naming.skip_existing else set()
    jobs = [job for job in by_target.values() if job.target not in skipped]
    return replace(plan, jobs=jobs, skipped=len(skipped))


def _with_a_place(pairs, plan):
    """The pairs whose results have a name that the disk takes, and which of the results exist."""
    possible, there = [], set()
    for source, target in pairs:
        try:
            os.stat(target)
            there.add(target)
        except OSError as error:
            # What is in the way of the folder is told when it is made; a link to nothing is written through.
            if is_loop(error) or not isinstance(error, FileNotFoundError | NotADirectoryError):
                plan.failed.append(f"{source or 'standard input'}: {target}: {words_for(error, target)}")
                continue
        possible.append((source, target))
    return possible, there


def _changes_extension(pair):
    source, target = pair
    return source is not None and source.suffix.lower() != target.suffix.lower()
