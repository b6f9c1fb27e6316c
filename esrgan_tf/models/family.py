"""The interface of an architecture: options, builder, mapping to PyTorch. Imports no Keras."""

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, ClassVar

from esrgan_tf.schema import AtLeast, Inferred

if TYPE_CHECKING:
    import keras

Positive = Annotated[int, AtLeast(1)]


@dataclass(frozen=True)
class Options:
    """Arguments of a network's builder. Fields not marked `Inferred` are keys of the configuration.

    Attributes:
        name: the family's name, in `generator.name` or `discriminator.name`.
        label: the family's name in messages.
        origin: explanation of the name in the annotated configuration.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    origin: ClassVar[str]

    @property
    def title(self) -> str:
        """The network's usual name."""
        return self.label

    @property
    def arguments(self) -> dict:
        """Keyword arguments of the builder."""
        return dataclasses.asdict(self)

    def check(self) -> None:
        """Raises UserError if keys contradict each other."""

    def description(self, parameters: int) -> str:
        """The network in one line."""
        raise NotImplementedError


@dataclass(frozen=True)
class GeneratorOptions(Options):
    """Options of a generator. Each class has a field `scale` with its supported values.

    Messages list the fields `filters`, `blocks` and `channels` of classes that have them.
    """

    if TYPE_CHECKING:
        scale: int

    @property
    def channels_in_and_out(self) -> tuple[int, int]:
        """Channels of input and output; 3 for classes without a field `channels`."""
        channels = getattr(self, "channels", 3)
        return channels, channels

    @property
    def image_channels(self) -> int:
        """Channels of the images that the network upscales, without a noise level."""
        return self.channels_in_and_out[0] - self.takes_noise_level

    @property
    def takes_noise_level(self) -> bool:
        """Whether the network is noise-conditioned: the last input channel is the noise's standard deviation."""
        in_channels, out_channels = self.channels_in_and_out
        return in_channels == out_channels + 1

    @property
    def size_multiple(self) -> int:
        """The factor of the input's pixel unshuffle. Tiles must begin at its multiples to match the untiled result."""
        return 1

    @property
    def receptive_field(self) -> float:
        """Input pixels on each side of a pixel that influence its result, without global pooling.

        With a pixel unshuffle, counted from an aligned square of `size_multiple` pixels.
        """
        raise NotImplementedError

    @property
    def has_global_pooling(self) -> bool:
        """Whether each result depends on a mean over the whole image."""
        return False

    @property
    def peak_channels(self) -> float:
        """Numbers per input pixel in the largest activation."""
        raise NotImplementedError

    def sizes(self) -> list[str]:
        """Descriptions of the network's size, for messages."""
        return [f"{getattr(self, key)} {key}" for key in ("filters", "blocks") if hasattr(self, key)]

    def packed(self) -> list[str]:
        """Description of the pixel unshuffle, for messages; empty without it."""
        return [f"input pixel-unshuffled by {self.size_multiple}"] if self.size_multiple > 1 else []

    def description(self, parameters: int) -> str:
        """The network in one line."""
        channels = "{} channels in, {} out".format(*self.channels_in_and_out)
        parts = [f"scale {self.scale}", *self.sizes(), f"{parameters:,} parameters", channels, *self.packed()]
        return f"{self.title}: {', '.join(parts)}"


def reach_of_stages(stages: Sequence[int], radius: int = 1) -> float:
    """Input pixels on each side that a convolution before each upsampling stage adds to the receptive field."""
    reach, size = 0.0, 1
    for factor in stages:
        reach += radius / size
        size *= factor
    return reach


@dataclass(frozen=True)
class DiscriminatorOptions(Options):
    """Options of a discriminator.

    Attributes:
        multiple: divisor of the sides of its images.
    """

    multiple: ClassVar[int]

    filters: Annotated[Positive, "channels of the first stage; the deepest stage has eight times this number"] = 64

    def for_images(self, size: int) -> "DiscriminatorOptions":
        """These options for images of `size` pixels on a side, if the network depends on the size."""
        return dataclasses.replace(self, **({"image_size": size} if hasattr(self, "image_size") else {}))

    def description(self, parameters: int) -> str:
        """The network in one line."""
        size = getattr(self, "image_size", None)
        image_size = f", for {size}x{size} pixels" if size else ""
        return f"{self.title}: {self.filters} filters, {parameters:,} parameters{image_size}"


@dataclass(frozen=True)
class Family:
    """An architecture.

    Attributes:
        options: the class of the architecture's options.
        mapping: the module that maps to PyTorch's names, with the functions `style_of`, `style_to_write`,
            `infer_options`, `torch_tensors` and `shuffled_axes`.
        builder: name of the function in the module `network` that takes the options' arguments.
    """

    options: type[Options]
    mapping: ModuleType
    builder: str

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return self.options.name

    @property
    def is_generator(self) -> bool:
        """Whether the architecture is a generator."""
        return issubclass(self.options, GeneratorOptions)

    @property
    def build(self) -> Callable[..., "keras.Model"]:
        """The builder; imports Keras."""
        package, _, _ = self.mapping.__name__.rpartition(".")
        return getattr(importlib.import_module(f"{package}.network"), self.builder)


__all__ = ["DiscriminatorOptions", "Family", "GeneratorOptions", "Inferred", "Options", "Positive", "reach_of_stages"]
