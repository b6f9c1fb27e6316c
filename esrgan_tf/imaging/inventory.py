"""Metadata of an image file, as readers of containers find it and writers of results need it."""

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from esrgan_tf.errors import listed
from esrgan_tf.imaging.xmp import Upscaling

MAX = 2**26  # bytes of metadata that are read of a file, and of those that are packed in it

_VIDEO = re.compile(rb"\0{3,}.ftyp", re.DOTALL)  # the first box of an MP4 file, perhaps after zeros


class Lost:
    """Metadata that is left out: a line per reason, and no line twice."""

    def __init__(self):
        self._named: dict[tuple[str, str], list[str]] = {}

    def add(self, what: str, why: str) -> None:
        """Something that is named with its verb, as "its gain map was"."""
        self._named.setdefault((what, why), [])

    def add_named(self, noun: str, name: str, why: str) -> None:
        """One of several of a kind, as "its PNG text" and its keyword."""
        names = self._named.setdefault((noun, why), [])
        if name not in names:
            names.append(name)

    def lines(self) -> list[str]:
        """In the order in which they came."""
        lines = []
        for (what, why), names in self._named.items():
            several, verb = ("s", "were") if len(names) > 1 else ("", "was")
            what = f"{what}{several} {listed(names, 20)} {verb}" if names else what
            lines.append(f"{what} left out: {why}")
        return lines


class Chunk(NamedTuple):
    """A chunk of a PNG; `behind` the pixels or before them."""

    name: bytes
    data: bytes
    behind: bool


@dataclass
class Inventory:
    """Metadata that a file has. Attributes of absent metadata are None or empty.

    Attributes:
        exif: from its byte order on.
        xmp: a packet; in JPEG with what continued it.
        icc: a profile, whether it is a good one or not.
        iptc: records of IPTC-IIM.
        comments: of JPEG and GIF.
        chunks: of PNG, but for those that are in other attributes.
        tiff: tags of a TIFF, with directories below.
        code: the first two numbers of PNG's cICP, or of nclx.
        gamma, primaries: as PNG's gAMA and cHRM say.
        aspect: of the pixels, where no resolution is known.
        header: PNG's width, height, bits and type of colours.
        lost: what was left out, and why.
        about: what there was besides the picture, as `gain map`.
        upright: the reader of its pixels has turned it already.
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
        """Names the contents of the bytes after the end of a picture; some programs fill up with zeros or lines."""
        if _VIDEO.match(rest) or b"MotionPhoto_Data" in rest:
            self.about.add("video")
        elif b"SEFH" in rest:  # Samsung's trailer repeats EXIF's time, and lists its parts by their names
            self.about |= {"depth map"} if b"DepthMap" in rest else set()
        elif rest.strip(b"\0\t\r\n "):
            self.lost.add("the bytes after its end were", "their meaning is unknown")

    def takes(self, size: int) -> bool:
        """Whether so many bytes more may be read."""
        self.budget -= size
        return self.budget >= 0


class Result(NamedTuple):
    """The result that metadata is adjusted to.

    Attributes:
        kind: `.png`, `.jpg`, `.webp` or `.tif`.
        bands, depth: channels without transparency, and bits of each.
        alpha: whether there is transparency.
        resolution: pixels a millimetre across and down, or None.
        by: how it comes from the original.
    """

    kind: str
    bands: int
    alpha: bool
    depth: int
    resolution: tuple[float, float] | None
    by: Upscaling

    @property
    def colours(self) -> int:
        """Channels of colour that the file has: WebP has no gray."""
        return 3 if self.kind == ".webp" else self.bands

    def without(self, what: str = "them") -> str:
        """Why something is left out."""
        return f"{self.kind[1:]} has no place for {what}"
