"""What a phase of `esrgan-tf train` starts from: random weights, the phase before, or a file that somebody gives."""

import contextlib
from pathlib import Path

from esrgan_tf.config import Config, with_section
from esrgan_tf.errors import UserError, as_typed
from esrgan_tf.weights.named import find_by_name, place_of_model

# In the phase's folder: beside checkpoints these tell a repeated command from one that means another start.
_RECORDS = {"init_from": "init_from.txt", "discriminator_from": "discriminator_from.txt"}


def initial_weights(phase: str, run_dir: Path, init_from: str | None, models_dir: str | None) -> Path | None:
    """The generator that a phase starts from, if by a published name not yet downloaded; None for random weights.

    Raises:
        UserError: it is not there.
    """
    if init_from is not None:
        return _given_model("init_from", init_from, models_dir)
    if phase == "psnr":
        return None
    path = run_dir / "psnr" / "generator.keras"
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
        return place_of_model(name, models_dir)
    except UserError as error:
        raise UserError(f"--{flag}: {error}") from error


def given_file(flag: str, path: str) -> Path:
    """The file that the user names by `--flag`.

    Raises:
        UserError: it is not there.
    """
    if not path:
        raise UserError(f"--{flag} is empty; name a file, or leave the flag out")
    if not Path(path).exists():
        raise UserError(f"--{flag}: no file {path}")
    return Path(path)


def record_start(folder: Path, flag: str, path: str | None) -> None:
    """Notes in the phase's folder which file, or model by its name, `--flag` starts it from, if any."""
    record = folder / _RECORDS[flag]
    if path is None:
        record.unlink(missing_ok=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    record.write_text(f"{_identity(path)}\n", encoding="utf-8", errors="surrogateescape")


def recorded_start(folder: Path, flag: str = "init_from") -> str | None:
    """The file or the model's name that `record_start` noted, if any."""
    record = folder / _RECORDS[flag]
    return record.read_text(encoding="utf-8", errors="replace").strip() if record.is_file() else None


def check_same_start(folder: Path, flag: str, path: str) -> None:
    """Lets a repeated command go on, and nothing else: another start is another run.

    Raises:
        UserError: the phase was started from something else.
    """
    started = recorded_start(folder, flag)
    if started != _identity(path):
        raise UserError(
            f"--{flag}: phase {folder.name} of {folder.parent} has begun, from {started or 'no file'}; "
            "leave the flag out to go on, or choose another --run_dir"
        )


def _identity(path):
    """A file's whole path, or a model's name in one spelling."""
    if not Path(path).exists():
        with contextlib.suppress(UserError):
            return find_by_name(path).name
    return str(Path(path).resolve())


def generator_section(architecture, path: Path) -> dict:
    """The configuration's section `generator` for a recognised network.

    Raises:
        UserError: it is not for RGB.
    """
    values = dict(architecture.arguments)
    channels = {values.pop(key) for key in ("in_channels", "out_channels", "channels") if key in values}
    if channels != {3}:
        raise UserError(f"--init_from {path}: {architecture}; training is on RGB, 3 channels in and out")
    if values.get("unshuffle") == _usual_unshuffle(values["scale"]):
        values["unshuffle"] = None
    return {"name": architecture.name, **values}


def _usual_unshuffle(scale):
    return max(1, 4 // scale)


def discriminator_section(architecture, path: Path, hr_patch: int) -> dict:
    """The configuration's section `discriminator` for a recognised network.

    Raises:
        UserError: it is for patches of another size.
    """
    size = architecture.arguments.get("image_size", hr_patch)
    if size != hr_patch:
        raise UserError(f"--discriminator_from {path}: {architecture}; set data.hr_patch={size}, not {hr_patch}")
    return {"name": architecture.name, "filters": architecture.arguments["filters"]}


def adopted(config: Config, section: str, values: dict, overrides: list[str], source: Path) -> Config:
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
        given, has = (getattr(getattr(c, section), key) for c in (config, result))
        if key == "unshuffle" and result.generator.name == "rrdb":  # null stands for a number
            given, has = (value or _usual_unshuffle(result.generator.scale) for value in (given, has))
        if given != has:
            raise UserError(f"--set {override}: {source} has {has}; leave the --set out")
    return result
