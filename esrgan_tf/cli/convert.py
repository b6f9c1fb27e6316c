"""`esrgan-tf convert`: converts PyTorch weights, `.keras` files and SavedModels, also to LiteRT and ONNX."""

from pathlib import Path

from absl import flags

from esrgan_tf.cli.common import define_models_dir, parse, write_file
from esrgan_tf.errors import UserError
from esrgan_tf.file_kinds import UNSUPPORTED, FileKind, identify
from esrgan_tf.files import check_new
from esrgan_tf.publish.export_formats import EXTRAS, FORMATS, format_of
from esrgan_tf.quiet import quiet_tensorflow
from esrgan_tf.weights.model_names import find_model

FLAGS = flags.FlagValues()
flags.DEFINE_float(
    "alpha", None,
    "Interpolation from the first input (0) to the second (1). Needs --output. Default: no interpolation.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "output", None,
    "Output of an interpolation: .keras, .safetensors, .pth, .tflite, .onnx, or a folder. Default: the second name.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_float(
    "residual_scale", None,
    "Residual scaling of EDSR in PyTorch files. Default: 0.1 for 256 filters, otherwise no scaling.",
    flag_values=FLAGS, lower_bound=1e-6,
)  # fmt: skip
flags.DEFINE_boolean(
    "mean", True, "Subtract the mean colour of DIV2K, for EDSR files that lack this setting.", flag_values=FLAGS
)
define_models_dir(FLAGS)
GROUPS = {
    "interpolation": ("alpha", "output"),
    "EDSR": ("residual_scale", "mean"),
    "model": ("models_dir",),
}
_UNWRITABLE = {*UNSUPPORTED} - {*FORMATS.values()} | {".pt", ".ckpt", ".weights", ".mlpackage"}
_USAGE = "convert IN OUT, or convert A B --alpha 0.5 --output OUT"


def main(argv: list[str]) -> None:
    """Converts a model with the given flags. See `esrgan-tf convert --help`."""
    inputs, output = _split_names(parse(FLAGS, GROUPS, argv, _USAGE))
    if output.suffix.lower() in _UNWRITABLE:
        raise UserError(
            f"{output}: the extension must be .keras, .safetensors, .pth, .tflite or .onnx; a SavedModel is a folder "
            "without an extension"
        )
    check_new(output)
    kind = format_of(output)
    if kind in EXTRAS:
        EXTRAS[kind].check(output)
    paths = [find_model(name, FLAGS.models_dir) for name in inputs]

    with quiet_tensorflow():
        from esrgan_tf.publish.serving import export_saved_model
        from esrgan_tf.training.checkpoints import save_model
        from esrgan_tf.weights.interpolation import interpolate
        from esrgan_tf.weights.state_dicts import WRITABLE
        from esrgan_tf.weights.torch_files import describe, save_torch
        from esrgan_tf.weights.torch_import import check_torch

    check_torch(output)
    models = []
    for path in paths:
        models.append(_load(path, bool(output.suffix) and kind == "saved_model"))
        print(f"{path}: {describe(models[-1])}", flush=True)
    model = interpolate(models[0], models[1], FLAGS.alpha) if len(models) == 2 else models[0]

    if kind in EXTRAS:
        print(write_file(model, output, _origin(inputs)))
    elif output.suffix in WRITABLE:
        written = save_torch(model, output)
        print(f"written, read back and compared: {output}, its tensors named as in {written.style}")
        if getattr(written.options, "growth", 32) != 32:
            print("note: spandrel, and programs that use it, read only networks with 32 growth channels")
    elif output.suffix == ".keras":
        output.parent.mkdir(parents=True, exist_ok=True)
        save_model(model, output)
        print(f"written: {output}, a Keras model")
    else:
        export_saved_model(model, output)
        print(f"written, reloaded and compared: {output}, a SavedModel")


def _origin(inputs):
    """Licence and source of the inputs; an interpolation has both licences."""
    from esrgan_tf.publish.provenance import origin_of

    origins = [origin_of(name) for name in inputs]
    if len(origins) == 1:
        return origins[0]
    licences = dict.fromkeys(origin.get("licence", "not stated") for origin in origins)
    source = f"{' and '.join(Path(name).name for name in inputs)}, alpha {FLAGS.alpha:g}"
    return {"licence": " and ".join(licences), "source": source}


def _load(path, discriminators):
    """Loads a network. A SavedModel holds a generator, so discriminators are refused unless `discriminators`."""
    from esrgan_tf.runs.loading import load_model
    from esrgan_tf.weights.loading import load_network
    from esrgan_tf.weights.torch_files import load_torch, load_torch_network

    if path.is_file() and identify(path) is not FileKind.KERAS:
        load = load_torch_network if discriminators else load_torch
        return load(path, FLAGS.residual_scale, FLAGS.mean, print, lambda line: print(f"note: {line}"))
    if FLAGS.residual_scale is not None or not FLAGS.mean:
        raise UserError(f"{path}: --residual_scale and --nomean are for PyTorch files, which lack these settings")
    return load_network(path) if discriminators and path.is_file() else load_model(path)


def _split_names(arguments: list[str]) -> tuple[list[str], Path]:
    """The inputs and the output among the arguments."""
    if FLAGS.alpha is None and FLAGS.output is None:
        if len(arguments) != 2:
            raise UserError(f"convert takes an input and an output, not {len(arguments)} names: esrgan-tf {_USAGE}")
        return arguments[:1], Path(arguments[1])
    if FLAGS.alpha is None or FLAGS.output is None or len(arguments) != 2:
        raise UserError(
            "interpolation takes two inputs, --alpha and --output: esrgan-tf convert A B --alpha 0.5 --output C"
        )
    if not 0.0 <= FLAGS.alpha <= 1.0:
        raise UserError(f"--alpha {FLAGS.alpha:g}: must be between 0 (the first input) and 1 (the second)")
    return arguments, Path(FLAGS.output)
