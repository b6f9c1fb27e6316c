"""The formats that a generator is published in, and what each needs. Imports no TensorFlow."""

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esrgan_tf.errors import UserError, first_line

FORMATS = {"saved_model": "", "litert": ".tflite", "onnx": ".onnx"}  # and the ending of their files; a folder has none
SIGNATURES = ("serving_default", "uint8")
WEIGHTS = ("float32", "float16", "dynamic")  # of LiteRT


@dataclass(frozen=True)
class Extra:
    """What one format needs beside TensorFlow: packages that an extra of this one brings.

    Attributes:
        name: as in `pip install 'esrgan-tf[name]'`.
        format: what people call it.
        modules: that must be there.
    """

    name: str
    format: str
    modules: tuple[str, ...]

    def check(self, path: str | Path) -> None:
        """Refuses what cannot be written, before anything long has begun.

        Raises:
            UserError: a module is not there, with what to install.
        """
        if not self.is_there:
            raise UserError(self._line(path))

    @property
    def is_there(self) -> bool:
        """Whether all modules are installed, whole or not."""
        return all(importlib.util.find_spec(module.partition(".")[0]) is not None for module in self.modules)

    def load(self, path: str | Path) -> dict[str, Any]:
        """The modules by name, for the file at `path`.

        Raises:
            UserError: one is not there or cannot be imported, with what to install.
        """
        self.check(path)
        try:
            return {module: importlib.import_module(module) for module in self.modules}
        except Exception as error:  # libraries that are damaged or do not fit this machine say so in many ways
            raise UserError(f"{self._line(path)} ({first_line(error)})") from error

    def _line(self, path):
        return f"{path}: {self.format} needs packages that are not there; pip install 'esrgan-tf[{self.name}]'"


LITERT = Extra("litert", "LiteRT", ("ai_edge_litert.interpreter",))
ONNX = Extra("onnx", "ONNX", ("onnx", "onnxruntime", "tf2onnx"))
EXTRAS = {"litert": LITERT, "onnx": ONNX}


def format_of(output: str | Path, wanted: str | None = None) -> str:
    """The one of `FORMATS` that the ending of the file's name tells, where none is `wanted`.

    Raises:
        UserError: the ending is not that of the `wanted` one.
    """
    extension = Path(output).suffix.lower()
    by_extension = next((name for name, known in FORMATS.items() if known and known == extension), "saved_model")
    if wanted is None or wanted == by_extension:
        return by_extension
    right = f"end it in {FORMATS[wanted]}" if FORMATS[wanted] else "a SavedModel is a folder without an ending"
    raise UserError(f"{output} is not a name for the format {wanted}; {right}")
