"""Options of EDSR."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from esrgan_tf.models.family import GeneratorOptions, Inferred, Positive
from esrgan_tf.schema import OneOf

SCALES = (2, 3, 4)


@dataclass(frozen=True)
class EDSR(GeneratorOptions):
    """Of `edsr_generator`, which explains them.

    What no weights tell is no key, so that every network that a configuration makes can be recognised again.
    """

    name: ClassVar[str] = "edsr"
    label: ClassVar[str] = "EDSR"
    origin: ClassVar[str] = "EDSR's"

    filters: Annotated[Positive, "channels between the blocks; with 256, what a block adds is multiplied by 0.1"] = 64
    blocks: Annotated[Positive, "of two convolutions each"] = 16
    scale: Annotated[int, "times larger", OneOf(*SCALES)] = 4
    mean: Annotated[bool, Inferred] = True

    @property
    def residual_scale(self) -> float:
        """The paper's: 0.1 for its large network of 256 filters, which does not train without, else 1."""
        return 0.1 if self.filters == 256 else 1.0

    @property
    def arguments(self) -> dict:
        return {**super().arguments, "residual_scale": self.residual_scale}

    def sizes(self) -> list[str]:
        mean = "" if self.mean else ", no mean colour"
        return [*super().sizes(), f"residual scale {self.residual_scale:g}{mean}"]
