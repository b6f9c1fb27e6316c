"""What can be said of a weights file by its name alone. Imports neither TensorFlow nor PyTorch."""

import importlib.util
from pathlib import Path

from esrgan_tf.errors import UserError

PICKLED = (".pth", ".pt", ".ckpt")


def check_torch(path: str | Path) -> None:
    """Refuses a file that only PyTorch reads or writes where there is no PyTorch.

    Raises:
        UserError: with what to install.
    """
    if Path(path).suffix.lower() in PICKLED and importlib.util.find_spec("torch") is None:
        raise UserError(f"{path}: this format needs PyTorch; pip install 'esrgan-tf[torch]', or use .safetensors")
