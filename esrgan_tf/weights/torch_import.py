"""Formats that need PyTorch. Imports no TensorFlow."""

from pathlib import Path

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.file_kinds import PICKLED


def check_torch(path: str | Path) -> None:
    """Refuses the name of a file that only PyTorch writes where there is no PyTorch that works.

    Raises:
        UserError: with what to install.
    """
    if Path(path).suffix.lower() in PICKLED:
        import_torch(path)


def import_torch(path: str | Path):
    """PyTorch, for the file at `path`.

    Raises:
        UserError: with what to install.
    """
    try:
        import torch
    except (ImportError, OSError, RuntimeError) as error:  # the latter where its libraries are missing or damaged
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            raise UserError(
                f"{path}: this format needs PyTorch; pip install 'esrgan-tf[torch]', or use .safetensors"
            ) from error
        raise UserError(
            f"{path}: this format needs PyTorch, and the torch that is installed cannot be imported "
            f"({first_line(error)}); pip install --force-reinstall torch, or use .safetensors"
        ) from error
    return torch
