"""The configuration of a run: frozen dataclasses, read from YAML, overridden key by key, checked before anything runs.

`config.yaml` at the top of the repository explains every key; a test keeps its values equal to the defaults here. This
module imports no TensorFlow, so a mistake is reported at once.
"""

import dataclasses
import difflib
import os
import re
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from esrgan_tf.errors import UserError, first_line


@dataclass(frozen=True)
class DataConfig:
    source: str = "div2k"
    data_dir: str = "~/tensorflow_datasets"
    hr_dir: str | None = None
    lr_dir: str | None = None
    val_hr_dir: str | None = None
    val_lr_dir: str | None = None
    skip_unreadable: bool = False
    hr_patch: int = 128
    batch_size: int = 16
    cache_dir: str = "~/.cache/esrgan_tf"


_KERNEL_SIZES = (7, 9, 11, 13, 15, 17, 19, 21)
_CUTOFF, _CUTOFF_LARGE = (1 / 3, 1.0), (1 / 5, 1.0)


@dataclass(frozen=True)
class DegradationConfig:
    kind: str = "none"
    margin: int = 32
    clean_probability: float = 0.0
    sharpen: bool = True
    sinc_probability: float = 0.8
    sinc_sizes: tuple[int, ...] = _KERNEL_SIZES
    sinc_cutoff: tuple[float, float] = _CUTOFF
    jpeg_last: float = 0.5


@dataclass(frozen=True)
class DegradationRoundConfig:
    blur_probability: float = 1.0
    blur_sizes: tuple[int, ...] = _KERNEL_SIZES
    blur_kinds: dict[str, float] = field(
        default_factory=lambda: {
            "isotropic": 0.45,
            "anisotropic": 0.25,
            "generalised_isotropic": 0.12,
            "generalised_anisotropic": 0.03,
            "plateau_isotropic": 0.12,
            "plateau_anisotropic": 0.03,
        }
    )
    blur_sigma: tuple[float, float] = (0.2, 3.0)
    generalised_beta: tuple[float, float] = (0.5, 4.0)
    plateau_beta: tuple[float, float] = (1.0, 2.0)
    sinc_probability: float = 0.1
    sinc_cutoff: tuple[float, float] = _CUTOFF
    sinc_cutoff_large: tuple[float, float] = _CUTOFF_LARGE
    resize: dict[str, float] = field(default_factory=lambda: {"up": 0.2, "down": 0.7, "keep": 0.1})
    resize_scale: tuple[float, float] = (0.15, 1.5)
    gaussian_probability: float = 0.5
    gaussian_sigma: tuple[float, float] = (1.0, 30.0)
    poisson_scale: tuple[float, float] = (0.05, 3.0)
    gray_probability: float = 0.4
    jpeg_quality: tuple[float, float] = (30.0, 95.0)


@dataclass(frozen=True)
class SecondRoundConfig(DegradationRoundConfig):
    blur_probability: float = 0.8
    blur_sigma: tuple[float, float] = (0.2, 1.5)
    resize: dict[str, float] = field(default_factory=lambda: {"up": 0.3, "down": 0.4, "keep": 0.3})
    resize_scale: tuple[float, float] = (0.3, 1.2)
    gaussian_sigma: tuple[float, float] = (1.0, 25.0)
    poisson_scale: tuple[float, float] = (0.05, 2.5)


@dataclass(frozen=True)
class GeneratorConfig:
    name: str = "rrdb"
    filters: int = 64
    growth: int = 32
    blocks: int = 23
    scale: int = 4
    unshuffle: int | None = None
    plus: bool = False
    batch_norm: bool = True


@dataclass(frozen=True)
class DiscriminatorConfig:
    name: str = "vgg"
    filters: int = 64


@dataclass(frozen=True)
class PhaseConfig:
    steps: int = 1_000_000
    optimizer: str = "adam"
    learning_rate: float = 2e-4
    schedule: str = "step"
    warmup_steps: int = 0
    decay_steps: tuple[int, ...] = (200_000, 400_000, 600_000, 800_000)
    decay_rate: float = 0.5
    beta_1: float = 0.9
    beta_2: float = 0.99
    ema_decay: float = 0.999
    clip_norm: float | None = None
    pixel_weight: float = 1.0
    pixel_loss: str = "l1"
    sharpen_targets: bool = False


@dataclass(frozen=True)
class GanConfig(PhaseConfig):
    steps: int = 400_000
    learning_rate: float = 1e-4
    decay_steps: tuple[int, ...] = (50_000, 100_000, 200_000, 300_000)
    pixel_weight: float = 1e-2
    perceptual_weight: float = 1.0
    perceptual_layers: dict[str, float] = field(default_factory=lambda: {"conv5_4": 1.0})
    perceptual_loss: str = "l1"
    vgg_weights: str = "imagenet"
    adversarial_weight: float = 5e-3
    adversarial_loss: str = "relativistic"


@dataclass(frozen=True)
class RuntimeConfig:
    seed: int = 0
    deterministic: bool = True
    precision: str = "float32"
    jit_compile: str = "auto"
    log_every: int = 100
    validate_every: int = 5_000
    checkpoint_every: int = 1_000
    keep_checkpoints: int = 3


@dataclass(frozen=True)
class ExportConfig:
    alpha: float = 0.8


@dataclass(frozen=True)
class Config:
    data: DataConfig = field(default_factory=DataConfig)
    degradation: DegradationConfig = field(default_factory=DegradationConfig)
    degradation_1: DegradationRoundConfig = field(default_factory=DegradationRoundConfig)
    degradation_2: DegradationRoundConfig = field(default_factory=SecondRoundConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    psnr: PhaseConfig = field(default_factory=PhaseConfig)
    gan: GanConfig = field(default_factory=GanConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    export: ExportConfig = field(default_factory=ExportConfig)


CHOICES = {
    "data.source": ("div2k", "folder", "synthetic"),
    "degradation.kind": ("none", "jpeg", "second_order"),
    "generator.name": ("rrdb", "compact", "srresnet", "residual"),
    "generator.scale": (1, 2, 3, 4, 8, 16),
    "generator.unshuffle": (None, 1, 2, 4),
    "discriminator.name": ("vgg", "srgan", "unet_sn"),
    "psnr.optimizer": ("adam", "muon"),
    "gan.optimizer": ("adam", "muon"),
    "psnr.schedule": ("step", "cosine"),
    "gan.schedule": ("step", "cosine"),
    "psnr.pixel_loss": ("l1", "l2"),
    "gan.pixel_loss": ("l1", "l2"),
    "gan.perceptual_loss": ("l1", "l2"),
    "gan.adversarial_loss": ("relativistic", "plain"),
    "runtime.precision": ("float32", "mixed_bfloat16", "mixed_float16"),
    "runtime.jit_compile": ("auto", "on", "off"),
}

# Where a machine keeps its things: no number depends on it.
OF_A_MACHINE = ("data.data_dir", "data.cache_dir", "data.hr_dir", "data.lr_dir", "data.val_hr_dir", "data.val_lr_dir")
PATHS = (*OF_A_MACHINE, "gan.vgg_weights")

# Numbers are refused outside these bounds: (least, most).
_POSITIVE = (1, None)
_NOT_NEGATIVE = (0, None)
_BOUNDS = {
    "data.hr_patch": _POSITIVE,
    "data.batch_size": _POSITIVE,
    "generator.filters": _POSITIVE,
    "generator.growth": _POSITIVE,
    "generator.blocks": _POSITIVE,
    "discriminator.filters": _POSITIVE,
    "degradation.margin": _NOT_NEGATIVE,
    "degradation.clean_probability": (0, 1),
    "degradation.sinc_probability": (0, 1),
    "degradation.sinc_sizes": (3, 51),
    "degradation.sinc_cutoff": (0.01, 1),
    "degradation.jpeg_last": (0, 1),
    "gan.perceptual_weight": _NOT_NEGATIVE,
    "gan.adversarial_weight": _NOT_NEGATIVE,
    "runtime.seed": (0, 2**32 - 1),
    "runtime.log_every": _POSITIVE,
    "runtime.validate_every": _POSITIVE,
    "runtime.checkpoint_every": _POSITIVE,
    "runtime.keep_checkpoints": _POSITIVE,
    "export.alpha": (0, 1),
}
for _phase in ("psnr", "gan"):
    _BOUNDS |= {
        f"{_phase}.steps": _POSITIVE,
        f"{_phase}.learning_rate": (1e-12, 1),
        f"{_phase}.warmup_steps": _NOT_NEGATIVE,
        f"{_phase}.decay_rate": (0, 1),
        f"{_phase}.beta_1": (0, 0.999999),
        f"{_phase}.beta_2": (0, 0.999999),
        f"{_phase}.ema_decay": (0, 0.999999),
        f"{_phase}.clip_norm": (1e-12, None),
        f"{_phase}.pixel_weight": _NOT_NEGATIVE,
    }

for _round in ("degradation_1", "degradation_2"):
    _BOUNDS |= {
        f"{_round}.blur_probability": (0, 1),
        f"{_round}.blur_sizes": (3, 51),
        f"{_round}.blur_sigma": (0.01, None),
        f"{_round}.generalised_beta": (0.01, None),
        f"{_round}.plateau_beta": (0.01, None),
        f"{_round}.sinc_probability": (0, 1),
        f"{_round}.sinc_cutoff": (0.01, 1),
        f"{_round}.sinc_cutoff_large": (0.01, 1),
        f"{_round}.resize_scale": (0.01, 4),
        f"{_round}.gaussian_probability": (0, 1),
        f"{_round}.gaussian_sigma": _NOT_NEGATIVE,
        f"{_round}.poisson_scale": _NOT_NEGATIVE,
        f"{_round}.gray_probability": (0, 1),
        f"{_round}.jpeg_quality": (1, 100),
    }

_SECTIONS = {f.name: f.default_factory for f in dataclasses.fields(Config)}
KEYS = tuple(f"{section}.{f.name}" for section, cls in _SECTIONS.items() for f in dataclasses.fields(cls))


def load_config(path: str | Path | None = None, overrides: Iterable[str] = (), together: bool = True) -> Config:
    """Reads a YAML file on top of the defaults, then applies overrides in order, then checks the whole.

    Args:
        path: a YAML file with any of the sections and keys; None for the defaults.
        overrides: `section.key=value`, the value written as in YAML.
        together: also check that keys suit one another; False where `with_section` follows, which does.

    Raises:
        UserError: the file cannot be read; unknown key (the nearest one is named); wrong type; impossible value.
    """
    values = _read(path) if path is not None else {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise UserError(f"--set {override}: write it as section.key=value, for instance psnr.steps=1000")
        try:
            values[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"--set {override}: the value is not YAML ({first_line(error)})") from error
    config = Config(
        **{
            section: cls(
                **{key.split(".")[1]: _convert(key, value) for key, value in values.items() if _section(key) == section}
            )
            for section, cls in _SECTIONS.items()
        }
    )
    if together:
        _check_together(config)
    return config


def with_section(config: Config, section: str, values: dict) -> Config:
    """`config` with another section, checked like one that is read; keys not given have their defaults.

    Raises:
        UserError: as `load_config`.
    """
    values = {key: _convert(f"{section}.{key}", value) for key, value in values.items()}
    config = dataclasses.replace(config, **{section: _SECTIONS[section](**values)})
    _check_together(config)
    return config


def with_absolute_paths(config: Config) -> Config:
    """`config` with its relative paths, which begin in the working directory, made absolute; `~` stays."""
    sections = {}
    for key in PATHS:
        section, name = key.split(".")
        value = value_of(config, key)
        if _is_path(key, value) and not value.startswith("~"):
            sections.setdefault(section, {})[name] = str(Path(value).absolute())
    changed = {name: dataclasses.replace(getattr(config, name), **values) for name, values in sections.items()}
    return dataclasses.replace(config, **changed)


def same_value(key: str, recorded, value) -> bool:
    """Whether `section.key` means the same in a recorded configuration and in one with absolute paths.

    A record may have a relative path: of a folder nobody noted, so that it fits every path that ends alike.
    """
    if recorded == value:
        return True
    if not (_is_path(key, recorded) and _is_path(key, value)):
        return False
    before, now = (Path(text).expanduser() for text in (recorded, value))
    return before.resolve() == now.resolve() or (
        not before.is_absolute() and now.parts[len(now.parts) - len(before.parts) :] == before.parts
    )


def _is_path(key, value):
    return key in PATHS and value is not None and (key, value) != ("gan.vgg_weights", "imagenet")


def save_config(config: Config, path: Path) -> None:
    """Writes every value of `config`, so that the file alone reproduces it."""
    temporary = path.with_name(f".{path.name}")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(yaml.safe_dump(as_plain(config), sort_keys=False))
        file.flush()
        os.fsync(file.fileno())  # a power cut must not leave it empty
    temporary.replace(path)


def as_plain(config) -> dict:
    """All values of a dataclass, and of those in it, as YAML knows them: dictionaries, lists, texts and numbers."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return list(value) if isinstance(value, tuple) else value

    return plain(dataclasses.asdict(config))


def value_of(config: Config, key: str):
    """The value of `section.key`."""
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


def _read(path):
    """The file's values as `{"section.key": value}`."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no configuration file {path}; config.yaml at the top of the repository is a complete one")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:  # the latter of bytes that are no UTF-8, and of impossible dates
        raise UserError(f"{path} is not YAML: {first_line(error)}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected sections ({', '.join(_SECTIONS)}), found {tree!r:.60}")
    values = {}
    for section, entries in tree.items():
        if section not in _SECTIONS:
            raise UserError(f"{path}: unknown section {section!r}{_nearest(str(section), _SECTIONS)}")
        if not isinstance(entries or {}, dict):
            raise UserError(f"{path}: section {section} must hold keys, not {entries!r:.60}")
        values |= {f"{section}.{key}": value for key, value in (entries or {}).items()}
    return values


def of_another_program(path: Path) -> str | None:
    """Why a file that only lies there, named by nobody, is none of ours; None where it may be.

    A file with one section of ours is ours, whatever is wrong with the rest, which `load_config` tells.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # a slip, or the tags and templates of other programs
        ours = re.search(rf"^({'|'.join(_SECTIONS)})\s*:", text, flags=re.MULTILINE)
        return None if ours else "it is not YAML, and none of its lines begins a section"
    if tree is None or (isinstance(tree, dict) and (not tree or tree.keys() & _SECTIONS.keys())):
        return None
    return f"unknown section {next(iter(tree))!r}" if isinstance(tree, dict) else "it has no sections"


def _section(key):
    if key not in KEYS:
        raise UserError(f"unknown configuration key {key!r}{_nearest(key, KEYS)}")
    return key.split(".")[0]


def _nearest(name, names):
    # A key given without its section is the commonest slip: look for its last part first.
    last = name.split(".")[-1]
    same = [candidate for candidate in names if candidate.split(".")[-1] == last]
    close = same or difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(names)}"


def _convert(key, value):
    """Checks one value against its key's type, choices and bounds; returns it in that type."""
    section, name = key.split(".")
    wanted = typing.get_type_hints(_SECTIONS[section])[name]
    converted = _to_type(wanted, value)
    if converted is _WRONG:
        default = getattr(_SECTIONS[section](), name)
        example = list(default) if isinstance(default, tuple) else default
        like = f", like {yaml.safe_dump(example, default_flow_style=True).strip()}" if wanted in _SHOWN else ""
        raise UserError(f"{key}: {value!r} is not {_TYPE_NAMES[wanted]}{like}")
    if key in CHOICES and converted not in CHOICES[key]:
        choices = ", ".join("null" if choice is None else str(choice) for choice in CHOICES[key])
        raise UserError(f"{key}: {value!r} is not one of {choices}")
    least, most = _BOUNDS.get(key, (None, None))
    if converted is None:
        return None
    for number in converted if isinstance(converted, tuple) else (converted,):
        if least is not None and number < least:
            raise UserError(f"{key}: {number} is too small; the least is {least}")
        if most is not None and number > most:
            raise UserError(f"{key}: {number} is too large; the most is {most}")
    return converted


_WRONG = object()
_TYPE_NAMES = {
    str: "text",
    str | None: "text or null",
    int: "a whole number",
    int | None: "a whole number or null",
    bool: "true or false",
    float: "a number",
    float | None: "a number or null",
    tuple[int, ...]: "a list of whole numbers",
    tuple[float, float]: "a list of two numbers, the smaller first",
    dict[str, float]: "a mapping of names to weights",
}
_SHOWN = (tuple[int, ...], tuple[float, float], dict[str, float])  # by the key's own default


def _to_type(wanted, value):
    if wanted is str:
        # YAML reads a bare on or off as a boolean.
        value = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
        return value if isinstance(value, str) and value else _WRONG
    if wanted == (str | None):
        return value if value is None or (isinstance(value, str) and value) else _WRONG
    if wanted in (int | None, float | None):
        return value if value is None else _to_type(int if wanted == (int | None) else float, value)
    if wanted is bool:
        return value if isinstance(value, bool) else _WRONG
    if wanted is float:
        if isinstance(value, str):  # YAML reads 1e-4 (no dot) as text
            try:
                value = float(value)
            except ValueError:
                return _WRONG
        finite = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
        return float(value) if finite else _WRONG
    if wanted is int:
        if isinstance(value, str | float):  # 1e6 is a fair way to write a number of steps
            number = _to_type(float, value)
            value = int(number) if number is not _WRONG and number == int(number) else _WRONG
        return value if isinstance(value, int) and not isinstance(value, bool) else _WRONG
    if wanted == tuple[int, ...]:
        items = [_to_type(int, item) for item in value] if isinstance(value, list | tuple) else [_WRONG]
        return _WRONG if _WRONG in items else tuple(items)
    if wanted == tuple[float, float]:
        pair = [_to_type(float, item) for item in value] if isinstance(value, list | tuple) else [_WRONG]
        return tuple(pair) if len(pair) == 2 and _WRONG not in pair and pair[0] <= pair[1] else _WRONG
    items = {name: _to_type(float, weight) for name, weight in value.items()} if isinstance(value, dict) else {}
    return dict(items) if items and _WRONG not in items.values() else _WRONG


def _check_together(config):
    """What no single key can be blamed for."""
    patch, scale = config.data.hr_patch, config.generator.scale
    if config.generator.name == "rrdb" and scale & (scale - 1):
        raise UserError(
            f"generator.scale: the rrdb generator enlarges by a power of two, not {scale}; compact and residual can"
        )
    if config.generator.name == "srresnet":
        scales = (2, 4, 8) if config.generator.batch_norm else (2, 3, 4)
        if scale not in scales:
            raise UserError(
                f"generator.scale: the srresnet generator {'with' if config.generator.batch_norm else 'without'} "
                f"batch_norm enlarges by one of {', '.join(map(str, scales))}, not {scale}"
            )
    for key in ("unshuffle", "plus"):
        if config.generator.name != "rrdb" and getattr(config.generator, key):
            raise UserError(f"generator.{key} is for generator.name rrdb, not {config.generator.name}")
    if config.generator.name != "srresnet" and not config.generator.batch_norm:
        raise UserError(f"generator.batch_norm=false is for generator.name srresnet; {config.generator.name} has none")
    if patch % scale:
        raise UserError(
            f"data.hr_patch: {patch} is not divisible by generator.scale {scale}; "
            f"{max(1, round(patch / scale)) * scale} is"
        )
    for name, phase in (("psnr", config.psnr), ("gan", config.gan)):
        if list(phase.decay_steps) != sorted(set(phase.decay_steps)) or min(phase.decay_steps, default=1) < 1:
            raise UserError(f"{name}.decay_steps: {list(phase.decay_steps)} must be positive and increasing")
    if min(config.gan.perceptual_layers.values()) < 0:
        raise UserError(f"gan.perceptual_layers: {config.gan.perceptual_layers} must not have a negative weight")
    check_degradation(config)
    if config.data.lr_dir is not None and config.degradation.kind == "second_order":
        raise UserError("data.lr_dir has no use with degradation.kind=second_order, which makes its own of data.hr_dir")
    if config.data.source == "folder" and config.data.hr_dir is None:
        raise UserError("data.source=folder needs data.hr_dir, the folder that holds your high-resolution images")
    if config.data.lr_dir is not None and config.data.hr_dir is None:
        raise UserError("data.lr_dir needs data.hr_dir, the high-resolution partners")
    if config.data.val_lr_dir is not None and config.data.val_hr_dir is None:
        raise UserError("data.val_lr_dir needs data.val_hr_dir, the high-resolution partners")


def check_degradation(config: Config) -> None:
    """Raises UserError where keys of the degradation do not suit one another."""
    _check_sizes("degradation.sinc_sizes", config.degradation.sinc_sizes)
    for name in ("degradation_1", "degradation_2"):
        _check_round(name, getattr(config, name), _SECTIONS[name]())


def _check_sizes(key, sizes):
    if not sizes or any(size % 2 == 0 for size in sizes):
        raise UserError(f"{key}: {list(sizes)} must be odd numbers, at least one")


def _check_round(name, values, defaults):
    """One round of the second-order degradation; `defaults` knows the names of its kinds."""
    _check_sizes(f"{name}.blur_sizes", values.blur_sizes)
    for key in ("blur_kinds", "resize"):
        weights, kinds = getattr(values, key), getattr(defaults, key)
        for kind in weights:
            if kind not in kinds:
                raise UserError(f"{name}.{key}: unknown {kind!r}{_nearest(str(kind), kinds)}")
        if min(weights.values()) < 0 or sum(weights.values()) <= 0:
            raise UserError(f"{name}.{key}: {weights} must not be negative, and one must be positive")
    for key in ("resize_scale", "generalised_beta", "plateau_beta"):
        least, most = getattr(values, key)
        if not least <= 1 <= most:
            raise UserError(f"{name}.{key}: {[least, most]} must have 1 between them")
