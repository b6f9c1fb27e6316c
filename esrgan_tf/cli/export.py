"""`esrgan-tf export`: writes the interpolation of both phases, or a model, as SavedModel, LiteRT or ONNX."""

from pathlib import Path

from absl import flags

from esrgan_tf.cli.common import define_models_dir, named_model, parse, write_file
from esrgan_tf.config import Config
from esrgan_tf.errors import UserError
from esrgan_tf.file_kinds import UNSUPPORTED
from esrgan_tf.files import check_new
from esrgan_tf.publish.export_formats import EXTRAS, FORMATS, SIGNATURES, WEIGHTS, format_of
from esrgan_tf.quiet import quiet_tensorflow
from esrgan_tf.runs.folder import exported_generators, run_config

FLAGS = flags.FlagValues()
flags.DEFINE_string("run_dir", "runs/esrgan", "Run folder; the two phases are interpolated.", flag_values=FLAGS)
flags.DEFINE_string(
    "model", None,
    "Single generator to export instead of a run: .keras file, PyTorch weights, SavedModel, or name of a model. "
    "Default: the generators of --run_dir.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_float(
    "alpha", None,
    "Interpolation from the PSNR network (0) to the GAN network (1). Default: the run's export.alpha.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "output", None, "Required. Folder of the SavedModel, or .tflite or .onnx file. Must not exist.", flag_values=FLAGS
)
flags.DEFINE_enum(
    "format", None, FORMATS, "Format of the output. Default: the format of the output's extension.", flag_values=FLAGS
)
flags.DEFINE_enum(
    "weights", "float32", WEIGHTS,
    "Precision of the weights in a .tflite file. float16 halves the file. dynamic quarters the file, is faster and "
    "changes the image.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_enum(
    "signature", "serving_default", SIGNATURES,
    "Signature of an .onnx file; uint8 takes and returns pixels. SavedModel and .tflite files hold both signatures.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_integer(
    "tile", None,
    "Fixed width and height of the images, for runtimes without variable sizes. Default: variable sizes.",
    lower_bound=1, upper_bound=1024, flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "archive", None, "Archive of the SavedModel in TF Hub's format, .tar.gz. Default: no archive.", flag_values=FLAGS
)
define_models_dir(FLAGS)
flags.mark_flag_as_required("output", flag_values=FLAGS)
GROUPS = {
    "input and output": ("run_dir", "output", "format", "archive"),
    "model": ("model", "alpha", "models_dir"),
    "LiteRT and ONNX": ("tile", "weights", "signature"),
}


def main(argv: list[str]) -> None:
    """Exports a generator with the given flags. See `esrgan-tf export --help`."""
    extra = parse(FLAGS, GROUPS, argv, "export [--run_dir D | --model F] [--alpha A] --output DIR|F.tflite|F.onnx")
    if extra:
        raise UserError(f"export takes flags only; what is {extra[0]!r}?")
    run_dir, output = Path(FLAGS.run_dir), Path(FLAGS.output)
    config = None if FLAGS.model is not None else _read_config(run_dir)
    alpha = _choose_alpha(config)
    targets = [output] + ([Path(FLAGS.archive)] if FLAGS.archive else [])
    for target in targets:
        check_new(target)
    kind = _choose_format(output)
    generators = {} if config is None else exported_generators(run_dir, alpha)
    paths = [named_model(FLAGS, "model")] if config is None else list(generators.values())

    with quiet_tensorflow():
        from esrgan_tf.publish.model_card import model_card
        from esrgan_tf.publish.provenance import origin_of
        from esrgan_tf.publish.serving import archive, export_saved_model
        from esrgan_tf.runs.loading import load_model
        from esrgan_tf.weights.interpolation import interpolate
        from esrgan_tf.weights.torch_files import describe

    models = [load_model(path) for path in paths]
    model = interpolate(models[0], models[1], alpha) if len(models) == 2 else models[0]
    if kind != "saved_model":
        print(f"{FLAGS.model or run_dir}: {describe(model)}", flush=True)
        origin = origin_of(FLAGS.model) if FLAGS.model else {"source": f"run {run_dir.name}, alpha {alpha:g}"}
        print(write_file(model, output, origin, weights=FLAGS.weights, signature=FLAGS.signature, tile=FLAGS.tile))
        return
    card = None
    if config is not None:
        card = model_card(output.name, config, alpha, model.count_params(), run_dir, generators)
    export_saved_model(model, output, card)
    if FLAGS.archive:
        archive(output, FLAGS.archive)
    print(f"written, reloaded and compared: {', '.join(map(str, targets))}")


def _choose_format(output):
    """The output's format, checked against the other flags and the installed packages."""
    kind = format_of(output, FLAGS.format)
    if kind == "saved_model" and output.suffix.lower() in {".keras", ".safetensors", ".pth", ".pt", *UNSUPPORTED}:
        raise UserError(f"{output}: export writes a folder without an extension (SavedModel), .tflite or .onnx; "
                        "esrgan-tf convert writes other files")  # fmt: skip
    if kind in EXTRAS:
        EXTRAS[kind].check(output)
    restricted = {
        "--archive": (FLAGS.archive, ("saved_model",), "packs a SavedModel"),
        "--weights": (FLAGS["weights"].present, ("litert",), "is for .tflite files; --format litert writes one"),
        "--signature": (
            FLAGS["signature"].present,
            ("onnx",),
            "is for .onnx files; the other formats hold both signatures",
        ),
        "--tile": (FLAGS.tile, ("litert", "onnx"), "is for .tflite and .onnx files; a SavedModel takes any size"),
    }
    for flag, (given, kinds, reason) in restricted.items():
        if given and kind not in kinds:
            raise UserError(f"{output}: {flag} {reason}")
    if FLAGS.archive and not FLAGS.archive.endswith(".tar.gz"):
        raise UserError(f"--archive {FLAGS.archive}: must end in .tar.gz")
    return kind


def _read_config(run_dir: Path) -> Config:
    config = run_config(run_dir)
    if config is None:
        raise UserError(f"no run in {run_dir}; name a run with --run_dir, or a generator with --model")
    return config


def _choose_alpha(config: Config | None) -> float:
    """The run's interpolation; 1 without a run."""
    if config is None:
        if FLAGS.alpha is not None or FLAGS["run_dir"].present:
            raise UserError("--model exports a single generator; remove --alpha and --run_dir, which interpolate a run")
        return 1.0
    alpha = config.export.alpha if FLAGS.alpha is None else FLAGS.alpha
    if not 0.0 <= alpha <= 1.0:
        raise UserError(f"--alpha {alpha:g}: must be between 0 (the PSNR network) and 1 (the GAN network)")
    return alpha
