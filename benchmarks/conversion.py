"""Time and memory of `esrgan-tf convert` for the full-size RRDBNet (16,697,987 parameters), with random weights.

    python benchmarks/conversion.py

Each conversion runs in a new process. The table has wall times, start-up included, and peak memory.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from esrgan_tf.quiet import quiet_tensorflow

CONVERSIONS = [
    ("esrgan.safetensors", "saved_model"),
    ("esrgan.pth", "saved_model_from_pth"),
    ("esrgan.pth", "esrgan.keras"),
    ("esrgan.keras", "back.pth"),
    ("saved_model", "back.safetensors"),
]


def main():
    with quiet_tensorflow():
        from esrgan_tf.models import rrdb_generator
        from esrgan_tf.weights.torch_files import save_torch
    program = Path(sys.executable).with_name("esrgan-tf")
    with tempfile.TemporaryDirectory() as folder:
        model = rrdb_generator()
        for name in ("esrgan.safetensors", "esrgan.pth"):
            save_torch(model, Path(folder) / name)
        print(f"{'from':<20} {'to':<22} {'seconds':>8} {'peak MB':>11}")
        for source, target in CONVERSIONS:
            seconds, peak = measure(program, "convert", source, target, cwd=folder)
            print(f"{source:<20} {target:<22} {seconds:8.1f} {peak:11,.0f}")


def measure(*command, cwd):
    """Wall time in seconds and peak memory in MB of a process."""
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.monotonic() - began, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
