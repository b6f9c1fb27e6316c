"""Reading and encoding of tag directories, the structure of TIFF and EXIF.

Every offset and length comes from the file, so each is checked against the size of the file.
"""

import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO, NamedTuple

EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005  # tags that point to directories
ORIENTATION, ACROSS, DOWN, UNIT = 0x0112, 282, 283, 296
MAKER_NOTE = 0x927C
XMP, IPTC, PHOTOSHOP, ICC = 700, 33723, 34377, 34675
_MAX = 2**26  # bytes of one value
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WORDS = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # bytes that byte order swaps
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
INTEGERS = frozenset(_NUMBERS) - {11, 12}  # floats
_TWO_LONGS = {5: "I", 10: "i"}  # numerator and denominator


@dataclass(frozen=True)
class Entry:
    """The value of a tag: its type and count by TIFF's numbers, and its bytes in little-endian order."""

    kind: int
    count: int
    data: bytes

    def numbers(self) -> tuple:
        """The integers or floats, or fractions as pairs; empty for texts and undefined bytes."""
        if self.kind in _NUMBERS:
            return struct.unpack(f"<{self.count}{_NUMBERS[self.kind]}", self.data)
        if self.kind in _TWO_LONGS:
            flat = struct.unpack(f"<{2 * self.count}{_TWO_LONGS[self.kind]}", self.data)
            return tuple(zip(flat[::2], flat[1::2], strict=True))
        return ()

    def first(self, default):
        """The first integer, or the default if the value has another type."""
        if self.kind not in INTEGERS:
            return default
        return Entry(self.kind, 1, self.data[: _SIZES[self.kind]]).numbers()[0]


Tags = Mapping[int, "Entry | Tags"]


def entry(kind: int, *values) -> Entry:
    """Makes an entry from numbers, or from pairs for fractions."""
    if kind in _TWO_LONGS:
        flat = [each for pair in values for each in pair]
        return Entry(kind, len(values), struct.pack(f"<{len(flat)}{_TWO_LONGS[kind]}", *flat))
    return Entry(kind, len(values), struct.pack(f"<{len(values)}{_NUMBERS[kind]}", *values))


def fraction(value: float) -> tuple[int, int]:
    """A numerator and denominator that EXIF and TIFF can hold, precise enough for resolutions."""
    # PNG's integers per metre represent integers per inch with an error of up to 0.0127.
    value = round(value) if abs(value - round(value)) < 0.013 else value
    near = Fraction(value).limit_denominator(100)
    near = near if near and near.numerator < 2**32 else Fraction(min(max(1, round(value)), 2**32 - 1))
    return near.numerator, near.denominator


class Form(NamedTuple):
    """The encoding of numbers: byte order, and whether it is that of BigTIFF."""

    order: str
    large: bool

    @property
    def number(self):
        return f"{self.order}{'Q' if self.large else 'H'}"

    @property
    def head(self):
        """Tag, type and count of an entry, before its value or pointer."""
        return f"{self.order}HH{'Q' if self.large else 'I'}"

    @property
    def pointer(self):
        return f"{self.order}{'Q' if self.large else 'I'}"

    @property
    def inline_size(self):
        """The most bytes of a value without a pointer."""
        return 8 if self.large else 4


def form_of(head: bytes) -> tuple[Form, int]:
    """Returns the form and the position of the first directory, by the first 16 bytes.

    Raises:
        ValueError: the bytes are not of a TIFF.
    """
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    version = struct.unpack_from(f"{order}H", head, 2)[0] if order and len(head) >= 8 else 0
    if version not in (42, 43) or (version == 43 and len(head) < 16):
        raise ValueError("no TIFF")
    form = Form(str(order), version == 43)
    return form, struct.unpack_from(form.pointer, head, 8 if form.large else 4)[0]


def read_directory(
    file: BinaryIO, at: int, form: Form, wanted: Callable[[int], bool] = lambda tag: True
) -> tuple[dict[int, Entry], list[int], int]:
    """Returns `(tags, numbers of tags with missing values, position of the next directory)`.

    Raises:
        ValueError: there is no directory.
    """
    end = file.seek(0, io.SEEK_END)
    if at > end:
        raise ValueError("no directory")
    file.seek(at)
    size = struct.calcsize(form.head)
    head = file.read(struct.calcsize(form.number))
    number = struct.unpack(form.number, head)[0] if len(head) == struct.calcsize(form.number) else 65536
    if number > 65535:
        raise ValueError("no directory")
    raw = file.read(number * (size + form.inline_size))
    if len(raw) < number * (size + form.inline_size):
        raise ValueError("a directory is cut short")
    following = file.read(struct.calcsize(form.pointer)).ljust(struct.calcsize(form.pointer), b"\0")
    tags: dict[int, Entry] = {}
    damaged, most = [], _MAX
    for start in range(0, len(raw), size + form.inline_size):
        tag, kind, count = struct.unpack_from(form.head, raw, start)
        if tag in tags or not wanted(tag):
            continue
        length = _SIZES.get(kind, 0) * count
        value = raw[start + size : start + size + form.inline_size]
        if length > form.inline_size:
            start_of_value = struct.unpack(form.pointer, value)[0]
            if start_of_value + length > end or length > most:
                damaged.append(tag)
                continue
            most -= length
            file.seek(start_of_value)
            value = file.read(length)
        if not length:
            damaged.append(tag)
            continue
        tags[tag] = Entry(kind, count, swap_bytes(value[:length], kind) if form.order == ">" else value[:length])
    return tags, damaged, struct.unpack(form.pointer, following)[0]


def read_tree(
    file: BinaryIO, wanted: Callable[[int], bool] = lambda tag: True, at: int | None = None
) -> tuple[dict, list[int]]:
    """Reads a directory, and the directories of EXIF, GPS and interoperability in place of their pointers.

    Args:
        at: position of the directory; None is the first directory.

    Returns:
        The tags, and the numbers of damaged tags.

    Raises:
        ValueError: there is no directory.
    """
    file.seek(0)
    form, first = form_of(file.read(16))
    at = first if at is None else at
    tags, damaged, _ = read_directory(file, at, form, wanted)
    tree: dict = dict(tags)
    seen = {first, at}
    for parents, pointer in (((), EXIF), ((), GPS), ((EXIF,), INTEROPERABILITY)):
        parent = tree.get(parents[0]) if parents else tree
        if not isinstance(parent, dict) or pointer not in parent:
            continue
        start = parent[pointer].first(0)
        try:
            if start in seen:
                raise ValueError("a directory is its own parent")
            seen.add(start)
            below, lost, _ = read_directory(file, start, form)
        except ValueError:
            below, lost = {}, [pointer]
        parent.pop(pointer)
        damaged += lost
        if below:
            parent[pointer] = below
    return tree, damaged


def encode_directory(tags: Tags, form: Form, at: int, following: int = 0) -> bytes:
    """Encodes a directory and all that it points to, for the even position `at`."""
    head, values = b"", b""
    size = struct.calcsize(form.number) + len(tags) * (struct.calcsize(form.head) + form.inline_size)
    size += struct.calcsize(form.pointer)
    for tag, value in sorted(tags.items()):
        start = at + size + len(values)
        if isinstance(value, Mapping):
            kind, count, data = (18 if form.large else 4), 1, struct.pack(form.pointer, start)
            values += encode_directory(value, form, start)
        else:
            kind, count = value.kind, value.count
            data = swap_bytes(value.data, kind) if form.order == ">" else value.data
            if len(data) > form.inline_size:
                values, data = values + data + bytes(len(data) % 2), struct.pack(form.pointer, start)
        values += bytes(len(values) % 2)
        head += struct.pack(form.head, tag, kind, count) + data.ljust(form.inline_size, b"\0")
    return struct.pack(form.number, len(tags)) + head + struct.pack(form.pointer, following) + values


def encode_head(form: Form, at: int) -> bytes:
    """Encodes the first bytes of a file with its first directory at a position."""
    mark = b"II" if form.order == "<" else b"MM"
    return mark + struct.pack(
        f"{form.order}HHHQ" if form.large else f"{form.order}HI", *((43, 8, 0) if form.large else (42,)), at
    )


def encode_exif(tags: Tags) -> bytes:
    """Encodes tags as EXIF."""
    form = Form("<", False)
    return encode_head(form, 8) + encode_directory(tags, form, 8)


def swap_bytes(data: bytes, kind: int) -> bytes:
    """Converts a value to the other byte order."""
    word = _WORDS.get(kind, 1)
    if word == 1:
        return data
    return b"".join(data[at : at + word][::-1] for at in range(0, len(data), word))
