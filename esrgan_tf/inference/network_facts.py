"""Properties of a generator that determine tiles and their overlap."""

import math
from typing import TYPE_CHECKING, Protocol

from esrgan_tf.errors import UserError
from esrgan_tf.models.family import GeneratorOptions

if TYPE_CHECKING:
    import keras


class NetworkFacts(Protocol):
    """The properties, with the same names and meanings as in `GeneratorOptions`."""

    @property
    def takes_noise_level(self) -> bool: ...
    @property
    def image_channels(self) -> int: ...
    @property
    def size_multiple(self) -> int: ...
    @property
    def receptive_field(self) -> float: ...
    @property
    def has_global_pooling(self) -> bool: ...
    @property
    def peak_channels(self) -> float: ...


def network_facts(model: "keras.Model") -> NetworkFacts:
    """The options of a recognised network, or safe assumptions about an unknown network."""
    from esrgan_tf.weights.architecture import recognise_model

    try:
        options = recognise_model(model).options
    except UserError:
        return _UnknownNetwork(model)
    return options if isinstance(options, GeneratorOptions) else _UnknownNetwork(model)


class _UnknownNetwork:
    size_multiple = 1
    receptive_field = math.inf
    has_global_pooling = False

    def __init__(self, model):
        in_channels, out_channels = model.inputs[0].shape[-1], model.outputs[0].shape[-1]
        self.takes_noise_level = in_channels == out_channels + 1
        self.image_channels = in_channels - self.takes_noise_level
        outputs = (layer.output for layer in model.layers)
        widths = [x.shape[-1] for x in outputs if not isinstance(x, list) and len(x.shape) == 4]
        self.peak_channels = 16.0 * max(widths)  # assumes the widest activation at ×4 resolution
