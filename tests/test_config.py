import runpy
import subprocess
import sys

import pytest
import yaml

from esrgan_tf.config import (
    Config,
    as_plain,
    keys,
    load_config,
    of_another_program,
    same_value,
    save_config,
    with_absolute_paths,
)
from esrgan_tf.errors import UserError
from esrgan_tf.models import FAMILIES
from esrgan_tf.schema import keys_of, meaning_of
from tests.conftest import REPOSITORY


def test_the_file_and_the_defaults_are_the_same():
    assert load_config(REPOSITORY / "config.yaml") == Config()


def test_the_file_is_complete():
    tree = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    assert [f"{section}.{key}" for section, entries in tree.items() for key in entries] == keys(Config())


def test_explanations_of_keys_are_their_annotations():
    for path, text in runpy.run_path(str(REPOSITORY / "docs" / "keys.py"))["rendered"]().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is not what the annotations say: run `make keys`"


def test_every_key_has_a_meaning():
    sections = [type(getattr(Config(), section)) for section in keys_of(Config)]
    for section in [*sections, *(family.options for family in FAMILIES.values())]:
        assert [key for key in keys_of(section) if not meaning_of(section, key)] == [], section


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_variants_hold_only_what_differs(path):
    overrides = ["data.hr_dir=x"] if "source: folder" in path.read_text() else []
    config = load_config(path, overrides)
    for section, entries in yaml.safe_load(path.read_text()).items():
        for key, value in entries.items():
            default = getattr(Config(), section) if key == "name" else type(getattr(config, section))()
            assert value != as_plain(default)[key], f"{section}.{key} repeats the default"


def test_overrides_win_over_the_file_in_order(tmp_path):
    (tmp_path / "c.yaml").write_text("psnr: {steps: 5}\n")
    config = load_config(tmp_path / "c.yaml", ["psnr.steps=6", "psnr.steps=7", "gan.learning_rate=1e-5"])
    assert config.psnr.steps == 7
    assert config.gan.learning_rate == 1e-5
    assert config.gan.steps == Config().gan.steps


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("psnr.steps=1e6", "steps", 1_000_000),
        ("psnr.learning_rate=1", "learning_rate", 1.0),
        ("psnr.decay_steps=[10, 20]", "decay_steps", (10, 20)),
        ("psnr.decay_steps=[]", "decay_steps", ()),
    ],
)
def test_values_are_read_as_people_write_them(override, key, expected):
    assert getattr(load_config(None, [override]).psnr, key) == expected


def test_yaml_booleans_are_on_and_off():
    assert load_config(None, ["runtime.jit_compile=on"]).runtime.jit_compile == "on"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("psnr.stepz=1", "did you mean psnr.steps"),
        ("learning_rate=1", "did you mean psnr.learning_rate"),
        ("gan.perceptual_weigth=1", "did you mean gan.perceptual_weight"),
        ("psnr.steps=many", "not a whole number"),
        ("psnr.steps=1.5", "not a whole number"),
        ("psnr.steps=true", "not a whole number"),
        ("psnr.steps=0", "the least is 1"),
        ("psnr.learning_rate=fast", "not a number"),
        ("psnr.learning_rate=.nan", "not a number"),
        ("psnr.learning_rate=-1", "too small"),
        ("psnr.decay_steps=100", "not a list of whole numbers"),
        ("psnr.decay_steps=[20, 10]", "positive and increasing"),
        ("gan.perceptual_layers=conv5_4", "not a mapping"),
        ("data.source=flickr", "not one of div2k, folder, synthetic"),
        ("data.hr_patch=130", "not divisible by generator.scale 4; 128 is"),
        ("data.source=folder", "needs data.hr_dir"),
        ("data.lr_dir=x", "needs data.hr_dir"),
        ("data.val_lr_dir=x", "needs data.val_hr_dir"),
        ("degradation.margin=-1", "the least is 0"),
        ("generator.scale=5", "not one of 1, 2, 4, 8, 16"),
        ("generator.scale=3", r"not one of 1, 2, 4, 8, 16 for rrdb; compact, srresnet, compact_resnet\b.* can"),
        ("generator.unshuffle=3", "not one of null, 1, 2, 4"),
        ("generator.unshuffle=half", "not a whole number or null"),
        ("generator.plus=3", "not true or false"),
        ("degradation.kind=heavy", "not one of none, jpeg, noise, second_order"),
        ("degradation.sinc_sizes=[7, 8]", r"\[7, 8\] must be odd numbers"),
        ("degradation.sinc_sizes=[]", "at least one"),
        ("degradation_1.blur_sizes=[1, 7]", "1 is too small; the least is 3"),
        ("degradation_1.blur_sigma=[3, 0.2]", "two numbers, the smaller first"),
        ("degradation_1.blur_sigma=3", r"two numbers, the smaller first, like \[0.2, 3.0\]"),
        ("degradation_1.blur_sigma=[0, 3]", "0.0 is too small; the least is 0.01"),
        ("degradation_1.resize={up: 0.5, sideways: 0.5}", "unknown 'sideways'; there are: up, down, keep"),
        ("degradation_1.resize=up", "mapping of names to weights, like {down: 0.7, keep: 0.1, up: 0.2}"),
        ("degradation_2.resize={up: 0}", "one must be positive"),
        ("degradation_2.resize={up: 2, down: -1}", "must not be negative"),
        ("degradation_2.resize_scale=[1.1, 1.5]", "must include 1"),
        ("degradation_2.jpeg_quality=[30, 101]", "101.0 is too large; the most is 100"),
        ("degradation_1.gray_probability=40", "the most is 1"),
        ("gan.adversarial_loss=hinge", "not one of relativistic, plain"),
        (
            "generator.batch_norm=false",
            "batch_norm is not a key of rrdb; it has filters, growth, blocks, scale",
        ),
        ("export.alpha=1.2", "the most is 1"),
        ("psnr.steps", "section.key=value"),
        ("psnr.decay_steps=[1", "not YAML"),
    ],
)
def test_mistakes_are_refused_with_the_remedy(override, message):
    with pytest.raises(UserError, match=message) as error:
        load_config(None, [override])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("psnr: [1, 2", "not YAML"),
        ("- a\n- b\n", "expected sections"),
        ("psnrr: {steps: 1}\n", "did you mean psnr"),
        ("psnr: 5\n", "must hold keys"),
    ],
)
def test_broken_files_are_refused(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        load_config(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {name: x}\nfoo: 1\n", "unknown section 'model'"),
        ("1: x\n", "unknown section 1"),
        ("- a\n- b\n", "it has no sections"),
        ("just text\n", "it has no sections"),
        ("a: !include other.yaml\n", "it is not YAML, and none of its lines begins a section"),
        ("a: 1\n---\nb: 2\n", "it is not YAML, and none of its lines begins a section"),
        ("site: {{ name }}: {% x %}\n  data: 1\n", "it is not YAML, and none of its lines begins a section"),
        ("day: 2024-13-45\n", "it is not YAML, and none of its lines begins a section"),
        ("", None),
        ("psnr: {stepz: 1}\n", None),
        ("psnr: {steps: 1}\nfoo: 1\n", None),
        ("foo: 1\npsnr: [1, 2\n", None),
        ("data: {hr_dir: 2024-13-45}\n", None),
    ],
)
def test_files_of_other_programs_are_distinguished(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert of_another_program(path) == message
    if message is None and text:
        with pytest.raises(UserError):
            load_config(path)


def test_a_foreign_file_need_not_be_text(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe\x00b\x00")
    assert of_another_program(path) == "it is not YAML, and none of its lines begins a section"


def test_lr_images_are_given_or_made_not_both():
    keys = ("data.hr_dir=x", "data.lr_dir=y", "degradation.kind=second_order")
    with pytest.raises(UserError, match=r"data\.lr_dir has no effect with degradation\.kind=second_order"):
        load_config(None, keys)


def test_keys_of_one_generator_are_refused_for_another():
    with pytest.raises(UserError, match=r"plus is not a key of compact; it has filters, blocks, scale$"):
        load_config(None, ["generator.name=compact", "generator.plus=true"])


@pytest.mark.parametrize(("norm", "scale", "scales"), [("true", 3, "2, 4, 8"), ("false", 8, "2, 3, 4")])
def test_scales_without_srresnet_are_refused(norm, scale, scales):
    keys = ("generator.name=srresnet", f"generator.batch_norm={norm}", f"generator.scale={scale}")
    with pytest.raises(UserError, match=f"batch_norm upscales by one of {scales}, not {scale}"):
        load_config(None, keys)


def test_names_of_the_first_version_are_read_with_a_line_each(tmp_path):
    recipe = tmp_path / "bundled_mine.yaml"
    recipe.write_text("generator: {name: residual, blocks: 3}\ngan: {grid_weight: 30}\n", encoding="utf-8")
    lines = []
    config = load_config(tmp_path / "box_mine.yaml", ["runtime.recompute=blocks"], say=lines.append)
    assert config == load_config(
        None,
        [
            "generator.name=compact_resnet",
            "generator.blocks=3",
            "gan.checkerboard_weight=30",
            "runtime.gradient_checkpointing=blocks",
        ],
    )
    assert sorted(lines) == [
        f"{tmp_path / 'box_mine.yaml'} is now {recipe}",
        "gan.grid_weight is now gan.checkerboard_weight",
        "generator.name residual is now compact_resnet",
        "runtime.recompute is now runtime.gradient_checkpointing",
    ]
    lines.clear()
    assert load_config(None, ["generator.name=residual"], say=lines.append).generator.name == "compact_resnet"
    assert lines == ["generator.name residual is now compact_resnet"]


def test_saved_files_read_back(tmp_path):
    config = load_config(
        None,
        ["data.source=synthetic", "gan.perceptual_layers={conv1_2: 0.5, conv5_4: 1}", "degradation_1.resize={up: 1}"],
    )
    save_config(config, tmp_path / "c.yaml")
    assert load_config(tmp_path / "c.yaml") == config


def test_reading_a_configuration_needs_no_tensorflow():
    program = (
        "import sys, esrgan_tf.config, esrgan_tf.cli.main, esrgan_tf.cli.train; sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY).returncode == 0


def test_relative_paths_become_absolute_and_nothing_else_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = load_config(
        None, ["data.hr_dir=photos/train", "data.lr_dir=/lr", "data.val_hr_dir=~/v", "gan.vgg_weights=w.h5"]
    )
    config = with_absolute_paths(given)
    assert config.data.hr_dir == str(tmp_path / "photos" / "train")
    assert config.gan.vgg_weights == str(tmp_path / "w.h5")
    assert (config.data.lr_dir, config.data.val_hr_dir, config.data.val_lr_dir) == ("/lr", "~/v", None)
    assert with_absolute_paths(Config()) == Config()  # imagenet is no file


@pytest.mark.parametrize(
    ("key", "recorded", "value", "same"),
    [
        ("data.hr_dir", "photos", "{tmp}/photos", True),
        ("data.hr_dir", "photos", "/elsewhere/photos", True),
        ("data.hr_dir", "../photos", "{parent}/photos", True),
        ("data.hr_dir", ".", "/elsewhere/photos", True),
        ("data.hr_dir", "{tmp}/photos/", "{tmp}/photos", True),
        ("data.hr_dir", "photos", "{tmp}/others", False),
        ("data.hr_dir", "{tmp}/photos", "/elsewhere/photos", False),
        ("data.hr_dir", None, "{tmp}/photos", False),
        ("data.source", "folder", "a/folder", False),
        ("gan.vgg_weights", "w.h5", "{tmp}/w.h5", True),
        ("gan.vgg_weights", "imagenet", "{tmp}/imagenet", False),
    ],
)
def test_a_recorded_path_is_compared_as_a_path(key, recorded, value, same, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorded, value = (text and text.format(tmp=tmp_path, parent=tmp_path.parent) for text in (recorded, value))
    assert same_value(key, recorded, value) == same
