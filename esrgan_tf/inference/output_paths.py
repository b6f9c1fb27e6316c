"""Paths of results, checked before the first image is upscaled. Imports no TensorFlow."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from esrgan_tf.errors import UserError, listed
from esrgan_tf.files import check_folder, is_loop
from esrgan_tf.imaging.image_formats import READ, WRITTEN, help_for, is_read
from esrgan_tf.imaging.listing import ABSENT, list_images, why_no_file, words_for


@dataclass(frozen=True)
class Job:
    """An input and the path of its result; None is standard input or standard output."""

    source: Path | None
    target: Path | None


@dataclass(frozen=True)
class Naming:
    """Options that name results; the help of `esrgan-tf upscale` explains the flags of the same names."""

    output: str | None = None
    suffix: str | None = None
    format: str | None = None
    recursive: bool = False
    overwrite: bool = False
    skip_existing: bool = False


@dataclass(frozen=True)
class Plan:
    """The jobs of a call, and the inputs that are left out.

    Attributes:
        jobs: inputs with the paths of their results.
        skipped: number of inputs that are left out because their results exist.
        failed: a line for each input that cannot be read, or has an impossible result path.
        left_out: images of unsupported formats, `{advice: file names}`.
    """

    jobs: list[Job] = field(default_factory=list)
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=dict)


def check_inputs(inputs: list[str], naming: Naming) -> None:
    """Checks inputs and flags before a network is loaded.

    Raises:
        UserError: no input exists, or flags contradict each other.
    """
    if naming.overwrite and naming.skip_existing:
        raise UserError("--overwrite and --skip_existing contradict each other; give one")
    if naming.suffix and ("/" in naming.suffix or "\\" in naming.suffix):
        raise UserError(f"--suffix {naming.suffix}: must be part of a name, without / or \\")
    refused = [_refusal(Path(name)) for name in inputs if name != "-"]
    if refused and len(refused) == len(inputs) and all(refused):
        raise UserError(listed(refused))


def plan(inputs: list[str], naming: Naming, factor: float | None) -> Plan:
    """Plans the jobs of a call.

    Inputs that cannot be read are listed in `failed`. If no other inputs exist, they raise an error.

    Args:
        inputs: files, folders, or `-`.
        factor: upscaling factor, for the names of results; may be None if `naming.output` gives their names.

    Raises:
        UserError: two results have the same name, a result exists, a result's path is impossible, or no input can be
            read.
    """
    plan = Plan()
    pairs = _pairs(inputs, naming, factor, plan)
    plan = _plan_jobs(pairs, naming, plan)
    if plan.failed and not plan.jobs and not plan.skipped:
        raise UserError(listed(plan.failed))
    return plan


def _pairs(inputs, naming, factor, plan):
    """`(input, result)` for each readable input; other inputs are added to the plan's `failed` and `left_out`."""
    if naming.output is None:
        return [pair for name in inputs for pair in _default_pairs(name, naming, factor, plan)]
    single = len(inputs) == 1 and not os.path.isdir(inputs[0])
    if naming.output == "-" and not single:
        raise UserError("--output -: standard output takes a single image; name a folder for several images")
    if "-" in inputs and not single:
        raise UserError("standard input (-) cannot be combined with other inputs")

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
            f"--output {output}: for standard input, name a file with the extension {listed(list(WRITTEN), 9)}, or -"
        )
    other_extension = output.suffix if single else output.suffix.lower() in WRITTEN
    if other_extension and not output.is_dir():
        raise UserError(
            f"--output {output}: for one image, use the extension {listed(list(WRITTEN), 9)}; else name a folder"
        )
    return [(path, output / relative) for name in inputs for path, relative in _images_of(name, naming, output, plan)]


def _default_pairs(name, naming, factor, plan):
    """`(input, result)` without `--output`: results of a file are in its folder, those of a folder in a new folder."""
    if name == "-":
        raise UserError("standard input (-) needs --output with the name of a file, or - for standard output")
    path, default_suffix = Path(name), f"_x{factor:g}"
    if not os.path.isdir(path):
        result = _renamed(Path(path.name), default_suffix if naming.suffix is None else naming.suffix, naming)
        return [(file, file.with_name(result.name)) for file in _files(name, plan)]
    folder = path if path.name not in ("", "..") else path.resolve()
    if not folder.name:
        raise UserError(f"the result of {name} needs a folder; name it with --output")
    results = folder.with_name(folder.name + default_suffix)
    return [(file, results / relative) for file, relative in _images_of(name, naming, results, plan)]


def _files(name, plan):
    """The file of that name in a list, or an empty list and a line in `failed`."""
    refusal = _refusal(Path(name))
    plan.failed.extend([refusal] if refusal else [])
    return [] if refusal else [Path(name)]


def _refusal(path):
    """A message for an input that is neither a file nor a folder; None for files and folders."""
    words = None if os.path.isdir(path) else why_no_file(path)
    return words and (f"{words} {path}" if words == ABSENT else f"{path}: {words}")


def _images_of(name, naming, output, plan):
    """`(input, result's path below the output folder)` for a file, or for each image in a folder.

    If the output folder is inside an input folder, its images are results of an earlier run and not inputs.
    """
    path = Path(name)
    if not os.path.isdir(path):
        return [(file, _renamed(Path(path.name), naming.suffix or "", naming)) for file in _files(name, plan)]
    results = _real(output)
    in_place = results == _real(path)
    listing = list_images(path, lambda file: is_read(file) or bool(help_for(file)), naming.recursive)
    images: list[Path] = []
    not_read: dict[str, list[Path]] = {}
    for file in listing.files:
        if advice := help_for(file):
            not_read.setdefault(advice, []).append(file.relative_to(path))
        elif in_place or results not in _real(file).parents:
            images.append(file)
    plan.failed.extend(f"{problem}: {words}" for problem, words in listing.problems.items())
    if not images and not listing.problems:
        deeper = "" if naming.recursive else "; --recursive searches subfolders too"
        others = "".join(f"; {listed(names, 3)}: {advice}" for advice, names in not_read.items())
        plan.failed.append(f"no image ({listed(list(READ), 20)}) in {path}{others or deeper}")
    for advice, names in not_read.items():
        plan.left_out.setdefault(advice, []).extend(names)
    return [(file, _renamed(file.relative_to(path), naming.suffix or "", naming)) for file in images]


def _real(path):
    """The path without links; unlike `Path.resolve`, accepts links that form a loop."""
    return Path(os.path.realpath(path))


def _renamed(relative, suffix, naming):
    """The input's name with the suffix, and with the extension of a format that can be written."""
    in_lower_case = relative.suffix.lower()
    extension = relative.suffix if in_lower_case in WRITTEN else READ.get(in_lower_case, relative.suffix)
    extension = f".{naming.format}" if naming.format else extension
    return relative.with_name(f"{relative.stem}{suffix}{extension}")


def _plan_jobs(pairs, naming, plan):
    """The plan with its jobs; no result replaces another result, an input, or a file that must be kept."""
    if pairs and pairs[0][1] is None:
        return replace(plan, jobs=[Job(*pairs[0])])
    if pairs:
        check_folder(pairs[0][1])
    pairs, existing_targets = _check_targets(pairs, plan)
    if naming.skip_existing:  # *.png includes results of an earlier call
        results = {_real(target) for target in existing_targets}
        pairs = [(source, target) for source, target in pairs if source is None or _real(source) not in results]
    sources = {_real(path) for path, _ in pairs if path is not None}
    by_target: dict[Path, Job] = {}
    existing = []
    # Inputs that keep their extension keep their name. In a folder with a.png, the result of a.bmp is a_bmp.png.
    for source, target in sorted(pairs, key=_changes_extension):
        if _real(target) in sources:
            raise UserError(f"{target} is an input; choose another --output, or a --suffix")
        before = by_target.get(_real(target))
        if before is not None and before.source and _real(before.source) == _real(source):
            continue  # the input was given twice
        if before is not None and _changes_extension((source, target)):
            target = target.with_name(f"{target.stem}_{source.suffix[1:]}{target.suffix}")
            before = by_target.get(_real(target))
        if before is not None:
            raise UserError(
                f"{before.source} and {source} would both become {target}; choose another --output or --suffix for one"
            )
        by_target[_real(target)] = Job(source, target)
        if target in existing_targets or target.exists():
            existing.append(target)
    if existing and not (naming.overwrite or naming.skip_existing):
        raise UserError(f"there is already {listed(existing, 3)}; give --overwrite or --skip_existing")
    skipped = set(existing) if naming.skip_existing else set()
    jobs = [job for job in by_target.values() if job.target not in skipped]
    return replace(plan, jobs=jobs, skipped=len(skipped))


def _check_targets(pairs, plan):
    """The pairs with result paths that the disk accepts, and the results that exist."""
    possible, existing = [], set()
    for source, target in pairs:
        try:
            os.stat(target)
            existing.add(target)
        except OSError as error:
            # A file in place of the folder is reported when the folder is made. A broken link's target is created.
            if is_loop(error) or not isinstance(error, FileNotFoundError | NotADirectoryError):
                plan.failed.append(f"{source or 'standard input'}: {target}: {words_for(error, target)}")
                continue
        possible.append((source, target))
    return possible, existing


def _changes_extension(pair):
    source, target = pair
    return source is not None and source.suffix.lower() != target.suffix.lower()
