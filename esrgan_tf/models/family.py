"""What the rest of the package knows of an architecture: options, builder, names in PyTorch. Imports no Keras."""

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
    """What a network is built with. Fields are keys of its section of the configuration, but those marked `Inferred`.

    Attributes:
        name: of the family, in `generator.name` or `discriminator.name`.
        label: how a message lists the family.
        origin: what the explained configuration says beside its name.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    origin: ClassVar[str]

    @property
    def title(self) -> str:
        """What people call the network."""
        return self.label

    @property
    def arguments(self) -> dict:
        """What its builder takes."""
        return dataclasses.asdict(self)

    def check(self) -> None:
        """Raises UserError where keys do not suit one another."""

    def description(self, parameters: int) -> str:
        """One line, for people."""
        raise NotImplementedError


@dataclass(frozen=True)
class GeneratorOptions(Options):
    """Of a network that maps images to images. Each has a field `scale`, with the values of its own.

    A message tells of its `filters`, `blocks` and `channels` where it has such fields.
    """

    if TYPE_CHECKING:
        scale: int

    @property
    def channels_in_and_out(self) -> tuple[int, int]:
        """Of the images; RGB where no field tells."""
        channels = getattr(self, "channels", 3)
        return channels, channels

    @property
    def image_channels(self) -> int:
        """Channels of the images that the network upscales, without a noise level."""
        return self.channels_in_and_out[0] - self.takes_noise_level

    @property
    def takes_noise_level(self) -> bool:
        """Whether the network is noise-conditioned: the last input channel is the noise's standard deviation."""
        given, made = self.channels_in_and_out
        return given == made + 1

    @property
    def size_multiple(self) -> int:
        """The pixel unshuffle of the input. Tiles that begin at its multiples compute what the whole image would."""
        return 1

    @property
    def receptive_field(self) -> float:
        """Input pixels on each side of a pixel that its result depends on, without global pooling.

        After a pixel unshuffle, on each side of an aligned square of `size_multiple` pixels.
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
        """In words."""
        return [f"{getattr(self, key)} {key}" for key in ("filters", "blocks") if hasattr(self, key)]

    def packed(self) -> list[str]:
        """In words, where pixels are packed."""
        return [f"input pixel-unshuffled by {self.size_multiple}"] if self.size_multiple > 1 else []

    def description(self, parameters: int) -> str:
        """One line, for people."""
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
    """Of a network that tells real images from made ones.

    Attributes:
        multiple: what must divide the sides of its images.
    """

    multiple: ClassVar[int]

    filters: Annotated[Positive, "channels of the first stage; the deepest stage has eight times this number"] = 64

    def for_images(self, size: int) -> "DiscriminatorOptions":
        """The same, for images of `size` pixels on a side, where the network depends on that."""
        return dataclasses.replace(self, **({"image_size": size} if hasattr(self, "image_size") else {}))

    def description(self, parameters: int) -> str:
        """One line, for people."""
        size = getattr(self, "image_size", None)
        only = f", for {size}x{size} pixels" if size else ""
        return f"{self.title}: {self.filters} filters, {parameters:,} parameters{only}"


@dataclass(frozen=True)
class Family:
    """An architecture.

    Attributes:
        options: the class of its options.
        names: the module that knows its tensors' names in PyTorch, with the functions `style_of`, `style_to_write`,
            `options`, `tensors` and `packed`.
        builder: name of the function in its module `network` that takes the options' arguments.
    """

    options: type[Options]
    names: ModuleType
    builder: str

    @property
    def name(self) -> str:
        """In the configuration."""
        return self.options.name

    @property
    def is_generator(self) -> bool:
        """Whether it maps images to images."""
        return issubclass(self.options, GeneratorOptions)

    @property
    def build(self) -> Callable[..., "keras.Model"]:
        """The builder; imports Keras."""
        package, _, _ = self.names.__name__.rpartition(".")
        return getattr(importlib.import_module(f"{package}.network"), self.builder)


__all__ = ["DiscriminatorOptions", "Family", "GeneratorOptions", "Inferred", "Options", "Positive", "reach_of_stages"]
