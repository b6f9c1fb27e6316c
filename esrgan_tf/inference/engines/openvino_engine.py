"""The engine of OpenVINO, for recognised generators on processors. It starts without TensorFlow and Keras."""

import os
import threading

import numpy as np
import openvino as ov
from openvino.preprocess import PrePostProcessor

from esrgan_tf.errors import UserError
from esrgan_tf.inference.engines.openvino_graph import core, options_of
from esrgan_tf.inference.runner import PRECISIONS, Runner

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVINORunner(Runner):
    """A generator as an OpenVINO graph.

    Args:
        graph: a graph of `openvino_graph`.
        precision: of 8-bit images, `float32` or `bfloat16`. `auto` is bfloat16 if the processor has instructions for
            it, else float32.
        noise: standard deviation of the image's noise in [0, 1], for noise-conditioned networks.

    Raises:
        UserError: a noise level for a network that takes none, or another precision.
    """

    engine = "OpenVINO"

    def __init__(self, graph: ov.Model, precision: str = "auto", noise: float = 0.0):
        if precision not in PRECISIONS:
            raise UserError(f"precision {precision!r}; expected {', '.join(PRECISIONS)}")
        options, self.parameters = options_of(graph)
        if noise and not options.takes_noise_level:
            raise UserError(f"noise {255 * noise:g}: the model takes no noise level; choose a noise-conditioned model")
        self.facts = self.options = options
        self.scale, self.out_channels = options.scale, options.channels_in_and_out[1]
        if precision == "auto":
            precision = "bfloat16" if has_bfloat16() else "float32"
        self.precision, self._noise = precision, np.float32(noise)
        self._graph, self._compiled = graph, dict[str, ov.CompiledModel]()
        self._requests, self._lock = threading.local(), threading.Lock()

    @property
    def description(self) -> str:
        """One line on the network."""
        return self.options.description(self.parameters)

    def __call__(self, images: np.ndarray, full_precision: bool = False) -> np.ndarray:
        if self.options.takes_noise_level:
            images = np.concatenate([images, np.full_like(images[..., :1], self._noise)], axis=-1)
        try:
            request = self._request("float32" if full_precision else self.precision)
            return request.infer([np.ascontiguousarray(images)], share_inputs=True)[0]
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or "alloc" in str(error):
                raise MemoryError(f"OpenVINO: {error}") from error
            raise

    def _request(self, precision):
        """The calling thread's request for inference, which keeps its memory between calls."""
        requests = self._requests.__dict__
        if precision not in requests:
            with self._lock:  # threads compile once
                if precision not in self._compiled:
                    self._compiled[precision] = self._compile(precision)
            requests[precision] = self._compiled[precision].create_infer_request()
        return requests[precision]

    def _compile(self, precision):
        steps = PrePostProcessor(self._graph.clone())
        for port in (steps.input(), steps.output()):
            port.tensor().set_layout(ov.Layout("NHWC"))
            port.model().set_layout(ov.Layout("NCHW"))
        properties = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": processors(),
        }
        return core().compile_model(steps.build(), "CPU", properties)


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def processors() -> int:
    """Processors that this process may use, by its affinity and the limit of its control group (Linux)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        return count
    return count if quota == "max" else max(1, min(count, round(int(quota) / int(period))))
