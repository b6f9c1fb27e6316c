"""Import of PyTorch, which some file formats need. Imports no TensorFlow."""

from pathlib import Path

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.file_kinds import PICKLED


def check_torch(path: str | Path) -> None:
    """Refuses a path with an extension of PyTorch's formats if PyTorch cannot be imported.

    Raises:
        UserError: PyTorch cannot be imported; the message has the command that installs it.
    """
    if Path(path).suffix.lower() in PICKLED:
        import_torch(path)


def import_torch(path: str | Path):
    """Imports PyTorch for the file at `path`, which messages name.

    Raises:
        UserError: PyTorch cannot be imported; the message has the command that installs it.
    """
    try:
        import torch
    except (ImportError, OSError, RuntimeError) as error:  # OSError, RuntimeError: native libraries missing or damaged
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            raise UserError(
                f"{path}: this format needs PyTorch; pip install 'esrgan-tf[torch]', or use .safetensors"
            ) from error
        raise UserError(
            f"{path}: this format needs PyTorch, and the installed package torch cannot be imported "
            f"({first_line(error)}); pip install --force-reinstall torch, or use .safetensors"
        ) from error
    return torch
