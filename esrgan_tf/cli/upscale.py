"""`esrgan-tf upscale`: enlarges images of any kind and size."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from absl import flags

from esrgan_tf.cli.common import check_folder, define_models_dir, named_model, parse, quiet_tensorflow
from esrgan_tf.cli.progress import Lines, duration
from esrgan_tf.errors import UserError, listed
from esrgan_tf.weights.named import scale_of
from esrgan_tf.weights.packaged import DEFAULT, packaged_models

FLAGS = flags.FlagValues()
_INTEGER = {"flag_values": FLAGS, "lower_bound": 0}
flags.DEFINE_string(
    "output", None,
    "File for a single input, else folder; - is standard output. Left out, photo.jpg becomes photo_x4.jpg beside it, "
    "and a folder photos becomes photos_x4.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "model", None,
    f"Left out, {DEFAULT}, which is in the package; else a name of `models`, .keras file, SavedModel folder, run "
    "folder, or PyTorch weights (.safetensors, .pth).",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_integer("tile", None, "Input pixels on a side computed at once; else chosen from memory.", **_INTEGER)
flags.DEFINE_integer(
    "overlap", None, "Input pixels around each tile that are computed and discarded; else as far as the network looks, "
    "up to 48 (96 or 192 where it packs pixels) and a quarter of the tile.", **_INTEGER,
)  # fmt: skip
flags.DEFINE_integer("batch", 1, "Tiles computed at once; more than 1 helps small tiles on a GPU.", **_INTEGER)
flags.DEFINE_boolean("ensemble", False, "Average the eight flips and quarter turns; 8 times slower.", flag_values=FLAGS)
flags.DEFINE_float("outscale", None, "Times larger in the end, if not the network's own.", flag_values=FLAGS)
flags.DEFINE_boolean("recursive", False, "Also what is in folders below a folder.", flag_values=FLAGS)
flags.DEFINE_string(
    "suffix", None, "Added to the name of each result, before its ending; beside its original, _x4 if left out.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_enum(
    "format", None, ["png", "jpg", "webp", "tif"], "Of the results; else the input's, or png.", flag_values=FLAGS
)
flags.DEFINE_boolean("overwrite", False, "Write over results that exist.", flag_values=FLAGS)
flags.DEFINE_boolean("skip_existing", False, "Leave inputs out whose results exist.", flag_values=FLAGS)
flags.DEFINE_enum("alpha_upscaler", "bicubic", ["bicubic", "model"], "What enlarges transparency.", flag_values=FLAGS)
define_models_dir(FLAGS)
_USAGE = "upscale INPUT… [--output PATH] [--model M] [--tile N] [--overlap N]"


@dataclass(frozen=True)
class Job:
    """One input and where its result goes; None is standard input, and standard output."""

    source: Path | None
    target: Path | None


def main(argv: list[str]) -> None:
    """Enlarges as the flags say. See `esrgan-tf upscale --help`."""
    inputs = parse(FLAGS, argv, _USAGE)
    if FLAGS.outscale is not None and not 0 < FLAGS.outscale <= 64:
        raise UserError(f"--outscale {FLAGS.outscale:g}: must be above 0 and at most 64")
    _check_inputs(inputs)
    default = packaged_models()[DEFAULT] if FLAGS.model is None else None
    factor = FLAGS.outscale
    if factor is None:
        factor = default.scale if default else scale_of(FLAGS.model)
    # Results beside their originals are named by the factor; of a file, only its opened network tells it.
    named = FLAGS.output is not None or factor is not None
    jobs, skipped = _jobs(inputs, factor) if named else (None, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that temporary files are removed
    path = default.path if default else named_model(FLAGS, "model")
    say = _say
    left_out = _not_readable(inputs)
    for words, names in left_out.items():
        say(f"left out: {listed(names)}: {words}")

    with quiet_tensorflow():
        from tqdm import tqdm

        from esrgan_tf.image_files import in_words
        from esrgan_tf.interop import describe
        from esrgan_tf.loading import load_model
        from esrgan_tf.tiling import Enlarger

    model = load_model(path)
    enlarger = Enlarger(model, FLAGS.tile, FLAGS.overlap, FLAGS.batch, FLAGS.ensemble, notice=say)
    if jobs is None:
        jobs, skipped = _jobs(inputs, enlarger.scale)
    _tell(f"{FLAGS.model or DEFAULT}: {describe(model)}")
    began, failed = time.monotonic(), []
    lines = Lines(len(jobs), say)
    for number, job in enumerate(jobs, 1):
        name = "standard input" if job.source is None else job.source.name
        title = f"{name} ({number} of {len(jobs)})" if len(jobs) > 1 else name
        with tqdm(desc=title, unit="px", unit_scale=True, disable=None, leave=False, file=sys.stderr) as bar:
            try:
                with in_words():
                    lost = _enlarge(job, enlarger, lines.begin(title) if bar.disable else bar)
                for line in lost:
                    say(f"{name}: {line}")
            except (UserError, OSError, MemoryError) as error:
                failed.append(name)
                bar.clear()
                words = _in_words(error)
                say(words if job.source is None or str(job.source) in words else f"{job.source}: {words}")
        if bar.disable:
            lines.finished(number)
    _summarise(jobs, skipped, sum(map(len, left_out.values())), len(failed), time.monotonic() - began)
    if failed:
        raise SystemExit(1)


def _enlarge(job: Job, enlarger, bar) -> list[str]:
    """Runs one job; returns what is worth saying about its result."""
    import numpy as np

    from esrgan_tf import image_files

    if job.target is not None:
        job.target.parent.mkdir(parents=True, exist_ok=True)
    picture = image_files.read_picture(sys.stdin.buffer.read() if job.source is None else job.source)
    kind = _kind(job, picture.format)
    height, width, bands = picture.colour.shape
    if enlarger.channels not in (1, 3) or (enlarger.channels == 1 and bands == 3):
        raise UserError(
            f"{job.source or 'standard input'}: {bands} channels of colour, and the model takes {enlarger.channels}"
        )
    factor = enlarger.scale if FLAGS.outscale is None else FLAGS.outscale
    out_height, out_width = max(1, round(height * factor)), max(1, round(width * factor))
    image_files.check_result(out_width, out_height, kind)
    exact = (out_height, out_width) == (height * enlarger.scale, width * enlarger.scale)
    by_model = picture.alpha is not None and FLAGS.alpha_upscaler == "model"
    by_model = by_model and picture.alpha.min() < picture.alpha.max()  # a network keeps no constant to the last bit
    bar.reset(total=height * width * (1 + by_model))

    # At the network's own size the result is quantised tile by tile; else it is resized first, in float.
    dtype = picture.colour.dtype if exact else np.dtype(np.float32)
    folder = None if job.target is None else job.target.parent

    with contextlib.ExitStack() as canvases:

        def enlarged(pixels, before):
            size = (height * enlarger.scale, width * enlarger.scale, pixels.shape[2])
            canvas = canvases.enter_context(image_files.Canvas(*size, dtype, folder))
            _paint(canvas, pixels, enlarger, lambda done: bar.update(before + done - bar.n))
            if exact:
                return canvas.image()
            resized = image_files.resized(canvas.image(), out_width, out_height)
            return image_files.quantised(resized, picture.colour.dtype)

        colour, alpha = enlarged(picture.colour, 0), None
        if by_model:
            alpha = enlarged(picture.alpha, height * width)
        elif picture.alpha is not None:
            alpha = image_files.resized(image_files.from_array(picture.alpha), out_width, out_height)
        return image_files.write_picture(colour, alpha, picture, kind, job.target)


def _paint(canvas, pixels, enlarger, progress: Callable[[int], None]) -> None:
    """Enlarges gray or RGB pixels onto a canvas."""
    from esrgan_tf.tiling import quantise

    for row, column, piece in enlarger.tiles(pixels, progress):
        canvas.paint(row, column, piece if canvas.dtype.kind == "f" else quantise(piece, canvas.dtype))


def _check_inputs(inputs: list[str]) -> None:
    """Refuses what needs no knowledge of the network."""
    if not inputs:
        raise UserError(f"nothing to enlarge; name files, folders, or - for standard input: esrgan-tf {_USAGE}")
    if FLAGS.overwrite and FLAGS.skip_existing:
        raise UserError("--overwrite and --skip_existing contradict each other; give one")
    if FLAGS.suffix and ("/" in FLAGS.suffix or "\\" in FLAGS.suffix):
        raise UserError(f"--suffix {FLAGS.suffix}: is part of a name, not of a path")
    for name in inputs:
        if name != "-" and not Path(name).is_dir():
            _file(name)


def _jobs(inputs: list[str], factor: float | None) -> tuple[list[Job], int]:
    """What to do, every doubt settled before anything is done; and how many inputs are left out.

    `factor`, how many times larger results are, may be None where `--output` says their names.
    """
    from esrgan_tf.image_files import FORMATS, READ

    if FLAGS.output is None:
        return _settled([pair for name in inputs for pair in _beside(name, READ, factor)])
    single = len(inputs) == 1 and not Path(inputs[0]).is_dir()
    if FLAGS.output == "-" and not single:
        raise UserError("--output -: standard output takes one image; name a folder for several")
    if "-" in inputs and not single:
        raise UserError("standard input (-) goes alone, without other inputs")

    output = Path(FLAGS.output)
    if single and FLAGS.output == "-":
        return [Job(None if inputs[0] == "-" else _file(inputs[0]), None)], 0
    if single and output.suffix.lower() in FORMATS and not output.is_dir():
        if FLAGS.suffix:
            raise UserError(f"--suffix is for results in a folder, and --output {output} names a file")
        if FLAGS.format and FORMATS[output.suffix.lower()] != f".{FLAGS.format}":
            raise UserError(f"--format {FLAGS.format} and --output {output} name two formats")
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
        pairs = [(path, output / relative) for path, relative in _found(inputs, READ, output)]
    return _settled(pairs)


def _beside(name, formats, factor):
    """`(input, its result)` for a file, whose result lies in the same folder, or for what is in a folder."""
    if name == "-":
        raise UserError("standard input (-) has no place beside it; name one with --output, or - for standard output")
    path, ending = Path(name), f"_x{factor:g}"
    if not path.is_dir():
        result = _renamed(Path(path.name), ending if FLAGS.suffix is None else FLAGS.suffix, formats)
        return [(_file(name), path.with_name(result.name))]
    folder = path if path.name not in ("", "..") else path.resolve()
    if not folder.name:
        raise UserError(f"{name} has no place beside it; name a folder with --output")
    results = folder.with_name(folder.name + ending)
    return [(file, results / relative) for file, relative in _found([name], formats, results)]


def _file(name):
    path = Path(name)
    if not path.is_file():
        raise UserError(f"no file or folder {path}")
    return path


def _found(inputs, formats, output):
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
                for file in _inside(path)
                if file.suffix.lower() in formats
                and (results == path.resolve() or results not in file.resolve().parents)
            ]
            if not images:
                deeper = "" if FLAGS.recursive else "; --recursive looks into the folders below"
                others = "".join(f"; {listed(names, 3)}: {words}" for words, names in _not_readable([name]).items())
                raise UserError(f"no image ({listed(list(formats), 20)}) in {path}{others or deeper}")
            found += [(file, _renamed(file.relative_to(path), FLAGS.suffix or "", formats)) for file in images]
        else:
            found.append((_file(name), _renamed(Path(path.name), FLAGS.suffix or "", formats)))
    return found


def _inside(folder):
    """The files of a folder that are not hidden."""
    for file in sorted(folder.rglob("*") if FLAGS.recursive else folder.iterdir()):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            yield file


def _not_readable(inputs):
    """Images in the folders among `inputs` that cannot be read here: `{what would help: their names}`."""
    from esrgan_tf.image_files import help_for

    found = {}
    for folder in map(Path, inputs):
        for file in _inside(folder) if folder.is_dir() else ():
            if words := help_for(file):
                found.setdefault(words, []).append(file.relative_to(folder))
    return found


def _renamed(relative, suffix, formats):
    """A result's name: its input's, with the ending of another format where the input's is not written."""
    from esrgan_tf.image_files import FORMATS

    own = relative.suffix.lower()
    ending = relative.suffix if own in FORMATS else formats.get(own, relative.suffix)
    ending = f".{FLAGS.format}" if FLAGS.format else ending
    return relative.with_name(f"{relative.stem}{suffix}{ending}")


def _settled(pairs):
    check_folder(pairs[0][1])
    if FLAGS.skip_existing:  # *.png names results of the time before, too
        results = {target.resolve() for source, target in pairs if target.exists()}
        pairs = [(source, target) for source, target in pairs if source is None or source.resolve() not in results]
    sources, by_target, existing = {path.resolve() for path, _ in pairs if path is not None}, {}, []
    # Those that keep their ending keep their name: beside a.png, a.bmp becomes a_bmp.png.
    for source, target in sorted(pairs, key=_changes_ending):
        if target.resolve() in sources:
            raise UserError(f"{target} is an input; choose another --output, or a --suffix")
        before = by_target.get(target.resolve())
        if before is not None and before.source.resolve() == source.resolve():
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
    if existing and not (FLAGS.overwrite or FLAGS.skip_existing):
        raise UserError(f"there is already {listed(existing, 3)}; give --overwrite or --skip_existing")
    skipped = set(existing) if FLAGS.skip_existing else set()
    return [job for job in by_target.values() if job.target not in skipped], len(skipped)


def _changes_ending(pair):
    source, target = pair
    return source is not None and source.suffix.lower() != target.suffix.lower()


def _kind(job, own):
    from esrgan_tf.image_files import FORMATS

    if FLAGS.format:
        return f".{FLAGS.format}"
    return own if job.target is None else FORMATS.get(job.target.suffix.lower(), own)


def _say(line):
    print(f"esrgan-tf: {line}", file=sys.stderr)


def _in_words(error):
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"


def _tell(line):
    """On standard output, unless the image goes there."""
    print(line, file=sys.stderr if FLAGS.output == "-" else sys.stdout)


def _summarise(jobs, skipped, left_out, failed, seconds):
    done = len(jobs) - failed
    places = sorted({job.target.parent for job in jobs if job.target is not None})
    where = ""
    if done and len(jobs) == 1 and places:
        where = f": {jobs[0].target}"
    elif done and places:
        where = f", in {listed([str(place) for place in places])}"
    parts = [f"{done} enlarged in {duration(seconds)}{where}"]
    parts += [f"{skipped} skipped, as their results exist"] if skipped else []
    parts += [f"{left_out} left out"] if left_out else []
    parts += [f"{failed} failed"] if failed else []
    _tell(", ".join(parts))
