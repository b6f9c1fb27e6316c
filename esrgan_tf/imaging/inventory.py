"""The metadata of an image file, and a list of lost metadata."""

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from esrgan_tf.errors import listed
from esrgan_tf.imaging.xmp import Upscaling

MAX = 2**26  # bytes of metadata that are read from a file, and bytes that are unpacked from it

_VIDEO = re.compile(rb"\0{3,}.ftyp", re.DOTALL)  # the first box of an MP4 file, perhaps after zeros


class Lost:
    """Metadata that is left out, as lines without repetition."""

    def __init__(self):
        self._named: dict[tuple[str, str], list[str]] = {}

    def add(self, what: str, why: str) -> None:
        """Adds an item with its verb, such as "its gain map was"."""
        self._named.setdefault((what, why), [])

    def add_named(self, noun: str, name: str, why: str) -> None:
        """Adds an item of a kind, such as "its PNG text" and its keyword."""
        names = self._named.setdefault((noun, why), [])
        if name not in names:
            names.append(name)

    def lines(self) -> list[str]:
        """The lines, in the order of the first item of each."""
        lines = []
        for (what, why), names in self._named.items():
            several, verb = ("s", "were") if len(names) > 1 else ("", "was")
            what = f"{what}{several} {listed(names, 20)} {verb}" if names else what
            lines.append(f"{what} left out: {why}")
        return lines


class Chunk(NamedTuple):
    """A chunk of a PNG; `after_pixels` is whether it follows the pixels."""

    name: bytes
    data: bytes
    after_pixels: bool


@dataclass
class Inventory:
    """The metadata of a file. Attributes of absent metadata are None or empty.

    Attributes:
        exif: EXIF from its byte order mark.
        xmp: the XMP packet; in JPEG, merged with its extension.
        icc: the colour profile, which may be damaged.
        iptc: records of IPTC-IIM.
        comments: of JPEG, GIF and PNM.
        chunks: of PNG, except chunks that are in other attributes.
        tiff: tags of a TIFF, with nested directories.
        code: the first two numbers of PNG's cICP, or of nclx.
        gamma, primaries: the values of PNG's gAMA and cHRM.
        aspect: the aspect ratio of pixels, if the resolution is unknown.
        header: PNG's width, height, bit depth and colour type.
        lost: metadata that was left out, and why.
        about: contents of the file besides the picture, such as `gain map`.
        upright: whether the reader of the pixels has already applied the orientation.
        budget, unpack_budget: bytes that may still be read, and unpacked.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    icc: bytes | None = None
    iptc: bytes | None = None
    comments: list[bytes] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    tiff: dict[int, Any] = field(default_factory=dict)
    code: tuple[int, int] | None = None
    gamma: float | None = None
    primaries: tuple[float, ...] | None = None
    aspect: tuple[int, int] | None = None
    header: tuple[int, int, int, int] | None = None
    lost: Lost = field(default_factory=Lost)
    about: set[str] = field(default_factory=set)
    upright: bool = False
    budget: int = MAX
    unpack_budget: int = MAX

    def note_rest(self, rest: bytes) -> None:
        """Notes the contents of the bytes after the end of a picture; some programs add zeros or line ends."""
        if _VIDEO.match(rest) or b"MotionPhoto_Data" in rest:
            self.about.add("video")
        elif b"SEFH" in rest:  # Samsung's trailer has a copy of EXIF's time, and the names of its parts
            self.about |= {"depth map"} if b"DepthMap" in rest else set()
        elif rest.strip(b"\0\t\r\n "):
            self.lost.add("the bytes after its end were", "their meaning is unknown")

    def spend(self, size: int) -> bool:
        """Takes bytes from the budget; returns whether they may be read."""
        self.budget -= size
        return self.budget >= 0


class Result(NamedTuple):
    """The properties of a result that its metadata depends on.

    Attributes:
        kind: `.png`, `.jpg`, `.webp` or `.tif`.
        bands, depth: channels without transparency, and bits per channel.
        alpha: whether the result has transparency.
        resolution: pixels per millimetre across and down, or None.
        by: the upscaling of the original.
    """

    kind: str
    bands: int
    alpha: bool
    depth: int
    resolution: tuple[float, float] | None
    by: Upscaling

    @property
    def colours(self) -> int:
        """Colour channels of the file; WebP has no gray."""
        return 3 if self.kind == ".webp" else self.bands

    def without(self, what: str = "them") -> str:
        """The reason that the format cannot hold an item."""
        return f"{self.kind[1:]} has no place for {what}"
