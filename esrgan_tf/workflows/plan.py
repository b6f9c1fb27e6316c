"""How a phase of training starts: new, resumed, or from networks that somebody gives. Imports no TensorFlow."""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from esrgan_tf.config import Config, as_plain, keys, load_config, same_value, value_of, with_section
from esrgan_tf.config.consistency import check_consistency
from esrgan_tf.errors import UserError, as_typed, listed
from esrgan_tf.runs.folder import PHASES, checkpoint_config, checkpoint_steps, generator_path
from esrgan_tf.runs.starts import check_same_start, recorded_start
from esrgan_tf.weights.model_names import path_of_model

# What may differ from the settings of the checkpoint that training goes on from: no number depends on it, or other
# images tell.
_FREE = {
    "data.data_dir", "data.cache_dir", "data.val_hr_dir", "data.val_lr_dir", "data.skip_unreadable",
    "psnr.steps", "gan.steps", "runtime.log_every", "runtime.validate_every", "runtime.checkpoint_every",
    "runtime.keep_checkpoints",
}  # fmt: skip


@dataclass(frozen=True)
class Start:
    """How a phase starts.

    Attributes:
        phase: `psnr` or `gan`.
        run_dir: the run's folder; `folder` is the phase's in it.
        config: what it runs with. Where networks are given, `with_networks` completes it.
        overrides: what was set over the configuration, which given networks must not contradict.
        begun: whether there is a checkpoint to go on from.
        init_from, discriminator_from: what the user named.
        generator, discriminator: where the weights are that it begins with; None for random ones, or where it goes on.
        allow_changes: whether it may go on with other settings and images.
    """

    phase: str
    run_dir: Path
    config: Config
    overrides: tuple[str, ...]
    begun: bool
    init_from: str | None = None
    discriminator_from: str | None = None
    generator: Path | None = None
    discriminator: Path | None = None
    allow_changes: bool = False

    @property
    def folder(self) -> Path:
        return self.run_dir / self.phase

    @property
    def given(self) -> bool:
        """Whether the run gets its networks from files that the user named."""
        return not self.begun and (self.init_from is not None or self.discriminator_from is not None)

    def notes(self) -> list[str]:
        """What is worth saying of the configuration."""
        return list(_notes(self.config, self.phase))

    def with_networks(self, generator, discriminator) -> "Start":
        """With the architectures of the files given, as `weights.architecture` recognised them; None for none.

        A generator may be given for another scale than the one that was set; the rest of it is the file's.

        Raises:
            UserError: they do not suit the configuration, or the run.
        """
        config = self.config
        if generator is not None:
            section = _generator_section(generator, self.generator)
            if any(override.partition("=")[0].strip() == "generator.scale" for override in self.overrides):
                section["scale"] = config.generator.scale
            config = _adopted(config, "generator", section, self.overrides, self.generator)
        if discriminator is not None:
            section = _discriminator_section(discriminator, self.discriminator, config.data.hr_patch)
            config = _adopted(config, "discriminator", section, self.overrides, self.discriminator)
        _check_networks(config, self.run_dir, self.phase)
        return dataclasses.replace(self, config=config)


def decide(
    phase: str,
    run_dir: Path,
    config: Config,
    overrides: Iterable[str] = (),
    init_from: str | None = None,
    discriminator_from: str | None = None,
    allow_changes: bool = False,
    models_dir: str | None = None,
) -> Start:
    """Settles all that can be without TensorFlow, while nothing has been written.

    Args:
        config: as read; its keys need not suit one another yet, where the run or a file has the networks.

    Raises:
        UserError: what is wrong with it, and what would be right.
    """
    folder = run_dir / phase
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
    overrides = tuple(overrides)
    start = Start(
        phase, run_dir, config, overrides, begun, init_from, discriminator_from, generator, discriminator, allow_changes
    )
    # A run that began from a file has that file's networks, whatever a configuration says; a new one will have them.
    record = run_dir / "config.yaml"
    if (init_from is None or begun) and record.is_file():
        before = load_config(record)
        if any(recorded_start(run_dir / name) for name in PHASES):
            config = _adopted(config, "generator", as_plain(before.generator), overrides, run_dir)
        if begun and recorded_start(folder, "discriminator_from"):
            config = _adopted(config, "discriminator", as_plain(before.discriminator), overrides, run_dir)
    if not start.given:
        check_consistency(config)
        _check_networks(config, run_dir, phase)
    if not allow_changes:
        _check_settings(config, folder)
    return dataclasses.replace(start, config=config)


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


def _generator_section(architecture, path):
    """The configuration's section `generator` for a recognised network.

    Raises:
        UserError: it is not for RGB.
    """
    if architecture.options.channels_in_and_out != (3, 3):
        raise UserError(f"--init_from {path}: {architecture}; training is on RGB, 3 channels in and out")
    return as_plain(architecture.options)


def _discriminator_section(architecture, path, hr_patch):
    """The configuration's section `discriminator` for a recognised network.

    Raises:
        UserError: it is for patches of another size.
    """
    size = getattr(architecture.options, "image_size", hr_patch)
    if size != hr_patch:
        raise UserError(f"--discriminator_from {path}: {architecture}; set data.hr_patch={size}, not {hr_patch}")
    return as_plain(architecture.options)


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
    if not trained or not (run_dir / "config.yaml").is_file():
        return
    before = load_config(run_dir / "config.yaml")
    for section in ("generator", "discriminator") if "gan" in trained else ("generator",):
        old, new = as_plain(getattr(before, section)), as_plain(getattr(config, section))
        for key in old:
            if old[key] != new.get(key):
                raise UserError(
                    f"{section}.{key}: {run_dir} was begun with {old[key]}, not {new[key]}; choose another --run_dir"
                )
