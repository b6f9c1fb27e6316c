"""The engine of Keras and TensorFlow, for any generator on CPUs and GPUs."""

import functools
import re
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from esrgan_tf.errors import UserError
from esrgan_tf.inference.network_facts import network_facts
from esrgan_tf.inference.runner import PRECISIONS, Runner
from esrgan_tf.models.build_targets import BuildTarget, build_for
from esrgan_tf.models.noise_level import takes_noise_level, with_noise_level
from esrgan_tf.weights.architecture import build, check_function, recognise_model

_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}  # Linux' names of the instructions, on x86 and Arm

Forward = Callable[[tf.Tensor], tf.Tensor]


class KerasRunner(Runner):
    """A generator as a compiled TensorFlow function.

    Args:
        model: a generator of float32 `[B, H, W, C]` in [0, 1]; C may include a noise level.
        precision: the precision for 8-bit images, `float32` or `bfloat16`. `auto` is bfloat16 if the processor or
            the GPU has instructions for it, else float32.
        noise: standard deviation of the image's noise in [0, 1], for noise-conditioned networks.

    Raises:
        UserError: the network takes no noise level, the precision does not exist, or bfloat16 is not available for an
            unknown network.
    """

    engine = "TensorFlow"

    def __init__(self, model: keras.Model, precision: str = "float32", noise: float = 0.0):
        if precision not in PRECISIONS:
            raise UserError(f"precision {precision!r}; expected {', '.join(PRECISIONS)}")
        self.facts = network_facts(model)
        if noise and not self.facts.takes_noise_level:
            raise UserError(
                f"noise {255 * noise:g}: the model takes no noise level; choose a noise-conditioned model, such as DPSR"
            )
        self.device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        self._prepare = functools.partial(forward, model, noise)
        rounded = forward_bfloat16 if precision == "bfloat16" else native_bfloat16 if precision == "auto" else None
        self._bfloat16 = rounded and rounded(model, noise)
        self.precision = "bfloat16" if self._bfloat16 else "float32"
        side = 2 * self.facts.size_multiple
        small = self(np.zeros((1, side, side, self.facts.image_channels), np.float32))
        self.scale, self.out_channels = small.shape[1] // side, small.shape[3]

    def __call__(self, images: np.ndarray, full_precision: bool = False) -> np.ndarray:
        function = self._float32 if full_precision or self._bfloat16 is None else self._bfloat16
        try:
            return function(tf.constant(images)).numpy()
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(str(error)) from error

    @functools.cached_property
    def _float32(self):
        return self._prepare()


def forward(model: keras.Model, noise: float = 0.0) -> Forward:
    """The generator as a compiled function of float32 `[B, H, W, C]` in [0, 1], for any B, H and W.

    The call turns TensorFloat-32 off in this process, because GPUs since Ampere would otherwise round products.

    Args:
        noise: the noise level in [0, 1] for noise-conditioned generators.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)
    channels = model.inputs[0].shape[-1] - takes_noise_level(model)
    return tf.function(
        lambda image: model(with_noise_level(image, model, noise), training=False),
        input_signature=[tf.TensorSpec((None, None, None, channels), tf.float32)],
        autograph=False,
    )


def forward_bfloat16(model: keras.Model, noise: float = 0.0) -> Forward:
    """As `forward`, in bfloat16 except for the first and the last convolution.

    The weights stay variables, which each call rounds. Constants that are rounded once saved up to a third of RRDBNet's
    time at 64x64 pixels, but took 700 MB more memory. They saved no time for the bundled models at 256x256 pixels.

    Raises:
        UserError: the network's architecture is unknown, or its function differs from that of its architecture.
    """
    architecture = recognise_model(model)
    check_function(model, architecture)
    with build_for(BuildTarget.INFERENCE):
        return forward(build(architecture, {v.path: np.asarray(v) for v in model.weights}, "mixed_bfloat16"), noise)


def native_bfloat16(model: keras.Model, noise: float) -> Forward | None:
    """`forward_bfloat16` if the machine has bfloat16 instructions and the architecture is known; else None.

    The choice depends only on the machine and the model, so results are reproducible. Without the instructions,
    bfloat16 takes several times as long as float32.
    """
    if not has_bfloat16():
        return None
    try:
        return forward_bfloat16(model, noise)
    except UserError:  # an unknown architecture runs in float32
        return None


def has_bfloat16() -> bool:
    """Whether the GPU, or the processor of a machine without GPU, is known to have bfloat16 instructions."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return capability >= (8, 0)  # Ampere
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and lists_bfloat16(cpuinfo.read_text(encoding="utf-8"))


def lists_bfloat16(cpuinfo: str) -> bool:
    """Whether the first processor of Linux' `/proc/cpuinfo` has bfloat16 instructions."""
    flags = re.search(r"^(?:flags|Features)\s*:(.*)", cpuinfo, re.MULTILINE)
    return flags is not None and not _INSTRUCTIONS.isdisjoint(flags[1].split())
