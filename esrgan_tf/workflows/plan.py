"""The plan of a training: new, resumed, or from pretrained networks. Imports no TensorFlow."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from esrgan_tf.config import Config, as_plain, keys, same_value, value_of, with_section
from esrgan_tf.config.consistency import check_consistency
from esrgan_tf.errors import UserError, as_typed, listed
from esrgan_tf.runs.folder import (
    PHASES,
    checkpoint_config,
    checkpoint_steps,
    generator_path,
    network_paths,
    run_config,
)
from esrgan_tf.runs.starts import check_same_start, recorded_start
from esrgan_tf.training.workers import Cluster, read_cluster
from esrgan_tf.weights.architecture import Architecture
from esrgan_tf.weights.model_names import find_model, path_of_model
from esrgan_tf.weights.recognition import discriminator_architecture, generator_architecture

# Keys that may change when training resumes. They do not affect results, or the images' digest shows the change.
_CHANGEABLE_KEYS = {
    "data.data_dir", "data.cache_dir", "data.val_hr_dir", "data.val_lr_dir", "data.skip_unreadable",
    "psnr.steps", "gan.steps", "runtime.log_every", "runtime.validate_every", "runtime.checkpoint_every",
    "runtime.keep_checkpoints",
}  # fmt: skip


@dataclass(frozen=True)
class TrainingPlan:
    """The plan of a training, from the configuration, the run folder, and tensor names and shapes in files.

    Attributes:
        phase: `psnr` or `gan`.
        run_dir: the run's folder; `folder` is the phase's folder in it.
        config: the run's configuration, with the architectures of pretrained networks.
        resumes: whether the phase has a checkpoint.
        init_from, discriminator_from: the user's flags.
        generator, discriminator: files of the initial weights; None for random weights, and for a resumed phase.
        given_generator, given_discriminator: architectures of the files from the user's flags.
        allow_changes: whether settings and images may differ from the checkpoint's.
        cluster: the machines; None for a single machine.
        notes: lines on the configuration for the user.
    """

    phase: str
    run_dir: Path
    config: Config
    resumes: bool
    init_from: str | None = None
    discriminator_from: str | None = None
    generator: Path | None = None
    discriminator: Path | None = None
    given_generator: Architecture | None = None
    given_discriminator: Architecture | None = None
    allow_changes: bool = False
    cluster: Cluster | None = None
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The phase's folder."""
        return self.run_dir / self.phase

    def given_networks(self) -> list[str]:
        """A line per network from the user's flags."""
        networks = ((self.generator, self.given_generator), (self.discriminator, self.given_discriminator))
        return [f"{path}: {architecture}" for path, architecture in networks if architecture is not None]


def plan_training(
    phase: str,
    run_dir: Path,
    config: Config,
    overrides: Iterable[str] = (),
    init_from: str | None = None,
    discriminator_from: str | None = None,
    allow_changes: bool = False,
    models_dir: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> TrainingPlan:
    """Plans a training before TensorFlow starts and before anything is written. Downloads named models.

    Args:
        config: the configuration; its consistency is checked after the sections of pretrained networks are replaced.
        overrides: the user's `section.key=value`, which networks of the run or of files must not contradict.
        environment: environment variables, with `TF_CONFIG` for several machines.

    Raises:
        UserError: a mistake, with its correction.
    """
    cluster = read_cluster(environment or {})
    folder, overrides = run_dir / phase, tuple(overrides)
    if run_dir.exists() and not run_dir.is_dir():
        raise UserError(f"--run_dir {run_dir} is a file; name a folder")
    resumes = bool(checkpoint_steps(folder / "checkpoints"))
    generator = None if resumes else _initial_generator(phase, run_dir, init_from, models_dir)
    for flag, name in (("init_from", init_from), ("discriminator_from", discriminator_from)):
        if resumes and name:
            check_same_start(folder, flag, name)
    if phase != "gan" and discriminator_from is not None:
        raise UserError(f"--discriminator_from is for phase gan; phase {phase} has no discriminator")
    discriminator = None
    if not resumes and discriminator_from is not None:
        discriminator = _given_file("discriminator_from", discriminator_from)
    config = _with_networks_of_run(config, run_dir, folder, resumes, init_from, overrides)

    given_generator = given_discriminator = None
    if resumes or (init_from is None and discriminator_from is None):
        check_consistency(config)
    if not resumes and init_from is not None:
        generator = find_model(init_from, models_dir)
        given_generator = generator_architecture(network_paths(generator)[0])
        config = _with_generator(config, given_generator, generator, overrides)
    if discriminator is not None:
        discriminator = find_model(discriminator)
        given_discriminator = discriminator_architecture(discriminator)
        config = _with_discriminator(config, given_discriminator, discriminator, overrides)
    _check_networks(config, run_dir, phase)
    if not allow_changes:
        _check_settings(config, folder)
    return TrainingPlan(
        phase, run_dir, config, resumes, init_from, discriminator_from, generator, discriminator, given_generator,
        given_discriminator, allow_changes, cluster, tuple(_notes(config, phase)),
    )  # fmt: skip


def _with_networks_of_run(config, run_dir, folder, resumes, init_from, overrides):
    """`config` with the networks of a run that started from files; such networks override the configuration."""
    before = run_config(run_dir)
    if before is None or not (init_from is None or resumes):
        return config
    if any(recorded_start(run_dir / name) for name in PHASES):
        config = _replace_section(config, "generator", as_plain(before.generator), overrides, run_dir)
    if resumes and recorded_start(folder, "discriminator_from"):
        config = _replace_section(config, "discriminator", as_plain(before.discriminator), overrides, run_dir)
    return config


def _initial_generator(phase: str, run_dir: Path, init_from: str | None, models_dir: str | None) -> Path | None:
    """The path of a phase's initial generator, not downloaded yet; None for random weights.

    Raises:
        UserError: the file does not exist.
    """
    if init_from is not None:
        return _given_model("init_from", init_from, models_dir)
    if phase == "psnr":
        return None
    path = generator_path(run_dir, "psnr")
    if not path.is_file():
        raise UserError(
            f"phase gan needs a trained generator, and {path} does not exist; first run "
            f"{as_typed('train', '--phase', 'psnr', '--run_dir', run_dir)}, or name a generator with --init_from"
        )
    return path


def _given_model(flag, name, models_dir):
    if not name:
        raise UserError(f"--{flag} is empty; name a file or a model, or leave the flag out")
    try:
        return path_of_model(name, models_dir)
    except UserError as error:
        raise UserError(f"--{flag}: {error}") from error


def _given_file(flag: str, path: str) -> Path:
    """The file that the user names by `--flag`.

    Raises:
        UserError: the file does not exist.
    """
    if not path:
        raise UserError(f"--{flag} is empty; name a file, or leave the flag out")
    if not Path(path).exists():
        raise UserError(f"--{flag}: no file {path}")
    return Path(path)


def _with_generator(config, architecture, path, overrides):
    """`config` with the generator of a file; the user's `generator.scale` has priority.

    Raises:
        UserError: the network is not for RGB, or contradicts the configuration.
    """
    if architecture.options.channels_in_and_out != (3, 3):
        raise UserError(f"--init_from {path}: {architecture}; training needs 3 input and 3 output channels (RGB)")
    section = as_plain(architecture.options)
    if any(override.partition("=")[0].strip() == "generator.scale" for override in overrides):
        section["scale"] = config.generator.scale
    return _replace_section(config, "generator", section, overrides, path)


def _with_discriminator(config, architecture, path, overrides):
    """`config` with the discriminator of a file.

    Raises:
        UserError: the network is for patches of another size, or contradicts the configuration.
    """
    size = getattr(architecture.options, "image_size", config.data.hr_patch)
    if size != config.data.hr_patch:
        raise UserError(
            f"--discriminator_from {path}: {architecture}; set data.hr_patch={size}, not {config.data.hr_patch}"
        )
    return _replace_section(config, "discriminator", as_plain(architecture.options), overrides, path)


def _replace_section(config, section, values, overrides, source):
    """`config` with the section `generator` or `discriminator` of `source`.

    Raises:
        UserError: a `--set` among `overrides` contradicts `source`.
    """
    try:
        result = with_section(config, section, values)
    except UserError as error:
        raise UserError(f"{error} (the {section} comes from {source})") from error
    for override in overrides:
        named, _, key = override.partition("=")[0].strip().partition(".")
        if named != section:
            continue
        given, has = (value_of(c, f"{section}.{key}") for c in (config, result))
        if given != has:
            raise UserError(f"--set {override}: {source} has {has}; remove the --set")
    return result


def _notes(config, phase):
    """Notes on settings without effect, and on settings that phase gan will refuse."""
    unused = [
        key
        for key in keys(config)
        if key.startswith("degradation")
        and key not in _used_keys(config)
        and value_of(config, key) != value_of(Config(), key)
    ]
    if unused:
        yield f"without effect for degradation.kind {config.degradation.kind}: {listed(unused)}"
    multiple = _patch_multiple(config)
    if phase == "psnr" and config.data.hr_patch % multiple:
        name = config.discriminator.name
        yield f"phase gan needs data.hr_patch to be a multiple of {multiple} for the {name} discriminator"


def _used_keys(config: Config) -> set[str]:
    """The keys of the degradation that its kind uses."""
    if config.degradation.kind == "second_order":
        return {key for key in keys(config) if key.startswith("degradation")}
    used_by_kind = {
        "none": set(),
        "jpeg": {"degradation.margin", "degradation.clean_probability", "degradation_2.jpeg_quality"},
        "noise": {"degradation.clean_probability", "degradation_2.gaussian_sigma"},
    }
    return {"degradation.kind"} | used_by_kind[config.degradation.kind]


def _patch_multiple(config: Config) -> int:
    """The divisor of data.hr_patch in phase gan."""
    return math.lcm(config.discriminator.multiple, config.generator.scale)


def _check_settings(config: Config, folder: Path) -> None:
    """Refuses settings that differ from the newest checkpoint's."""
    before = checkpoint_config(folder / "checkpoints")
    if before is None:
        return
    changeable = (
        _CHANGEABLE_KEYS
        if getattr(config, folder.name).schedule == "step"
        else _CHANGEABLE_KEYS - {f"{folder.name}.steps"}
    )
    sections = {"data", "generator", "runtime", folder.name} | ({"discriminator"} if folder.name == "gan" else set())
    used = _used_keys(config)
    differences = [
        f"{key} {value_of(before, key)}, not {value_of(config, key)}"
        for key in keys(config)
        if (key in used or key.split(".")[0] in sections)
        and key not in changeable
        and not same_value(key, value_of(before, key), value_of(config, key))
    ]
    if differences:
        raise UserError(
            f"{folder} was trained with {'; '.join(differences)}: restore these settings, choose another --run_dir, "
            "or add --allow_changes"
        )


def _check_networks(config: Config, run_dir: Path, phase: str) -> None:
    """Refuses patches that do not fit the discriminator, and networks that differ from the run's."""
    patch, name, multiple = config.data.hr_patch, config.discriminator.name, _patch_multiple(config)
    if phase == "gan" and patch % multiple:
        raise UserError(
            f"data.hr_patch: {patch} does not fit the {name} discriminator; it needs a multiple of {multiple}"
        )
    trained = [phase for phase in PHASES if checkpoint_steps(run_dir / phase / "checkpoints")]
    before = run_config(run_dir)
    if not trained or before is None:
        return
    for section in ("generator", "discriminator") if "gan" in trained else ("generator",):
        old, new = as_plain(getattr(before, section)), as_plain(getattr(config, section))
        for key in old:
            if old[key] != new.get(key):
                raise UserError(
                    f"{section}.{key}: {run_dir} was started with {old[key]}, not {new[key]}; choose another --run_dir"
                )
