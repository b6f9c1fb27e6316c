"""The configuration of a run: frozen dataclasses, read from YAML, overridden by key, checked before a run.

Imports no TensorFlow, so that mistakes are reported immediately.
"""

from esrgan_tf.config.consistency import check_degradation
from esrgan_tf.config.reading import (
    MACHINE_SPECIFIC,
    PATHS,
    keys,
    load_config,
    of_another_program,
    same_value,
    save_config,
    value_of,
    with_absolute_paths,
    with_section,
)
from esrgan_tf.config.sections import (
    Config,
    DataConfig,
    DegradationConfig,
    DegradationRoundConfig,
    ExportConfig,
    GanConfig,
    PhaseConfig,
    RuntimeConfig,
    SecondRoundConfig,
)
from esrgan_tf.schema import as_plain

__all__ = [
    "MACHINE_SPECIFIC",
    "PATHS",
    "Config",
    "DataConfig",
    "DegradationConfig",
    "DegradationRoundConfig",
    "ExportConfig",
    "GanConfig",
    "PhaseConfig",
    "RuntimeConfig",
    "SecondRoundConfig",
    "as_plain",
    "check_degradation",
    "keys",
    "load_config",
    "of_another_program",
    "same_value",
    "save_config",
    "value_of",
    "with_absolute_paths",
    "with_section",
]
