"""What a training will do: new, resumed, or from given networks. Imports no TensorFlow."""

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

# What may differ from the settings of the checkpoint that training goes on from: no number depends on it, or other
# images tell.
_FREE = {
    "data.data_dir", "data.cache_dir", "data.val_hr_dir", "data.val_lr_dir", "data.skip_unreadable",
    "psnr.steps", "gan.steps", "runtime.log_every", "runtime.validate_every", "runtime.checkpoint_every",
    "runtime.keep_checkpoints",
}  # fmt: skip


@dataclass(frozen=True)
class TrainingPlan:
    """What a training will do, settled from the configuration, the run folder, and names and shapes in files.

    Attributes:
        phase: `psnr` or `gan`.
        run_dir: the run's folder; `folder` is the phase's folder in it.
        config: of the run, with the architectures of given networks.
        begun: whether a checkpoint is there to resume from.
        init_from, discriminator_from: what the user named.
        generator, discriminator: the files of the first weights; None for random weights, or to resume.
        given_generator, given_discriminator: the architectures of the files that the user named.
        allow_changes: whether the settings and images may differ from those of the checkpoint.
        cluster: this machine among several; None for one machine.
        notes: on the configuration, for the user.
    """

    phase: str
    run_dir: Path
    config: Config
    begun: bool
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
        """Of the phase."""
        return self.run_dir / self.phase

    def given_networks(self) -> list[str]:
        """A line per network that the user named."""
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
    """Settles a training before TensorFlow starts and before anything is written; downloads a model that is named.

    Args:
        config: as read; its keys need not suit one another yet, where the run or a file has the networks.
        overrides: the `section.key=value` that the user set, which the networks of the run or of files must not
            contradict.
        environment: with `TF_CONFIG`, where several machines train.

    Raises:
        UserError: what is wrong, and what would be right.
    """
    cluster = read_cluster(environment or {})
    folder, overrides = run_dir / phase, tuple(overrides)
    if run_dir.exists() and not run_dir.is_dir():
        raise UserError(f"--run_dir {run_dir} is a file; name a folder")
    begun = bool(checkpoint_steps(folder / "checkpoints"))
    generator = None if begun else _initial_generator(phase, run_dir, init_from, models_dir)
    for flag, name in (("init_from", init_from), ("discriminator_from", discriminator_from)):
        if begun and name:
            check_same_start(folder, flag, name)
    if phase != "gan" and discriminator_from is not None:
        raise UserError(f"--discriminator_from is for phase gan; phase {phase} has no discriminator")
    discriminator = None
    if not begun and discriminator_from is not None:
        discriminator = _given_file("discriminator_from", discriminator_from)
    config = _with_networks_of_run(config, run_dir, folder, begun, init_from, overrides)

    given_generator = given_discriminator = None
    if begun or (init_from is None and discriminator_from is None):
        check_consistency(config)
    if not begun and init_from is not None:
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
        phase, run_dir, config, begun, init_from, discriminator_from, generator, discriminator, given_generator,
        given_discriminator, allow_changes, cluster, tuple(_notes(config, phase)),
    )  # fmt: skip


def _with_networks_of_run(config, run_dir, folder, begun, init_from, overrides):
    """`config` with the networks of a run that began from files: these networks go before any configuration."""
    before = run_config(run_dir)
    if before is None or not (init_from is None or begun):
        return config
    if any(recorded_start(run_dir / name) for name in PHASES):
        config = _adopted(config, "generator", as_plain(before.generator), overrides, run_dir)
    if begun and recorded_start(folder, "discriminator_from"):
        config = _adopted(config, "discriminator", as_plain(before.discriminator), overrides, run_dir)
    return config


def _initial_generator(phase: str, run_dir: Path, init_from: str | None, models_dir: str | None) -> Path | None:
    """The generator that a phase starts from, if by a published name not yet downloaded; None for random weights.

    Raises:
        UserError: it is not there.
    """
    if init_from is not None:
        return _given_model("init_from", init_from, models_dir)
    if phase == "psnr":
        return None
    path = generator_path(run_dir, "psnr")
    if not path.is_file():
        raise UserError(
            f"phase gan starts from a trained generator and there is no {path}; first run: "
            f"{as_typed('train', '--phase', 'psnr', '--run_dir', run_dir)}, or name one with --init_from"
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
        UserError: it is not there.
    """
    if not path:
        raise UserError(f"--{flag} is empty; name a file, or leave the flag out")
    if not Path(path).exists():
        raise UserError(f"--{flag}: no file {path}")
    return Path(path)


def _with_generator(config, architecture, path, overrides):
    """`config` with the generator of a given file; a scale that the user set stays.

    Raises:
        UserError: the network is not for RGB, or contradicts the configuration.
    """
    if architecture.options.channels_in_and_out != (3, 3):
        raise UserError(f"--init_from {path}: {architecture}; training is on RGB, 3 channels in and out")
    section = as_plain(architecture.options)
    if any(override.partition("=")[0].strip() == "generator.scale" for override in overrides):
        section["scale"] = config.generator.scale
    return _adopted(config, "generator", section, overrides, path)


def _with_discriminator(config, architecture, path, overrides):
    """`config` with the discriminator of a given file.

    Raises:
        UserError: the network is for patches of another size, or contradicts the configuration.
    """
    size = getattr(architecture.options, "image_size", config.data.hr_patch)
    if size != config.data.hr_patch:
        raise UserError(
            f"--discriminator_from {path}: {architecture}; set data.hr_patch={size}, not {config.data.hr_patch}"
        )
    return _adopted(config, "discriminator", as_plain(architecture.options), overrides, path)


def _adopted(config, section, values, overrides, source):
    """`config` with a network's section, `generator` or `discriminator`, as `source` has it.

    Raises:
        UserError: a `--set` among `overrides` asks for another network.
    """
    try:
        result = with_section(config, section, values)
    except UserError as error:
        raise UserError(f"{error} (the {section} is that of {source})") from error
    for override in overrides:
        named, _, key = override.partition("=")[0].strip().partition(".")
        if named != section:
            continue
        given, has = (value_of(c, f"{section}.{key}") for c in (config, result))
        if given != has:
            raise UserError(f"--set {override}: {source} has {has}; leave the --set out")
    return result


def _notes(config, phase):
    """Settings that a training does not look at, or that the next will refuse."""
    unused = [
        key
        for key in keys(config)
        if key.startswith("degradation")
        and key not in _used(config)
        and value_of(config, key) != value_of(Config(), key)
    ]
    if unused:
        yield f"no use with degradation.kind {config.degradation.kind}: {listed(unused)}"
    multiple = _multiple(config)
    if phase == "psnr" and config.data.hr_patch % multiple:
        name = config.discriminator.name
        yield f"phase gan needs data.hr_patch to be a multiple of {multiple} for the {name} discriminator"


def _used(config: Config) -> set[str]:
    """The keys of the degradation that its kind looks at."""
    if config.degradation.kind == "second_order":
        return {key for key in keys(config) if key.startswith("degradation")}
    more = {
        "none": set(),
        "jpeg": {"degradation.margin", "degradation.clean_probability", "degradation_2.jpeg_quality"},
        "noise": {"degradation.clean_probability", "degradation_2.gaussian_sigma"},
    }
    return {"degradation.kind"} | more[config.degradation.kind]


def _multiple(config: Config) -> int:
    """What must divide data.hr_patch in phase gan."""
    return math.lcm(config.discriminator.multiple, config.generator.scale)


def _check_settings(config: Config, folder: Path) -> None:
    """A phase goes on with the settings that its newest checkpoint was made with."""
    before = checkpoint_config(folder / "checkpoints")
    if before is None:
        return
    free = _FREE if getattr(config, folder.name).schedule == "step" else _FREE - {f"{folder.name}.steps"}
    sections = {"data", "generator", "runtime", folder.name} | ({"discriminator"} if folder.name == "gan" else set())
    used = _used(config)
    differences = [
        f"{key} {value_of(before, key)}, not {value_of(config, key)}"
        for key in keys(config)
        if (key in used or key.split(".")[0] in sections)
        and key not in free
        and not same_value(key, value_of(before, key), value_of(config, key))
    ]
    if differences:
        raise UserError(
            f"{folder} was trained with {'; '.join(differences)}: leave that as it was, choose another --run_dir, or "
            "give --allow_changes too"
        )


def _check_networks(config: Config, run_dir: Path, phase: str) -> None:
    """The discriminator must suit the patches, and a run keeps its networks: others would not fit its checkpoints."""
    patch, name, multiple = config.data.hr_patch, config.discriminator.name, _multiple(config)
    if phase == "gan" and patch % multiple:
        raise UserError(
            f"data.hr_patch: {patch} does not suit the {name} discriminator; it needs a multiple of {multiple}"
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
                    f"{section}.{key}: {run_dir} was begun with {old[key]}, not {new[key]}; choose another --run_dir"
                )
