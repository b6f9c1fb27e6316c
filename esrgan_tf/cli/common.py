"""Helpers of all commands: flags and their help, one-line errors, models by name, the configuration."""

import errno
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from esrgan_tf.cli.examples import EXAMPLES, format_examples
from esrgan_tf.config import Config, load_config, of_another_program, with_absolute_paths
from esrgan_tf.errors import UserError, as_typed, printable
from esrgan_tf.publish.export_formats import SIGNATURES, format_of
from esrgan_tf.quiet import quiet_native
from esrgan_tf.weights.model_names import find_model

if TYPE_CHECKING:
    import keras

# Refusals of the operating system, reported on one line like a user's mistake.
_REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR}
_REFUSALS |= {errno.EEXIST, errno.ENAMETOOLONG, errno.ENOENT, errno.ELOOP}

_RENAMED_FLAGS = {"--sheet": "--comparison_grid"}  # names of version 0.1.0
_HELP_WIDTH, _INDENT = 100, " " * 8
_REPEAT = ";\n    repeat this option to specify a list of values"  # absl appends it to the help of repeatable flags

Groups = Mapping[str, Sequence[str]]  # titles of `--help`, each with the names of its flags


def run_command(main: Callable[[list[str]], None], argv: list[str]) -> int:
    """Runs `main(argv)` and returns its exit status.

    0 is success and 2 is a user's mistake. Ctrl-C gives 130.
    """
    try:
        main(argv)
    except UserError as error:
        print(f"esrgan-tf: {printable(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # the status of a program that SIGPIPE ends
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


def parse(values: flags.FlagValues, groups: Groups, argv: list[str], usage: str) -> list[str]:
    """Parses `argv` (the command first) into `values` and returns the positional arguments.

    Args:
        groups: the flags' names under the titles that `--help` prints, in this order.

    Raises:
        UserError: unknown flag, missing or impossible value.
        SystemExit: after `--help`.
    """
    if any(argument in ("--help", "-help", "-h") for argument in argv[1:]):
        print(f"usage: esrgan-tf {usage}\n\nexamples:\n{format_examples(EXAMPLES[argv[0]])}\n")
        print("\n".join(_format_groups(values, groups)))
        print(f"absl:\n{textwrap.indent(flags.FlagValues().get_help(), '  ')}")  # flags of every command
        raise SystemExit(0)
    values.unparse_flags()  # drops the values of an earlier call in the same process
    try:
        return values([_rename_flag(argument) for argument in argv])[1:]
    except flags.Error as error:
        message = " ".join(str(error).removeprefix("FATAL Flags parsing error:").split())
        raise UserError(f"{message} ({as_typed(argv[0], '--help')} explains the flags)") from error


def _format_groups(values: flags.FlagValues, groups: Groups) -> Iterator[str]:
    """Lines on each flag: its name, and below it the meaning, the accepted values and the default."""
    for title, names in groups.items():
        yield f"{title}:"
        for name in names:
            flag = values[name]
            yield f"  --[no]{name}" if flag.boolean else f"  --{name}"
            notes = [flag.parser.syntactic_help] if flag.parser.syntactic_help else []
            notes += [] if flag.default in (None, []) else [f"default: {(flag.default_as_str or '').strip(chr(39))}"]
            meaning = flag.help.removesuffix(_REPEAT)
            text = f"{meaning} ({'; '.join(notes)})" if notes else meaning
            yield textwrap.fill(
                text, _HELP_WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT,
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
        yield ""


def _rename_flag(argument: str) -> str:
    """The argument with the flag's name of this version."""
    flag, equals, value = argument.partition("=")
    if flag not in _RENAMED_FLAGS:
        return argument
    _note(f"{flag} is now {_RENAMED_FLAGS[flag]}")
    return f"{_RENAMED_FLAGS[flag]}{equals}{value}"


def define_models_dir(values: flags.FlagValues) -> None:
    """Defines the flag `--models_dir` of the commands that accept models by name."""
    flags.DEFINE_string(
        "models_dir", None,
        "Folder of downloaded models. Default: $ESRGAN_TF_MODELS if it is set, otherwise the user's cache.",
        flag_values=values,
    )  # fmt: skip


def named_model(values: flags.FlagValues, flag: str) -> Path:
    """The file or folder of the model that `--flag` names; a downloadable model is downloaded first.

    Raises:
        UserError: see `find_model`.
    """
    try:
        return find_model(getattr(values, flag), values.models_dir)
    except UserError as error:
        raise UserError(f"--{flag}: {error}") from error


def write_file(model: "keras.Model", output: Path, origin: dict[str, str], **options) -> str:
    """Writes a `.tflite` or `.onnx` file and returns a line on the file and its fidelity.

    Args:
        origin: licence and source, for the file's metadata.
        options: `weights` and `tile` for LiteRT, `signature` and `tile` for ONNX.
    """
    from esrgan_tf.publish.litert import export_litert
    from esrgan_tf.publish.onnx import export_onnx
    from esrgan_tf.publish.provenance import facts_of

    litert = format_of(output) == "litert"
    signatures = SIGNATURES if litert else (options.get("signature", SIGNATURES[0]),)
    facts = facts_of(model, output.stem, origin, options.get("tile"), signatures)
    if litert:
        options.pop("signature", None)
        with quiet_native():  # LiteRT prints a line on its delegate
            runtime, fidelity = "LiteRT", export_litert(model, output, facts=facts, **options)
    else:
        options.pop("weights", None)
        runtime, fidelity = "ONNX Runtime", export_onnx(model, output, facts=facts, **options)
    line = (
        f"written, run in {runtime} and compared: {output}, {output.stat().st_size / 1e6:.1f} MB; "
        f"PSNR between its result for a photo and the network's: {fidelity:.1f} dB"
    )
    return f"{line} (8-bit weights change the image)" if options.get("weights") == "dynamic" else line


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


def find_config(config: str | None, run_dir: Path | None, overrides: list[str], together: bool = True) -> Config:
    """Loads the configuration of a command.

    The first file that exists is read: `--config`, the run's `config.yaml`, `./config.yaml`. Without a file the
    defaults apply. A `./config.yaml` of another program is ignored with a note. Paths in the result are absolute, so
    that a run can be resumed from any folder. `together` as in `load_config`.
    """
    in_run, here = None if run_dir is None else run_dir / "config.yaml", Path("config.yaml")
    path = Path(config) if config else None
    if path is None and in_run is not None and in_run.is_file():
        path = in_run
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
