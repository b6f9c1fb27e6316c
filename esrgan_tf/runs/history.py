"""Facts on a start for `history.yaml`: time, command, versions, devices."""

import datetime
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import esrgan_tf

_PACKAGES = ("tensorflow", "keras", "numpy", "tensorflow-datasets", "pillow")


def facts(command: str, devices: list[str]) -> dict:
    """Time, command, versions and devices of a start."""
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
    """The commit of the sources in `folder`, with `+` if the sources differ; None outside a git repository."""
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
    """This machine's devices, with the model if TensorFlow or Linux reports the model."""
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
