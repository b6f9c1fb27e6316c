"""`esrgan-tf upscale`: upscales images of any kind and size."""

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
from esrgan_tf.inference.blur_kernels import read_kernel
from esrgan_tf.inference.engines.opening import ENGINES, load_keras, needs_keras, open_runner
from esrgan_tf.inference.output_paths import Naming, Plan, check_inputs, plan
from esrgan_tf.inference.tiles import Upscaler
from esrgan_tf.models.noise_level import check_noise
from esrgan_tf.quiet import quiet_tensorflow
from esrgan_tf.weights.bundled import BLENDED, DEFAULT, TIMES_2, default_model
from esrgan_tf.weights.model_names import scale_of

FLAGS = flags.FlagValues()
_INTEGER: dict[str, Any] = {"flag_values": FLAGS, "lower_bound": 0}
flags.DEFINE_string(
    "output", None,
    "File for a single input, folder for several; - is standard output. Default: photo.jpg becomes photo_x4.jpg beside "
    "it, and a folder photos becomes photos_x4.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "model", None,
    "Name of a model, .keras file, SavedModel folder, run folder, or PyTorch weights (.safetensors, .pth). "
    f"Default: the bundled model {DEFAULT}, or {TIMES_2} for an --outscale up to 2.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_float(
    "alpha", None,
    "Interpolation between two networks, from faithful (0) to sharp (1): the bundled ones without --model, or the two "
    "phases of a run. Default: no blend of the bundled ones, or the run's own value.",
    flag_values=FLAGS, lower_bound=0.0, upper_bound=1.0,
)  # fmt: skip
flags.DEFINE_integer(
    "tile", None, "Width and height of a tile, in input pixels. Default: chosen from the free memory.", **_INTEGER
)
flags.DEFINE_integer(
    "overlap", None, "Input pixels around each tile that are computed and discarded. Default: the network's receptive "
    "field, limited to a quarter of the tile and 48 pixels (more for networks that pack pixels).", **_INTEGER,
)  # fmt: skip
flags.DEFINE_integer("batch", 1, "Tiles per batch. More than 1 speeds up small tiles on a GPU.", **_INTEGER)
flags.DEFINE_boolean(
    "ensemble", False, "Self-ensemble: average the results of eight flips and rotations. Takes 8 times as long.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_float("outscale", None, "Scale factor of the result. Default: the network's scale.", flag_values=FLAGS)
flags.DEFINE_boolean("recursive", False, "Include the subfolders of a folder.", flag_values=FLAGS)
flags.DEFINE_string(
    "suffix", None,
    "Suffix of the results' names, before the extension. Default: _x4 (the scale factor) beside the originals, no "
    "suffix in --output.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_enum(
    "format", None, [kind[1:] for kind in WRITING],
    "File format of the results. Default: the input's, or png if it cannot be written.", flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_boolean("overwrite", False, "Overwrite existing results.", flag_values=FLAGS)
flags.DEFINE_boolean("skip_existing", False, "Skip inputs with an existing result.", flag_values=FLAGS)
flags.DEFINE_enum(
    "alpha_upscaler", "bicubic", ["bicubic", "model"], "Upscaler of the alpha channel.", flag_values=FLAGS
)
flags.DEFINE_float(
    "noise", 0.0, "Noise level of the image, from 0 to 50 of 255, for noise-conditioned models (DPSR).",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "kernel", None,
    "Blur kernel of the image, as a small picture of the point-spread function or a .npy array. Needs a "
    "noise-conditioned model; each tile is upscaled 15 times. Default: no deblurring.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_enum(
    "precision", "auto", ["float32", "bfloat16", "auto"],
    "Precision of inference. For 8-bit images, auto is bfloat16 if the hardware has instructions for it. "
    "Otherwise auto is float32.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_enum(
    "engine", "auto", list(ENGINES),
    "Engine of inference. For bundled models without an NVIDIA GPU, auto is OpenVINO. Otherwise auto is TensorFlow.",
    flag_values=FLAGS,
)  # fmt: skip
define_models_dir(FLAGS)
GROUPS = {
    "input and output": (
        "output", "outscale", "format", "suffix", "recursive", "overwrite", "skip_existing",
    ),
    "model": ("model", "alpha", "models_dir"),
    "quality": ("ensemble", "alpha_upscaler", "noise", "kernel"),
    "performance": ("engine", "precision", "tile", "overlap", "batch"),
}  # fmt: skip
_USAGE = "upscale INPUT… [--output PATH] [--model M] [--tile N] [--overlap N]"


def main(argv: list[str]) -> None:
    """Upscales images with the given flags. See `esrgan-tf upscale --help`."""
    inputs = parse(FLAGS, GROUPS, argv, _USAGE)
    check_noise(FLAGS.noise, "--noise")
    kernel = None if FLAGS.kernel is None else read_kernel(FLAGS.kernel)
    if kernel is not None and (FLAGS.ensemble or FLAGS.batch > 1):
        raise UserError("--kernel cannot be combined with --ensemble or --batch")
    if kernel is not None and FLAGS.precision == "bfloat16":
        raise UserError("--kernel needs float32; remove --precision")
    if FLAGS.outscale is not None and not 0 < FLAGS.outscale <= 64:
        raise UserError(f"--outscale {FLAGS.outscale:g}: must be above 0 and at most 64")
    if not inputs:
        raise UserError(f"nothing to upscale; name files, folders, or - for standard input (esrgan-tf {_USAGE})")
    naming = Naming(FLAGS.output, FLAGS.suffix, FLAGS.format, FLAGS.recursive, FLAGS.overwrite, FLAGS.skip_existing)
    check_inputs(inputs, naming)
    blended = FLAGS.alpha is not None  # the blended networks have scale 4
    default = default_model(None if blended else FLAGS.outscale) if FLAGS.model is None else None
    factor = FLAGS.outscale
    if factor is None:
        factor = default.scale if default else scale_of(FLAGS.model)
    # The factor is part of the results' names beside the originals. For a file of weights it is known after loading.
    named = FLAGS.output is not None or factor is not None
    planned = plan(inputs, naming, factor) if named else None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that temporary files are removed
    path = default.path if default else named_model(FLAGS, "model")
    if planned is not None:
        _report_omissions(planned)

    upscaler, description = _build_upscaler(path, default is not None, kernel)
    if planned is None:
        planned = plan(inputs, naming, upscaler.scale)
        _report_omissions(planned)
    _print(f"{_title(default)}: {description}")
    began = time.monotonic()
    failed = _upscale_all(planned.jobs, upscaler)
    _summarise(planned, failed, time.monotonic() - began, upscaler)
    if failed or planned.failed:
        raise SystemExit(1)


def _report_omissions(planned: Plan):
    for reason, names in planned.left_out.items():
        _say(f"{listed(names)}: left out; {reason}")
    for line in planned.failed:
        _say(line)


def _build_upscaler(path, bundled, kernel):
    """The upscaler for the flags, and a line on its network."""
    path = None if bundled and FLAGS.alpha is not None else path
    if kernel is not None:
        with quiet_tensorflow():
            from esrgan_tf.inference.deblurring import DeblurringUpscaler
            from esrgan_tf.weights.torch_files import describe

            model = load_keras(path, FLAGS.alpha)
        return DeblurringUpscaler(model, kernel, FLAGS.noise, FLAGS.tile, FLAGS.overlap, _say), describe(model)
    starting = needs_keras(path, FLAGS.alpha, FLAGS.engine)
    with quiet_tensorflow() if starting else contextlib.nullcontext():
        runner, description = open_runner(path, FLAGS.alpha, FLAGS.engine, FLAGS.precision, FLAGS.noise / 255)
    sizes = FLAGS.tile, FLAGS.overlap, FLAGS.batch, FLAGS.ensemble
    return Upscaler(runner, *sizes, notice=_say, noise=FLAGS.noise), description


def _upscale_all(jobs, upscaler) -> int:
    """Upscales the files one after another and returns the number of failures."""
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
                    losses = upscale_file(
                        job.source, job.target, upscaler, FLAGS.outscale, extension, by_model, progress
                    )
                for line in losses:
                    _say(f"{name}: {line}")
            except Exception as error:  # a failure ends one file; the others are upscaled
                failed += 1
                bar.clear()
                reason = _explain(error, job.source)
                _say(reason if job.source is None or str(job.source) in reason else f"{job.source}: {reason}")
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


def _explain(error, source):
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    if isinstance(error, OSError):
        is_other_file = error.filename and error.filename != str(source)
        return f"{error.strerror or error}{f': {error.filename}' if is_other_file else ''}"
    return f"{type(error).__name__}: {first_line(error)}"


def _print(line):
    """Prints a line on standard output, or on standard error if the image is written to standard output."""
    print(printable(line), file=sys.stderr if FLAGS.output == "-" else sys.stdout)


def _summarise(planned, failed, seconds, upscaler):
    jobs = planned.jobs
    done, left_out, failed = len(jobs) - failed, sum(map(len, planned.left_out.values())), failed + len(planned.failed)
    folders = sorted({job.target.parent for job in jobs if job.target is not None})
    where = ""
    if done and len(jobs) == 1 and folders:
        where = f": {jobs[0].target}"
    elif done and folders:
        where = f", in {listed([str(folder) for folder in folders])}"
    precision = " in bfloat16" if upscaler.precision == "bfloat16" else ""
    parts = [f"{done} upscaled in {duration(seconds)}{precision}{where}"]
    parts += [f"{planned.skipped} skipped because their results exist"] if planned.skipped else []
    parts += [f"{left_out} left out"] if left_out else []
    parts += [f"{failed} failed"] if failed else []
    _print(", ".join(parts))
