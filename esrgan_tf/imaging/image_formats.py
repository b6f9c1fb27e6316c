"""The table of image formats that are read and written, and advice on other formats.

A format is a row. A format that libvips does not read also needs a function in `fallback_readers`; a format that is
written also needs a function in `result_metadata`. This module imports neither libvips nor Pillow.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Writing:
    """How results of a format are written.

    Attributes:
        longest_side: the most pixels on a side.
        holds_16_bits: whether the format holds 16 bits per channel; results in other formats have 8 bits.
        options: of libvips' encoder, chosen by `benchmarks/image_formats.py` (docs/results.md).
    """

    longest_side: int
    holds_16_bits: bool
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageFormat:
    """A format that is read.

    Attributes:
        name: the format's name for people.
        extensions: of its files, in lower case. If the format is written, the first extension is the results' default.
        matches: recognises the format by a file's first 64 bytes.
        loader: libvips' reader; None if `fallback_readers` reads the format.
        writing: None if the results are PNG.
        other_extensions: of files that are read but not written.
        package: the optional package that reads the format.
    """

    name: str
    extensions: tuple[str, ...]
    matches: Callable[[bytes], bool]
    loader: str | None
    writing: Writing | None = None
    other_extensions: tuple[str, ...] = ()
    package: str | None = None

    @property
    def kind(self) -> str:
        """The extension of the results of files in this format."""
        return self.extensions[0] if self.writing else ".png"

    @property
    def is_available(self) -> bool:
        """Whether the package that reads the format is installed."""
        return self.package is None or importlib.util.find_spec(self.package) is not None

    @property
    def help(self) -> str:
        """The package that the format needs, and how to install it."""
        package = (self.package or "").replace("_", "-")
        return f"{self.name} is read with {package} (pip install {package})"


def _starts_with(*beginnings: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(beginnings)


def _is_pnm(head):
    return head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace()


def _is_heic(head):
    """Whether ISO media has a brand of HEIC and no brand of AVIF."""
    if head[4:8] != b"ftyp" or head[8:12] == b"avis":
        return False
    brands = {head[at : at + 4] for at in range(8, min(len(head), int.from_bytes(head[:4], "big")), 4)}
    return b"avif" not in brands and bool(brands & {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"})


# Optimised Huffman tables would make a JPEG 4 % smaller, but need the whole image in memory.
IMAGE_FORMATS = (
    ImageFormat(
        "PNG", (".png",), _starts_with(b"\x89PNG\r\n\x1a\n"), "pngload",
        Writing(2**31 - 1, True, {"compression": 3, "filter": "paeth"}),
    ),
    ImageFormat(
        "JPEG", (".jpg", ".jpeg"), _starts_with(b"\xff\xd8"), "jpegload",
        Writing(65_535, False, {"Q": 95, "subsample_mode": "off"}), (".jfif", ".jpe"),
    ),
    ImageFormat(
        "WebP", (".webp",), lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", "webpload",
        Writing(16_383, False, {"Q": 95}),
    ),
    ImageFormat(
        "TIFF", (".tif", ".tiff"), _starts_with(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "tiffload",  # + is BigTIFF
        Writing(2**31 - 1, True, {"compression": "deflate", "predictor": "horizontal"}),
    ),
    ImageFormat("BMP", (".bmp",), _starts_with(b"BM"), None),
    ImageFormat("PNM", (".ppm", ".pgm", ".pbm", ".pnm"), _is_pnm, None),
    ImageFormat("GIF", (".gif",), _starts_with(b"GIF87a", b"GIF89a"), "gifload"),
    ImageFormat("AVIF", (".avif",), lambda head: head[4:8] == b"ftyp" and not _is_heic(head), "heifload"),
    ImageFormat("HEIC", (".heic", ".heif", ".hif"), _is_heic, None, package="pillow_heif"),
)  # fmt: skip

_NOT_READ = {
    "camera raw files are not read; develop them into TIFF or PNG first": (
        "3fr arw cr2 cr3 crw dcr dng erf iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"
    ),
    "JPEG XL is not read; convert it into PNG first (djxl IN OUT.png)": "jxl",
    "drawings and documents are not read; render them as PNG first": "ai eps pdf ps svg svgz",
    "not a format that is read; convert it into PNG or TIFF first": (
        "dds exr hdr ico j2k jp2 jpf jpx pcx psb psd qoi tga xcf"
    ),
}

WRITING = {row.kind: row.writing for row in IMAGE_FORMATS if row.writing}  # by kind: .png, .jpg …
WRITTEN = {extension: row.kind for row in IMAGE_FORMATS if row.writing for extension in row.extensions}
READ = WRITTEN | {  # extensions of files, and the kinds of their results
    extension: row.kind
    for row in IMAGE_FORMATS
    if row.is_available
    for extension in (*row.extensions, *row.other_extensions)
}
*_first, _last = (row.name for row in IMAGE_FORMATS)
NAMES = f"{', '.join(_first)} and {_last}"


def format_of(head: bytes) -> ImageFormat | None:
    """The format of a file by its first 64 bytes; None if the file has no format that is read."""
    return next((row for row in IMAGE_FORMATS if row.matches(head)), None)


def is_read(path: Path) -> bool:
    """Whether files of this extension are read."""
    return path.suffix.lower() in READ


def help_for(path: Path) -> str | None:
    """Advice on an extension of images that cannot be read here; None if they can, or if it is not of images."""
    extension = path.suffix.lower()
    if extension in READ:
        return None
    for row in IMAGE_FORMATS:
        if extension in row.extensions:
            return row.help
    return next((words for words, extensions in _NOT_READ.items() if extension[1:] in extensions.split()), None)
