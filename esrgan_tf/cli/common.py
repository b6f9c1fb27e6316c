"""What the commands share: flags, the configuration's place, one-line errors, a quiet TensorFlow."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from esrgan_tf.cli.examples import EXAMPLES, shown
from esrgan_tf.config import Config, load_config, of_another_program, with_absolute_paths
from esrgan_tf.errors import UserError, as_typed, printable
from esrgan_tf.publish.export_formats import SIGNATURES, format_of
from esrgan_tf.quiet import quiet_native
from esrgan_tf.weights.model_names import find_model

if TYPE_CHECKING:
    import keras

# What the machine refuses rather than the program: one line, like any mistake.
_REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR}
_REFUSALS |= {errno.EEXIST, errno.ENAMETOOLONG, errno.ENOENT, errno.ELOOP}

_RENAMED_FLAGS = {"--sheet": "--comparison_grid"}  # names of version 0.1.0


def run_command(main: Callable[[list[str]], None], argv: list[str]) -> int:
    """Runs `main(argv)` and returns its exit status: 0, 2 for a mistake of the user's, 130 after Ctrl-C."""
    try:
        main(argv)
    except UserError as error:
        print(f"esrgan-tf: {printable(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # as for a program that the signal ends
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        place = f": {error.filename}" if error.filename else ""
        print(f"esrgan-tf: {printable(f'{error.strerror}{place}')}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("esrgan-tf: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def parse(values: flags.FlagValues, argv: list[str], usage: str) -> list[str]:
    """Parses `argv` (the command first) into `values` and returns the positional arguments.

    Raises:
        UserError: unknown flag, missing or impossible value.
        SystemExit: after `--help`.
    """
    if any(argument in ("--help", "-help", "-h") for argument in argv[1:]):
        examples = shown(EXAMPLES[argv[0]])
        print(f"usage: esrgan-tf {usage}\n\n{examples}\n{values.main_module_help() or values.get_help()}")
        raise SystemExit(0)
    values.unparse_flags()  # what an earlier call in the same process set
    try:
        return values([_flag_of_today(argument) for argument in argv])[1:]
    except flags.Error as error:
        message = " ".join(str(error).removeprefix("FATAL Flags parsing error:").split())
        raise UserError(f"{message} ({as_typed(argv[0], '--help')} explains the flags)") from error


def _flag_of_today(argument: str) -> str:
    """The argument with a flag's name of this version."""
    flag, equals, value = argument.partition("=")
    if flag not in _RENAMED_FLAGS:
        return argument
    _note(f"{flag} is now {_RENAMED_FLAGS[flag]}")
    return f"{_RENAMED_FLAGS[flag]}{equals}{value}"


def define_models_dir(values: flags.FlagValues) -> None:
    """The flag `--models_dir` of the commands that take models by name."""
    flags.DEFINE_string(
        "models_dir", None, "Where downloaded models lie; else $ESRGAN_TF_MODELS, else the user's cache.",
        flag_values=values,
    )  # fmt: skip


def named_model(values: flags.FlagValues, flag: str) -> Path:
    """The file or folder of the model that `--flag` names, downloaded if need be.

    Raises:
        UserError: as `find_model`.
    """
    try:
        return find_model(getattr(values, flag), values.models_dir)
    except UserError as error:
        raise UserError(f"--{flag}: {error}") from error


def write_file(model: "keras.Model", output: Path, origin: dict[str, str], **options) -> str:
    """Writes a `.tflite` or `.onnx` file and returns the line that says so.

    Args:
        origin: licence and source, for what the file says of itself.
        options: `weights` and `tile` of LiteRT, `signature` and `tile` of ONNX.
    """
    from esrgan_tf.publish.litert import export_litert
    from esrgan_tf.publish.onnx import export_onnx
    from esrgan_tf.publish.provenance import facts_of

    litert = format_of(output) == "litert"
    signatures = SIGNATURES if litert else (options.get("signature", SIGNATURES[0]),)
    facts = facts_of(model, output.stem, origin, options.get("tile"), signatures)
    if litert:
        options.pop("signature", None)
        with quiet_native():  # LiteRT's line on what it runs with
            runtime, fidelity = "LiteRT", export_litert(model, output, facts=facts, **options)
    else:
        options.pop("weights", None)
        runtime, fidelity = "ONNX Runtime", export_onnx(model, output, facts=facts, **options)
    line = (
        f"written, run in {runtime} and compared: {output}, {output.stat().st_size / 1e6:.1f} MB; "
        f"PSNR of what it makes of a photo to what the network itself makes: {fidelity:.1f} dB"
    )
    return f"{line} (8-bit weights give another image)" if options.get("weights") == "dynamic" else line


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


def find_config(config: str | None, run_dir: Path | None, overrides: list[str], together: bool = True) -> Config:
    """Loads what a command runs with: `--config`, else the run's own, else `config.yaml` here, else the defaults.

    A `config.yaml` here of another program is passed over with a line. Paths in the result are absolute, so that a run
    goes on from any folder. `together` as in `load_config`.
    """
    of_run, here = None if run_dir is None else run_dir / "config.yaml", Path("config.yaml")
    path = Path(config) if config else None
    if path is None and of_run is not None and of_run.is_file():
        path = of_run
    elif path is None and here.is_file():
        foreign = of_another_program(here)
        path = None if foreign else here
        if foreign:
            _note(
                f"./config.yaml is not a configuration of esrgan-tf ({foreign}) and is ignored; name it with --config "
                "to have it checked"
            )
    loaded = load_config(path, overrides, together, _note)
    print(f"configuration: {path or 'the defaults'}{''.join(f', {text}' for text in overrides)}")
    return with_absolute_paths(loaded)
