"""The export formats of generators and the packages that each format needs. Imports no TensorFlow."""

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esrgan_tf.errors import UserError, first_line

FORMATS = {"saved_model": "", "litert": ".tflite", "onnx": ".onnx"}  # format: extension, "" for a folder
SIGNATURES = ("serving_default", "uint8")
WEIGHTS = ("float32", "float16", "dynamic")  # types of weights in LiteRT files


@dataclass(frozen=True)
class Extra:
    """An extra of this package, which installs the packages that a format needs beside TensorFlow.

    Attributes:
        name: the extra's name in `pip install 'esrgan-tf[name]'`.
        format: the format's name for users.
        modules: the modules that the format imports.
    """

    name: str
    format: str
    modules: tuple[str, ...]

    def check(self, path: str | Path) -> None:
        """Refuses a path if a module is missing, before long computations.

        Raises:
            UserError: a module is missing; the message has the command that installs it.
        """
        if not self.is_there:
            raise UserError(self._message(path))

    @property
    def is_there(self) -> bool:
        """Whether all modules are installed; damaged installations count as installed."""
        return all(importlib.util.find_spec(module.partition(".")[0]) is not None for module in self.modules)

    def load(self, path: str | Path) -> dict[str, Any]:
        """Imports the modules, for the file at `path`, and returns them by name.

        Raises:
            UserError: a module is missing or cannot be imported; the message has the command that installs it.
        """
        self.check(path)
        try:
            return {module: importlib.import_module(module) for module in self.modules}
        except Exception as error:  # damaged or incompatible native libraries raise any exception
            raise UserError(f"{self._message(path)} ({first_line(error)})") from error

    def _message(self, path):
        return f"{path}: {self.format} needs packages that are not installed; pip install 'esrgan-tf[{self.name}]'"


LITERT = Extra("litert", "LiteRT", ("ai_edge_litert.interpreter",))
ONNX = Extra("onnx", "ONNX", ("onnx", "onnxruntime", "tf2onnx"))
EXTRAS = {"litert": LITERT, "onnx": ONNX}


def format_of(output: str | Path, wanted: str | None = None) -> str:
    """The format (of `FORMATS`) of an output path: `wanted`, or the format that the path's extension selects.

    Raises:
        UserError: the extension is not that of the wanted format.
    """
    extension = Path(output).suffix.lower()
    by_extension = next((name for name, known in FORMATS.items() if known and known == extension), "saved_model")
    if wanted is None or wanted == by_extension:
        return by_extension
    remedy = f"use the extension {FORMATS[wanted]}" if FORMATS[wanted] else "a SavedModel is a folder without extension"
    raise UserError(f"{output} is not a name for the format {wanted}; {remedy}")
