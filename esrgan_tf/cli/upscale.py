"""`esrgan-tf upscale`: enlarges images of any kind and size."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from absl import flags

from esrgan_tf.cli.common import define_models_dir, named_model, parse
from esrgan_tf.cli.progress import Lines, duration
from esrgan_tf.errors import UserError, first_line, listed, printable
from esrgan_tf.imaging.image_formats import WRITING
from esrgan_tf.inference.blur_kernels import check_noise, read_kernel
from esrgan_tf.inference.engines.opening import ENGINES, needs_keras, open_runner
from esrgan_tf.inference.output_paths import Naming, Plan, check_inputs, plan
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.quiet import quiet_tensorflow
from esrgan_tf.weights.bundled import BLENDED, DEFAULT, TIMES_2, default_model
from esrgan_tf.weights.model_names import scale_of

FLAGS = flags.FlagValues()
_INTEGER: dict[str, Any] = {"flag_values": FLAGS, "lower_bound": 0}
flags.DEFINE_string(
    "output", None,
    "File for a single input, else folder; - is standard output. Left out, photo.jpg becomes photo_x4.jpg beside it, "
    "and a folder photos becomes photos_x4.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "model", None,
    f"Left out, {DEFAULT}, which is in the package, or {TIMES_2} for an --outscale of 2 and less; else a name of "
    "`models`, .keras file, SavedModel folder, run folder, or PyTorch weights (.safetensors, .pth).",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_float(
    "alpha", None,
    "Without --model, a blend of the packaged networks, from faithful (0) to sharp (1); of a run, its two phases.",
    flag_values=FLAGS, lower_bound=0.0, upper_bound=1.0,
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
    "format", None, [kind[1:] for kind in WRITING], "Of the results; else the input's, or png.", flag_values=FLAGS
)
flags.DEFINE_boolean("overwrite", False, "Write over results that exist.", flag_values=FLAGS)
flags.DEFINE_boolean("skip_existing", False, "Leave inputs out whose results exist.", flag_values=FLAGS)
flags.DEFINE_enum("alpha_upscaler", "bicubic", ["bicubic", "model"], "What enlarges transparency.", flag_values=FLAGS)
flags.DEFINE_float(
    "noise", 0.0, "How noisy the image is, of 255, for models that take it (DPSR's); at most 50.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "kernel", None,
    "What blurred the image: a small picture of what became of a point, or a .npy array. With such a model only; each "
    "tile is then solved and enlarged 15 times.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_enum(
    "precision", "auto", ["float32", "bfloat16", "auto"],
    "What is computed in; auto is bfloat16 for 8-bit images where the processor or GPU has instructions for it and a "
    "trial shows it faster, else float32.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_enum(
    "engine", "auto", list(ENGINES),
    "Program that computes; auto is TensorFlow with an NVIDIA GPU or a model that is not bundled, else OpenVINO.",
    flag_values=FLAGS,
)  # fmt: skip
define_models_dir(FLAGS)
_USAGE = "upscale INPUT… [--output PATH] [--model M] [--tile N] [--overlap N]"


def main(argv: list[str]) -> None:
    """Enlarges as the flags say. See `esrgan-tf upscale --help`."""
    inputs = parse(FLAGS, argv, _USAGE)
    check_noise(FLAGS.noise, "--noise")
    kernel = None if FLAGS.kernel is None else read_kernel(FLAGS.kernel)
    if kernel is not None and (FLAGS.ensemble or FLAGS.batch > 1):
        raise UserError("--kernel goes with neither --ensemble nor --batch")
    if kernel is not None and FLAGS.precision == "bfloat16":
        raise UserError("--kernel is computed in float32 only; leave --precision out")
    if FLAGS.outscale is not None and not 0 < FLAGS.outscale <= 64:
        raise UserError(f"--outscale {FLAGS.outscale:g}: must be above 0 and at most 64")
    if not inputs:
        raise UserError(f"nothing to enlarge; name files, folders, or - for standard input: esrgan-tf {_USAGE}")
    naming = Naming(FLAGS.output, FLAGS.suffix, FLAGS.format, FLAGS.recursive, FLAGS.overwrite, FLAGS.skip_existing)
    check_inputs(inputs, naming)
    blended = FLAGS.alpha is not None  # networks that enlarge four times
    default = default_model(None if blended else FLAGS.outscale) if FLAGS.model is None else None
    factor = FLAGS.outscale
    if factor is None:
        factor = default.scale if default else scale_of(FLAGS.model)
    # Results beside their originals are named by the factor; of a file, only its opened network tells it.
    named = FLAGS.output is not None or factor is not None
    planned = plan(inputs, naming, factor) if named else None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that temporary files are removed
    path = default.path if default else named_model(FLAGS, "model")
    if planned is not None:
        _say_of(planned)

    upscaler, description = _upscaler(path, default is not None, kernel)
    if planned is None:
        planned = plan(inputs, naming, upscaler.scale)
        _say_of(planned)
    _report(f"{_title(default)}: {description}")
    began = time.monotonic()
    failed = _upscale_all(planned.jobs, upscaler)
    _summarise(planned, failed, time.monotonic() - began, upscaler)
    if failed or planned.failed:
        raise SystemExit(1)


def _say_of(planned: Plan):
    for words, names in planned.left_out.items():
        _say(f"left out: {listed(names)}: {words}")
    for line in planned.failed:
        _say(line)


def _upscaler(path, bundled, kernel):
    """What the flags ask for, and a line on its network."""
    path = None if bundled and FLAGS.alpha is not None else path
    if kernel is not None:
        with quiet_tensorflow():
            from esrgan_tf.inference.deblurring import DeblurringUpscaler
            from esrgan_tf.runs.loading import load_model
            from esrgan_tf.weights.torch_files import describe

        model = load_model(path, FLAGS.alpha)
        return DeblurringUpscaler(model, kernel, FLAGS.noise, FLAGS.tile, FLAGS.overlap, _say), describe(model)
    starting = needs_keras(path, FLAGS.alpha, FLAGS.engine)
    with quiet_tensorflow() if starting else contextlib.nullcontext():
        runner, description = open_runner(path, FLAGS.alpha, FLAGS.engine, FLAGS.precision, FLAGS.noise / 255)
    sizes = FLAGS.tile, FLAGS.overlap, FLAGS.batch, FLAGS.ensemble
    return Upscaler(runner, *sizes, notice=_say, noise=FLAGS.noise), description


def _upscale_all(jobs, upscaler) -> int:
    """One after another; how many failed."""
    from tqdm import tqdm

    from esrgan_tf.imaging.reading import translate_vips_error
    from esrgan_tf.inference.image_files import upscale_file

    failed = 0
    extension, by_model = FLAGS.format and f".{FLAGS.format}", FLAGS.alpha_upscaler == "model"
    lines = Lines(len(jobs), _say)
    for number, job in enumerate(jobs, 1):
        name = "standard input" if job.source is None else printable(job.source.name)
        title = f"{name} ({number} of {len(jobs)})" if len(jobs) > 1 else name
        with tqdm(desc=title, unit="px", unit_scale=True, disable=None, leave=False, file=sys.stderr) as bar:
            try:
                with translate_vips_error():
                    progress = _progress(lines.begin(title) if bar.disable else bar)
                    lost = upscale_file(job.source, job.target, upscaler, FLAGS.outscale, extension, by_model, progress)
                for line in lost:
                    _say(f"{name}: {line}")
            except Exception as error:  # whatever one file does ends that file; the others are enlarged
                failed += 1
                bar.clear()
                words = _translated(error, job.source)
                _say(words if job.source is None or str(job.source) in words else f"{job.source}: {words}")
        if bar.disable:
            lines.finished(number)
    return failed


def _title(default):
    title = FLAGS.model or (default.name if FLAGS.alpha is None else " and ".join(BLENDED))
    return title if FLAGS.alpha is None else f"{title}, alpha {FLAGS.alpha:g}"


def _progress(bar) -> Callable[[int, int], None]:
    def progress(done, total):
        if not done:
            bar.reset(total=total)
        bar.update(done - bar.n)

    return progress


def _say(line):
    print(f"esrgan-tf: {printable(line)}", file=sys.stderr)


def _translated(error, source):
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    if isinstance(error, OSError):
        elsewhere = error.filename and error.filename != str(source)
        return f"{error.strerror or error}{f': {error.filename}' if elsewhere else ''}"
    return f"{type(error).__name__}: {first_line(error)}"


def _report(line):
    """On standard output, unless the image goes there."""
    print(printable(line), file=sys.stderr if FLAGS.output == "-" else sys.stdout)


def _summarise(planned, failed, seconds, upscaler):
    jobs = planned.jobs
    done, left_out, failed = len(jobs) - failed, sum(map(len, planned.left_out.values())), failed + len(planned.failed)
    places = sorted({job.target.parent for job in jobs if job.target is not None})
    where = ""
    if done and len(jobs) == 1 and places:
        where = f": {jobs[0].target}"
    elif done and places:
        where = f", in {listed([str(place) for place in places])}"
    rounded = " in bfloat16" if upscaler.precision == "bfloat16" else ""
    parts = [f"{done} enlarged in {duration(seconds)}{rounded}{where}"]
    parts += [f"{planned.skipped} skipped, as their results exist"] if planned.skipped else []
    parts += [f"{left_out} left out"] if left_out else []
    parts += [f"{failed} failed"] if failed else []
    _report(", ".join(parts))
