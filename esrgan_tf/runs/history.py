"""What a run was made with, as far as the machine can tell: for `history.yaml`."""

import datetime
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import esrgan_tf

_PACKAGES = ("tensorflow", "keras", "numpy", "tensorflow-datasets", "pillow")


def facts(command: str, devices: list[str]) -> dict:
    """When, by which command, with which versions, on which devices."""
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
        "version": esrgan_tf.__version__,
        "revision": git_revision(Path(__file__).parent),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "system": platform.platform(),
        "devices": devices,
    }


def git_revision(folder: Path) -> str | None:
    """The commit of the sources in `folder`, `+` behind it where they differ from it; None where git knows neither."""
    try:
        subprocess.run(["git", "ls-files", "--error-unmatch", "."], cwd=folder, check=True, capture_output=True)
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
            cwd=folder, check=True, capture_output=True, text=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()


def device_names(strategy) -> list[str]:
    """This machine's devices, by the model where TensorFlow or Linux knows it."""
    import tensorflow as tf

    names = []
    physical = {device.name.rsplit(":", 1)[-1]: device for device in tf.config.list_physical_devices("GPU")}
    for device in strategy.extended.worker_devices:
        short = device.rsplit("/", 1)[-1].removeprefix("device:")
        kind, _, number = short.partition(":")
        model = _processor()
        if kind == "GPU" and number in physical:
            model = tf.config.experimental.get_device_details(physical[number]).get("device_name", "")
        names.append(f"{short} {model}".strip())
    return names


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
