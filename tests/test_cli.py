"""A user's mistakes: one line, exit 2, no partial output. Also the output of commands that succeed."""

import importlib
import importlib.metadata
import re
import shlex
import shutil
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from esrgan_tf import __version__
from esrgan_tf.cli.common import parse
from esrgan_tf.cli.examples import EXAMPLES
from esrgan_tf.cli.main import COMMANDS
from esrgan_tf.config import load_config
from esrgan_tf.errors import as_typed
from esrgan_tf.models import compact_generator, vgg_discriminator
from esrgan_tf.publish.model_card import model_card
from esrgan_tf.weights.torch_files import save_torch
from tests.conftest import run_process

TRAIN = ("train", "--phase", "psnr", "--run_dir", "{new}", "--config", "{config}")
GAN = ("train", "--phase", "gan", "--run_dir", "{new}", "--config", "{config}")
EXPORT = ("export", "--run_dir", "{run}", "--output", "{new}")

MISTAKES = {
    "unknown command": (
        ("trian",),
        "'trian'; commands are train, status, export, upscale, evaluate, degrade, models, web, convert",
    ),
    "unknown flag": ((*TRAIN, "--lerning_rate", "1"), "Unknown command line flag 'lerning_rate'"),
    "no phase": (("train", "--run_dir", "{new}"), "phase"),
    "unknown phase": (("train", "--phase", "psrn"), "value should be one of <psnr|gan>"),
    "stray argument": ((*TRAIN, "now"), "what is 'now'?"),
    "no such configuration": (("train", "--phase", "psnr", "--config", "{tmp}/absent.yaml"), "no configuration file"),
    "configuration is not YAML": (("train", "--phase", "psnr", "--config", "{tmp}/broken.yaml"), "is not YAML"),
    "unknown key": ((*TRAIN, "--set", "psnr.step=1"), "did you mean psnr.steps?"),
    "wrong type": ((*TRAIN, "--set", "psnr.steps=soon"), "psnr.steps: 'soon' is not a whole number"),
    "impossible value": ((*TRAIN, "--set", "data.batch_size=0"), "data.batch_size: 0 is too small; the least is 1"),
    "unknown source": ((*TRAIN, "--set", "data.source=flickr"), "not one of div2k, folder, synthetic"),
    "patch not divisible by scale": (
        (*TRAIN, "--set", "data.hr_patch=33"),
        "not divisible by generator.scale 4; 32 is",
    ),
    "patch larger than every image": ((*TRAIN, "--set", "data.hr_patch=256"), "the largest patch that fits is 96"),
    "missing folder": ((*TRAIN, "--set", "data.hr_dir={tmp}/absent"), "data.hr_dir: no folder"),
    "empty folder": ((*TRAIN, "--set", "data.hr_dir={tmp}/empty"), "data.hr_dir: no image in"),
    "missing validation folder": ((*TRAIN, "--set", "data.val_hr_dir={tmp}/absent"), "data.val_hr_dir: no folder"),
    "unreadable image": ((*TRAIN, "--set", "data.hr_dir={tmp}/broken"), "1 of 1 images are unusable: photo.png ("),
    "an unreadable image among others": (
        (*TRAIN, "--set", "data.hr_dir={tmp}/one_broken"),
        "; repair or remove them, or leave them out with --set data.skip_unreadable=true",
    ),
    "validation image too small": (
        (*TRAIN, "--set", "data.val_hr_dir={tmp}/small"),
        "at least 19 pixels on both sides",
    ),
    "LR without partner": ((*TRAIN, "--set", "data.lr_dir={tmp}/small"), "lacks the partner of astronaut"),
    "LR and HR in one folder": (
        (*TRAIN, "--set", "data.hr_dir={tmp}/small", "--set", "data.lr_dir={tmp}/small"),
        "data.hr_dir and data.lr_dir are both {tmp}/small; use separate folders for HR and LR images",
    ),
    "LR and HR do not fit": (
        (*TRAIN, "--set", "data.hr_dir={tmp}/small", "--set", "data.lr_dir={tmp}/same"),
        "are 12x12 and 12x12, not 1:4",
    ),
    "DIV2K out of reach": (
        (*TRAIN, "--set", "data.source=div2k", "--set", "data.data_dir={tmp}/tfds"),
        "put the official zip files into",
    ),
    "DIV2K at scale 1": (
        (*TRAIN, "--set", "data.source=div2k", "--set", "generator.scale=1"),
        "DIV2K has no bicubic_x1",
    ),
    "XLA on many devices": ((*TRAIN, "--set", "runtime.jit_compile=maybe"), "not one of auto, on, off"),
    "gan before psnr": (GAN, "first run esrgan-tf train --phase psnr --run_dir {new}, or"),
    "absent initial weights": ((*GAN, "--init_from", "{tmp}/absent.keras"), "--init_from: no file"),
    "initial weights of gray images": (
        (*TRAIN, "--init_from", "{tmp}/gray.safetensors"),
        "1 channels in, 1 out; training",
    ),
    "initial weights of another run's size": (
        (
            "train",
            "--phase",
            "psnr",
            "--run_dir",
            "{half}",
            "--config",
            "{config}",
            "--init_from",
            "{tmp}/gray.safetensors",
        ),
        "--init_from: phase psnr of {half} has started from no file",
    ),
    "empty initial weights": ((*GAN, "--init_from="), "--init_from is empty; name a file"),
    "initial weights are no model": ((*GAN, "--init_from", "{tmp}/broken/photo.png"), "is a PNG picture"),
    "initial weights of another network": (
        (*GAN, "--init_from", "{run}/psnr/generator.keras", "--set", "generator.filters=12"),
        "--set generator.filters=12: {run}/psnr/generator.keras has 8",
    ),
    "gan patch": ((*GAN, "--init_from", "{run}/psnr/generator.keras", "--set", "data.hr_patch=36"), "multiple of 8"),
    "absent VGG19": (
        (
            *(*GAN, "--init_from", "{run}/psnr/generator.keras"),
            *("--set", "gan.perceptual_weight=1", "--set", "gan.vgg_weights={tmp}/vgg.h5"),
        ),
        "gan.vgg_weights: no file",
    ),
    "broken VGG19": (
        (
            *(*GAN, "--init_from", "{run}/psnr/generator.keras"),
            *("--set", "gan.perceptual_weight=1", "--set", "gan.vgg_weights={tmp}/broken/photo.png"),
        ),
        "the VGG19 weights cannot be loaded",
    ),
    "unknown VGG19 layer": (
        (
            *(*GAN, "--init_from", "{run}/psnr/generator.keras", "--set", "gan.perceptual_weight=1"),
            *("--set", "gan.perceptual_layers={{conv9_1: 1}}"),
        ),
        "no layer 'conv9_1'",
    ),
    "discriminator for psnr": (
        (*TRAIN, "--discriminator_from", "{run}/gan/discriminator.keras"),
        "--discriminator_from is for phase gan; phase psnr has no discriminator",
    ),
    "absent discriminator": (
        (*GAN, "--init_from", "{run}/psnr/generator.keras", "--discriminator_from", "{tmp}/absent.pth"),
        "--discriminator_from: no file {tmp}/absent.pth",
    ),
    "generator as discriminator": (
        (*GAN, *("--init_from", "{run}/psnr/generator.keras", "--discriminator_from", "{run}/psnr/generator.keras")),
        "that is a generator, not a discriminator",
    ),
    "discriminator as generator": (
        ("export", "--model", "{run}/gan/discriminator.keras", "--output", "{new}"),
        "that is a discriminator, not a generator",
    ),
    "another discriminator": (
        (
            *(*GAN, "--init_from", "{run}/psnr/generator.keras", "--set", "discriminator.filters=6"),
            *("--discriminator_from", "{run}/gan/discriminator.keras"),
        ),
        "--set discriminator.filters=6: {run}/gan/discriminator.keras has 4; remove the --set",
    ),
    "discriminator for other patches": (
        (
            *(*GAN, "--init_from", "{run}/psnr/generator.keras", "--set", "data.hr_patch=64"),
            *("--discriminator_from", "{tmp}/vgg.keras"),
        ),
        "parameters, for 32x32 pixels; set data.hr_patch=32, not 64",
    ),
    "degrade two images to one": (("degrade", "{tmp}/twice", "{new}"), "they differ only in their extensions"),
    "degrade what is only compressed": (
        ("degrade", "{tmp}/small", "{new}", "--set", "degradation.kind=jpeg"),
        "and the configuration has jpeg",
    ),
    "initial weights for a run that has started from ": (
        ("train", "--phase", "gan", "--run_dir", "{run}", "--init_from", "{run}/psnr/generator.keras"),
        "--init_from: phase gan of {run} has started from ",
    ),
    "cache is a file": ((*TRAIN, "--set", "data.cache_dir={tmp}/broken.yaml"), "File exists: {tmp}/broken.yaml"),
    "seed out of range": ((*TRAIN, "--set", "runtime.seed=4294967296"), "the most is 4294967295"),
    "output below a file": (
        ("export", "--run_dir", "{run}", "--output", "{tmp}/broken.yaml/out"),
        "{tmp}/broken.yaml is a file, not a folder",
    ),
    "archive below a file": ((*EXPORT, "--archive", "{tmp}/broken.yaml/a.tar.gz"), "is a file, not a folder"),
    "another network in the same run": (
        ("train", "--phase", "psnr", "--run_dir", "{run}", "--set", "generator.filters=16"),
        "generator.filters: {run} was started with 8, not 16",
    ),
    "run folder is a file": (
        ("train", "--phase", "psnr", "--config", "{config}", "--run_dir", "{tmp}/broken.yaml"),
        "--run_dir {tmp}/broken.yaml is a file",
    ),
    "export without output": (("export", "--run_dir", "{run}"), "output"),
    "export of no run": (("export", "--run_dir", "{tmp}/absent", "--output", "{new}"), "no run in"),
    "alpha out of range": ((*EXPORT, "--alpha", "1.5"), "--alpha 1.5: must be between 0"),
    "alpha is no number": ((*EXPORT, "--alpha", "most"), "alpha"),
    "output exists": (("export", "--run_dir", "{run}", "--output", "{tmp}/empty"), "exists; remove it"),
    "archive exists": ((*EXPORT, "--archive", "{tmp}/old.tar.gz"), "exists; remove it"),
    "archive of another kind": ((*EXPORT, "--archive", "{tmp}/new.zip"), "must end in .tar.gz"),
    "export before gan": (
        ("export", "--run_dir", "{half}", "--output", "{new}"),
        "first run esrgan-tf train --phase gan --run_dir {half}, or",
    ),
    "model and alpha": (
        ("export", "--model", "x.keras", "--alpha", "0.5", "--output", "{new}"),
        "remove --alpha and --run_dir, which interpolate a run",
    ),
    "absent model": (("export", "--model", "{tmp}/absent.keras", "--output", "{new}"), "no file"),
    "convert without output": (("convert", "{tmp}/gray.safetensors"), "takes an input and an output, not 1 names"),
    "convert with too many names": (("convert", "a", "b", "c"), "takes an input and an output, not 3 names"),
    "convert nothing": (("convert", "{tmp}/absent.pth", "{new}"), "no file or folder {tmp}/absent.pth"),
    "convert to what exists": (
        ("convert", "{tmp}/gray.safetensors", "{tmp}/old.tar.gz"),
        "the extension must be .keras, .safetensors, .pth, .tflite or .onnx; a SavedModel is a folder",
    ),
    "convert to where something is": (("convert", "{tmp}/gray.safetensors", "{tmp}/empty"), "exists; remove it"),
    "convert to below a file": (
        ("convert", "{tmp}/gray.safetensors", "{tmp}/broken.yaml/a.pth"),
        "is a file, not a folder",
    ),
    "convert to standard output": (
        ("convert", "{tmp}/gray.safetensors", "-"),
        "-: this output cannot go to standard output; name a file or a folder",
    ),
    "interpolate to standard output": (
        ("convert", "{tmp}/gray.safetensors", "{tmp}/gray.safetensors", "--alpha", "0.5", "--output", "-"),
        "-: this output cannot go to standard output",
    ),
    "export to standard output": (
        ("export", "--run_dir", "{run}", "--output", "-"),
        "-: this output cannot go to standard output",
    ),
    "degrade to standard output": (("degrade", "{tmp}/small", "-"), "-: this output cannot go to standard output"),
    "convert to Core ML": (
        ("convert", "{tmp}/gray.safetensors", "{tmp}/new.mlpackage"),
        "the extension must be .keras, .safetensors, .pth, .tflite or .onnx",
    ),
    "export with another format's name": (
        (*EXPORT, "--format", "onnx"),
        "{new} is not a name for the format onnx; use the extension .onnx",
    ),
    "export of a file as a folder": (
        ("export", "--model", "photo", "--format", "saved_model", "--output", "{new}.tflite"),
        "{new}.tflite is not a name for the format saved_model; a SavedModel is a folder without extension",
    ),
    "export in an unknown format": ((*EXPORT, "--format", "coreml"), "should be one of <saved_model|litert|onnx>"),
    "export to a file of weights": (
        ("export", "--run_dir", "{run}", "--output", "{new}.pth"),
        "{new}.pth: export writes a folder without an extension (SavedModel), .tflite or .onnx",
    ),
    "archive of a file": (
        ("export", "--model", "photo", "--output", "{new}.onnx", "--archive", "{tmp}/new.tar.gz"),
        "{new}.onnx: --archive packs a SavedModel",
    ),
    "rounded weights of a SavedModel": (
        (*EXPORT, "--weights", "float16"),
        "--weights is for .tflite files; --format litert writes one",
    ),
    "a signature of LiteRT": (
        ("export", "--model", "photo", "--output", "{new}.tflite", "--signature", "uint8"),
        "--signature is for .onnx files; the other formats hold both signatures",
    ),
    "a fixed size of a SavedModel": ((*EXPORT, "--tile", "64"), "a SavedModel takes any size"),
    "a tile without pixels": ((*EXPORT, "--tile", "0"), "tile"),
    "convert no weights": (("convert", "{tmp}/broken/photo.png", "{tmp}/new.pth"), "photo.png is a PNG picture"),
    "convert a folder of something else": (
        ("convert", "{tmp}/empty", "{tmp}/new.pth"),
        "{tmp}/empty holds neither a SavedModel",
    ),
    "convert a broken SavedModel": (
        ("convert", "{tmp}/broken_saved_model", "{new}"),
        "is not a SavedModel of esrgan-tf",
    ),
    "convert a damaged file": (
        ("convert", "{tmp}/damaged.safetensors", "{new}"),
        "is not a safetensors file, or is cut short",
    ),
    "alpha without output": (
        ("convert", "{tmp}/gray.safetensors", "{tmp}/gray.safetensors", "--alpha", "0.5"),
        "interpolation takes two inputs, --alpha and --output",
    ),
    "alpha for one input": (
        ("convert", "{tmp}/gray.safetensors", "--alpha", "0.5", "--output", "{new}"),
        "interpolation takes two inputs, --alpha and --output",
    ),
    "alpha of convert out of range": (
        ("convert", "{tmp}/gray.safetensors", "{tmp}/gray.safetensors", "--alpha", "2", "--output", "{new}"),
        "--alpha 2: must be between 0 (the first input) and 1",
    ),
    "partners that do not match": (
        ("convert", "{tmp}/gray.safetensors", "{run}/gan/generator.keras", "--alpha", "0.5", "--output", "{new}"),
        "body_0/kernel is (3, 3, 1, 4) in one and absent in the other",
    ),
    "degrade without output": (("degrade", "{tmp}/small"), "degrade takes an input (image or folder) and an output"),
    "degrade nothing": (("degrade", "{tmp}/absent.png", "{new}"), "no file or folder {tmp}/absent.png"),
    "degrade to JPEG": (("degrade", "{tmp}/small/photo.png", "{tmp}/new.jpg"), "{tmp}/new.jpg: end it in .png"),
    "degrade to where something is": (("degrade", "{tmp}/small", "{tmp}/empty"), "{tmp}/empty exists; remove it"),
    "degrade an empty folder": (("degrade", "{tmp}/empty", "{new}"), "no image in {tmp}/empty"),
    "degrade by an unknown kernel": (
        ("degrade", "{tmp}/small", "{new}", "--set", "degradation_1.blur_kinds={{isotropc: 1}}"),
        "degradation_1.blur_kinds: unknown 'isotropc'; did you mean isotropic?",
    ),
    "patch for the discriminator": (
        (
            *GAN,
            "--init_from",
            "{run}/psnr/generator.keras",
            "--set",
            "data.hr_patch=60",
            "--set",
            "discriminator.name=srgan",
        ),
        "data.hr_patch: 60 does not fit the srgan discriminator; it needs a multiple of 16",
    ),
    "model is no model": (("export", "--model", "{tmp}/broken/photo.png", "--output", "{new}"), "is a PNG picture"),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory, trained_run, tiny_config, photos):
    tmp = tmp_path_factory.mktemp("mistakes")
    (tmp / "empty").mkdir()
    (tmp / "broken").mkdir()
    (tmp / "small").mkdir()
    (tmp / "same").mkdir()
    (tmp / "broken" / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\nbut then no more")
    shutil.copytree(photos, tmp / "one_broken")
    shutil.copy(tmp / "broken" / "photo.png", tmp / "one_broken")
    (tmp / "broken_saved_model").mkdir()
    (tmp / "broken_saved_model" / "saved_model.pb").write_bytes(b"\x08\x01 but then no more")
    (tmp / "damaged.safetensors").write_bytes(b"\x08\x01")
    vgg_discriminator(32, filters=4).save(tmp / "vgg.keras")
    save_torch(compact_generator(filters=4, blocks=1, channels=1), tmp / "gray.safetensors")
    Image.fromarray(np.zeros((12, 12, 3), np.uint8)).save(tmp / "small" / "photo.png")
    shutil.copy(tmp / "small" / "photo.png", tmp / "same" / "photo.png")
    (tmp / "broken.yaml").write_text("psnr: [")
    (tmp / "twice").mkdir()
    for name in ("photo.png", "photo.jpg"):
        Image.fromarray(np.zeros((12, 12, 3), np.uint8)).save(tmp / "twice" / name)
    (tmp / "old.tar.gz").write_text("")
    shutil.copytree(trained_run / "psnr", tmp / "half" / "psnr")
    shutil.copy(trained_run / "config.yaml", tmp / "half" / "config.yaml")
    return {"tmp": tmp, "run": trained_run, "half": tmp / "half", "config": tiny_config, "new": tmp / "new"}


def below(folder):
    return {(path, path.stat().st_mtime_ns) for path in folder.rglob("*") if "tfds" not in path.parts}


def test_the_table_is_long_enough():
    assert len(MISTAKES) >= 20


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(mistake, places, run_main, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # a network that refuses connections, on any machine
    argv, message = MISTAKES[mistake]
    before = below(places["tmp"]), below(places["run"])
    status, _, err = run_main(*(argument.format(**places) for argument in argv))
    assert status == 2
    assert err.startswith("esrgan-tf: ")
    assert err.count("\n") == 1, err
    assert message.format(**places) in err
    assert (below(places["tmp"]), below(places["run"])) == before


def test_a_mistake_in_a_real_process():
    result = run_process("python", "train.py", "--phase", "psnr", "--set", "psnr.stepz=3")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == "esrgan-tf: unknown configuration key 'psnr.stepz'; did you mean psnr.steps?\n"


STARTS = {
    ("python", "train.py"): "python train.py",
    ("python", "./train.py"): "python train.py",
    ("esrgan-tf", "train"): "esrgan-tf train",
    ("python", "-m", "esrgan_tf", "train"): "python -m esrgan_tf train",
}


@pytest.mark.parametrize("typed", STARTS, ids=" ".join)
def test_a_hint_has_the_form_of_the_typed_command(typed, tmp_path):
    result = run_process(*typed, "--phase", "gan", "--run_dir", tmp_path / "a run")
    assert result.stderr.endswith(
        f"; first run {STARTS[typed]} --phase psnr --run_dir '{tmp_path}/a run', or name a generator with --init_from\n"
    )
    result = run_process(*typed, "--fase", "gan")
    assert result.stderr.endswith(f" ({STARTS[typed]} --help explains the flags)\n")


def test_hints_of_other_commands_than_the_script(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/a b/export.py", "export", "--alpha", "1"])
    assert as_typed("train", "--phase", "psnr") == "python '/a b/train.py' --phase psnr"
    assert as_typed("status", "run") == "esrgan-tf status run"  # status.py does not exist
    monkeypatch.setattr(sys, "argv", ["train.py", "photos"])  # another person's program, which imports esrgan_tf
    assert as_typed("train", "--phase", "psnr") == "esrgan-tf train --phase psnr"


def test_a_mistake_that_tensorflow_meets_in_a_real_process(tmp_path):
    """TensorFlow's own start-up lines do not bury the message."""
    (tmp_path / "cut.keras").write_bytes(b"PK\3\4")  # the first bytes of a damaged file still identify the format
    result = run_process("python", "export.py", "--model", tmp_path / "cut.keras", "--output", tmp_path / "out")
    assert result.returncode == 2
    assert re.fullmatch(r"esrgan-tf: .*cut\.keras is not a Keras model, or is cut short.*\n", result.stderr)


@pytest.mark.parametrize(
    "argv", [(), ("--help",), *((c, "--help") for c in ("train", "status", "export", "degrade", "models", "convert"))]
)
def test_help(argv, run_main):
    status, out, err = run_main(*argv)
    assert status == 0
    assert out.startswith("usage: esrgan-tf")
    assert err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_shown_and_valid(command, run_main):
    status, out, _ = run_main(command, "--help")
    assert status == 0
    assert len(EXAMPLES[command]) >= 2
    module = importlib.import_module(f"esrgan_tf.cli.{command}")
    values = module.FLAGS
    for example in EXAMPLES[command]:
        assert f"\n  esrgan-tf {example}\n" in out
        words = shlex.split(example.partition(" < ")[0])
        assert words[0] == command
        names = parse(values, module.GROUPS, words, "")
        assert names == words[1 : 1 + len(names)]  # they come first
        assert len(names) in ({"degrade": {2}, "convert": {2}, "status": {1}, "upscale": {1}}.get(command, {0}))
        if "set" in values:
            load_config(None, values["set"].value)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_each_flag_in_one_group_with_its_default(command, run_main):
    module = importlib.import_module(f"esrgan_tf.cli.{command}")
    _, out, _ = run_main(command, "--help")
    own, _, others = out.partition("\nabsl:\n")
    assert "--flagfile" in others
    assert sorted(name for names in module.GROUPS.values() for name in names) == sorted(module.FLAGS)
    titles = re.findall(r"^(\S.*):$", own, flags=re.MULTILINE)
    assert titles == ["examples", *module.GROUPS]
    for title, names in module.GROUPS.items():
        group = own.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
        entries = re.split(r"^  --", group, flags=re.MULTILINE)[1:]
        assert [entry.split("\n")[0].removeprefix("[no]") for entry in entries] == list(names)
        for name, entry in zip(names, entries, strict=True):
            default, text = module.FLAGS[name].default, " ".join(entry.split())
            if default is None or default == []:
                assert ("Default: " in text) != ("Required." in text), text
            else:
                assert f"default: {str(default).lower()})" in text.lower()


def test_the_first_help_shows_three_examples(run_main):
    _, out, _ = run_main("--help")
    lines = [line.strip().removeprefix("esrgan-tf ") for line in out.splitlines() if line.startswith("  esrgan-tf ")]
    assert len(lines) == 3
    assert all(line in EXAMPLES[line.split()[0]] for line in lines)


def test_versions_come_from_records(tmp_path):
    """The message comes quickly, because neither package is imported."""
    program = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from esrgan_tf.cli.main import main; sys.exit(main(['--version']))"
    )
    result = run_process(sys.executable, "-c", program)
    assert result.returncode == 0, result.stderr
    versions = [importlib.metadata.version(package) for package in ("tensorflow", "keras")]
    assert result.stdout == f"esrgan-tf {__version__}, TensorFlow {versions[0]}, Keras {versions[1]}\n"


def test_every_interface_gives_the_same_result():
    commands = (("esrgan-tf", "train"), ("python", "train.py"), ("python", "-m", "esrgan_tf", "train"))
    outputs = {run_process(*command, "--help").stdout for command in commands}
    assert len(outputs) == 1
    assert outputs.pop().startswith("usage: esrgan-tf train ")


def test_the_package_lists_its_names():
    result = run_process(sys.executable, "-c", "import esrgan_tf; print(*dir(esrgan_tf))")
    assert {"load_model", "export_litert", "export_saved_model", "interpolate", "upscale", "__version__"} <= set(
        result.stdout.split()
    )


def test_a_complete_phase_is_reported_and_unchanged(trained_run, run_main):
    before = below(trained_run)
    status, out, _ = run_main("train", "--phase", "psnr", "--run_dir", trained_run)
    assert status == 0
    assert "phase psnr is complete at step 6; raise psnr.steps to continue" in out
    assert below(trained_run) == before


@pytest.mark.usefixtures("eagerly")
def test_a_run_remembers_its_configuration(tmp_path, tiny_config, run_main):
    run_main(
        "train", "--phase", "psnr", "--config", tiny_config, "--run_dir", tmp_path / "run", "--set", "psnr.steps=2"
    )
    status, out, err = run_main("train", "--phase", "psnr", "--run_dir", tmp_path / "run", "--set", "psnr.steps=3")
    assert status == 0
    assert f"configuration: {tmp_path / 'run' / 'config.yaml'}, psnr.steps=3" in out
    assert "resuming phase psnr at step 2" in out
    assert "step 3/3" in err


SMALL_WITHOUT_IMAGES = ("generator.filters=4", "generator.blocks=1", "data.source=folder", "data.hr_dir=absent")
COMMANDS_WITH_CONFIG = {
    "train": ("train", "--phase", "psnr", "--run_dir", "run", *(f"--set={text}" for text in SMALL_WITHOUT_IMAGES)),
    "degrade": ("degrade", "{tmp}/small/photo.png", "out.png"),
}
PASSED_OVER = (
    "note: ./config.yaml is not a configuration of esrgan-tf (unknown section 'model') and is ignored; name it with "
    "--config to have it checked\n"
)


@pytest.mark.parametrize("command", COMMANDS_WITH_CONFIG)
def test_a_configuration_here_of_another_program_does_not_stop(command, places, tmp_path, run_main, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("model: {name: x}\ntrainer: 1\n")
    argv = [argument.format(**places) for argument in COMMANDS_WITH_CONFIG[command]]
    status, out, err = run_main(*argv)
    assert out.startswith("configuration: the defaults")
    assert err.startswith(PASSED_OVER)
    rest = err.removeprefix(PASSED_OVER)
    if command == "degrade":
        assert (status, rest) == (0, "")
    else:  # the next mistake of the command
        assert (status, rest) == (2, f"esrgan-tf: data.hr_dir: no folder {tmp_path}/absent\n")
    status, _, err = run_main(*argv[:-1], argv[-1].replace("out", "other"), "--config", "config.yaml")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("esrgan-tf: config.yaml: unknown section 'model'; ")


@pytest.mark.parametrize("command", COMMANDS_WITH_CONFIG)
def test_a_mistake_in_the_local_configuration_is_refused(command, places, tmp_path, run_main, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("model: {name: x}\npsnr: {steps: 1}\n")
    argv = [argument.format(**places) for argument in COMMANDS_WITH_CONFIG[command]]
    status, _, err = run_main(*argv)
    assert status == 2
    assert err.startswith("esrgan-tf: config.yaml: unknown section 'model'; ")
    (tmp_path / "config.yaml").write_text("psnr: {stepz: 1}\n")
    assert run_main(*argv)[::2] == (
        2, "esrgan-tf: unknown configuration key 'psnr.stepz'; did you mean psnr.steps?\n"
    )  # fmt: skip


def test_a_run_folder_with_a_configuration_of_another_program_is_not_written_to(tmp_path, run_main, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("model: {name: x}\n")
    status, _, err = run_main("train", "--phase", "psnr", "--run_dir", ".", "--set=data.source=synthetic")
    assert (status, err.startswith("esrgan-tf: config.yaml: unknown section 'model'; ")) == (2, True)
    assert (tmp_path / "config.yaml").read_text() == "model: {name: x}\n"


@pytest.mark.usefixtures("eagerly")
def test_training_without_the_unreadable_images(places, tmp_path, run_main):
    """Validation images are left out as well; training and validation of one folder share one cache."""
    folders = (f"--set=data.{key}={places['tmp'] / 'one_broken'}" for key in ("hr_dir", "val_hr_dir"))
    train = ("train", "--phase", "psnr", "--config", places["config"], "--run_dir", tmp_path / "run", *folders)
    status, out, err = run_main(*train, "--set=psnr.steps=1", "--set=data.skip_unreadable=true")
    assert status == 0, err
    assert "left out, data.hr_dir: 1 of 4 images are unusable: photo.png (" in err
    assert "data: 3 images to train on, 3 to validate on" in out


@pytest.mark.usefixtures("eagerly")
def test_a_run_with_relative_paths_resumes_from_another_folder(tmp_path, photos, tiny_config, run_main, monkeypatch):
    home, elsewhere, run = tmp_path / "home", tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    shutil.copytree(photos, home / "photos")
    train = ("train", "--phase", "psnr", "--run_dir", run)
    monkeypatch.chdir(home)
    folders = ("--set=data.hr_dir=photos", "--set=data.val_hr_dir=photos", "--set=data.cache_dir=cache")
    assert run_main(*train, "--config", tiny_config, *folders, "--set=psnr.steps=2")[0] == 0
    configs = run / "config.yaml", run / "psnr" / "checkpoints" / "ckpt-2" / "config.yaml"
    for path in configs:
        data = yaml.safe_load(path.read_text())["data"]
        expected = [str(home / name) for name in ("photos", "photos", "cache")]
        assert [data[key] for key in ("hr_dir", "val_hr_dir", "cache_dir")] == expected
    monkeypatch.chdir(elsewhere)
    status, out, err = run_main(*train, "--set=psnr.steps=4")
    assert status == 0, err
    assert "resuming phase psnr at step 2" in out
    assert "preparing" not in out
    # Earlier versions recorded relative paths only.
    for path in (run / "config.yaml", *run.glob("psnr/checkpoints/*/config.yaml")):
        path.write_text(path.read_text().replace(f"{home}/", ""))
    status, _, err = run_main(*train, "--set=psnr.steps=6")
    assert (status, err) == (2, f"esrgan-tf: data.val_hr_dir: no folder {elsewhere}/photos\n")
    absolute = (f"--set=data.{key}={home / 'photos'}" for key in ("hr_dir", "val_hr_dir"))
    status, out, err = run_main(*train, "--set=psnr.steps=6", *absolute, f"--set=data.cache_dir={home / 'cache'}")
    assert status == 0, err
    assert "resuming phase psnr at step 4" in out


@pytest.mark.parametrize("alpha", [0, 0.25, 1])
def test_export_interpolates_every_weight(alpha, trained_run, tmp_path, run_main):
    import keras
    import tensorflow_hub as hub

    status, _, err = run_main("export", "--run_dir", trained_run, "--alpha", alpha, "--output", tmp_path / "out")
    assert status == 0, err
    psnr, gan = (
        keras.models.load_model(trained_run / phase / "generator.keras").get_weights() for phase in ("psnr", "gan")
    )
    assert any((a != b).any() for a, b in zip(psnr, gan, strict=True))
    exported = hub.load(str(tmp_path / "out")).variables
    for a, b, variable in zip(psnr, gan, exported, strict=True):
        np.testing.assert_allclose(variable.numpy(), (1 - alpha) * a + alpha * b, atol=1e-7)


def test_the_card_states_the_runs_facts(trained_run, tmp_path, run_main):
    run_main("export", "--run_dir", trained_run, "--output", tmp_path / "out")
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    last = {}
    for phase in ("psnr", "gan"):
        header, *rows = (trained_run / phase / "metrics.csv").read_text().splitlines()
        last[phase] = dict(zip(header.split(","), rows[-1].split(","), strict=True))
    for fact in (
        "alpha 0.8: 0.2 of the PSNR network's weights, 0.8 of the GAN network's",
        "Compact ResNet, 8 filters, 1 blocks",
        "a folder of images, LR images made by antialiased bicubic downscaling",
        "4 patches of 32x32 pixels",
        f"| psnr | 6 | 0.001, step | {float(last['psnr']['psnr']):.2f} |",
        f"| gan | 4 | 0.0001, step | {float(last['gan']['psnr']):.2f} |",
    ):
        assert fact in card


def test_the_card_has_the_weight_of_the_checkerboard_loss(tmp_path):
    cards = [
        model_card(
            "name",
            load_config(None, [f"gan.checkerboard_weight={weight}"]),
            1.0,
            7,
            tmp_path,
            ["gan"],
        )
        for weight in (0, 30)
    ]
    assert ["\n| checkerboard | 30 |\n" in card for card in cards] == [False, True]


def test_export_of_a_single_model(trained_run, tmp_path, run_main):
    model = trained_run / "gan" / "generator.keras"
    status, out, _ = run_main(
        "export", "--model", model, "--output", tmp_path / "out", "--archive", tmp_path / "a.tar.gz"
    )
    assert status == 0
    assert "written, reloaded and compared" in out
    assert (tmp_path / "a.tar.gz").is_file()


def test_commands_start_without_what_keras_would_draw_with():
    """Matplotlib takes half a second to import; training curves still find it."""
    program = (
        "import sys; from esrgan_tf.quiet import quiet_tensorflow\n"
        "with quiet_tensorflow():\n    import keras\n"
        "print('matplotlib' in sys.modules); import esrgan_tf.training.curves; print('matplotlib' in sys.modules)"
    )
    result = run_process(sys.executable, "-c", program)
    assert result.stdout.split() == ["False", "True"], result.stderr
