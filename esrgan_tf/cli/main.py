"""`esrgan-tf COMMAND …`."""

import importlib
import importlib.metadata
import io
import sys

from esrgan_tf import __version__
from esrgan_tf.cli.common import run_command
from esrgan_tf.cli.examples import TYPICAL, shown
from esrgan_tf.errors import UserError

COMMANDS = {
    "train": "train one phase: psnr, then gan",
    "status": "where a run stands, and its curves",
    "export": "write a trained generator as a SavedModel",
    "upscale": "enlarge images of any kind and size",
    "evaluate": "PSNR and SSIM of a model on a folder of images",
    "degrade": "what Real-ESRGAN's training does to images",
    "models": "models by name: packaged, downloaded, and published by others",
    "web": "a page that enlarges photos, in the browser or by this computer",
    "convert": "PyTorch weights, .keras files and SavedModels, any into any other",
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    return run_command(_dispatch, sys.argv[1:] if argv is None else argv)


def _dispatch(argv):
    if not argv or argv[0] in ("--help", "-h", "help"):
        lines = [f"  {name:<10}{text}" for name, text in COMMANDS.items()]
        print("usage: esrgan-tf COMMAND [flags]\n\n" + "\n".join(lines) + f"\n\n{shown(TYPICAL)}")
        print("\nesrgan-tf COMMAND --help explains each, with examples; --version tells the versions.")
        return
    if argv[0] == "--version":
        print(
            f"esrgan-tf {__version__}, {', '.join(f'{title} {_version(title)}' for title in ('TensorFlow', 'Keras'))}"
        )
        return
    if argv[0] not in COMMANDS:
        raise UserError(f"unknown command {argv[0]!r}; there are: {', '.join(COMMANDS)}")
    importlib.import_module(f"esrgan_tf.cli.{argv[0]}").main(argv)


def _version(package):
    """Read from the installation's records: importing TensorFlow takes seconds."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def entry_point() -> None:
    """The console command `esrgan-tf`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # In a log file, too, each line is there at once; and no name ends the program, whatever the encoding.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    sys.exit(main())
