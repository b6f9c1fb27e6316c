"""`esrgan-tf COMMAND …`."""

import importlib
import importlib.metadata
import io
import sys

from esrgan_tf import __version__
from esrgan_tf.cli.common import run_command
from esrgan_tf.cli.examples import TYPICAL, format_examples
from esrgan_tf.errors import UserError

COMMANDS = {
    "train": "train a network in two phases, psnr and gan",
    "status": "print the state of a training run and draw its curves",
    "export": "write a trained generator as SavedModel, LiteRT or ONNX",
    "upscale": "upscale images and folders of images",
    "evaluate": "measure PSNR and SSIM of a model on a folder of images",
    "degrade": "degrade images as Real-ESRGAN's training does",
    "models": "list and download models: bundled, downloaded, downloadable",
    "web": "serve a page that upscales photos, in the browser or on this computer",
    "convert": "convert between PyTorch weights, Keras files, SavedModel, LiteRT and ONNX",
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    return run_command(_dispatch, sys.argv[1:] if argv is None else argv)


def _dispatch(argv):
    if not argv or argv[0] in ("--help", "-h", "help"):
        lines = [f"  {name:<10}{text}" for name, text in COMMANDS.items()]
        print("usage: esrgan-tf COMMAND [flags]\n\n" + "\n".join(lines) + f"\n\n{format_examples(TYPICAL)}")
        print("\nesrgan-tf COMMAND --help explains a command, with examples. --version prints the versions.")
        return
    if argv[0] == "--version":
        print(
            f"esrgan-tf {__version__}, {', '.join(f'{title} {_version(title)}' for title in ('TensorFlow', 'Keras'))}"
        )
        return
    if argv[0] not in COMMANDS:
        raise UserError(f"unknown command {argv[0]!r}; commands are {', '.join(COMMANDS)}")
    importlib.import_module(f"esrgan_tf.cli.{argv[0]}").main(argv)


def _version(package):
    """The installed version, read without an import: TensorFlow takes seconds to import."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def entry_point() -> None:
    """The console command `esrgan-tf`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A log file gets each line at once, and no encoding fails on a file name.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    sys.exit(main())
