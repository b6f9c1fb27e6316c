"""The EXIF editor."""

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from esrgan_tf.imaging.tiff_tags import EXIF, GPS, INTEROPERABILITY, Entry, form_of, read_directory, swap_bytes


@dataclass
class _Directory:
    """A directory: position, bytes of its entries by tag, number of original entries, pointer to the next directory."""

    at: int
    entries: dict[int, bytes]
    number: int
    tags: dict[int, Entry]
    following: bytes

    @property
    def end(self):
        """The position after the original directory."""
        return self.at + 6 + 12 * self.number


class Exif:
    """EXIF that is edited in place, so that offsets in the maker's notes stay valid.

    The thumbnail is removed.

    Attributes:
        damaged: whether a tag was left out because its value is missing.

    Raises:
        ValueError: the data are not EXIF, or their beginning is damaged.
    """

    def __init__(self, data: bytes):
        self._data = bytearray(data)
        self._form, at = form_of(data[:16].ljust(16, b"\0"))
        if self._form.large:
            raise ValueError("no EXIF")
        self.damaged = False
        self._directories: dict[str, _Directory] = {}
        thumbnail = self._read("main", at)
        for name, parent, pointer in (
            ("exif", "main", EXIF), ("gps", "main", GPS), ("interoperability", "exif", INTEROPERABILITY)
        ):  # fmt: skip
            if value := self.tags(parent).get(pointer):
                try:
                    self._read(name, value.first(0))
                except ValueError:
                    self.damaged = True
                    self.change(parent, {pointer: None})
        if thumbnail:
            self._remove_thumbnail(thumbnail)

    def tags(self, name: str) -> dict[int, Entry]:
        """The tags of the directory `main`, `exif`, `gps` or `interoperability`."""
        return self._directories[name].tags if name in self._directories else {}

    def change(self, name: str, tags: Mapping[int, Entry | None]) -> None:
        """Sets tags of an existing directory; None removes a tag. Only `main` can receive new tags."""
        if name not in self._directories:
            return
        directory, form, data = self._directories[name], self._form, self._data
        changed = {tag: value for tag, value in tags.items() if value != directory.tags.get(tag)}
        if not changed:
            return
        for tag, value in changed.items():
            directory.entries.pop(tag, None)
            directory.tags.pop(tag, None)
            if value is None:
                continue
            stored = swap_bytes(value.data, value.kind) if form.order == ">" else value.data
            if len(stored) > 4:
                data += bytes(len(data) % 2)
                pointer = struct.pack(form.pointer, len(data))
                data += stored
                stored = pointer
            directory.entries[tag] = struct.pack(form.head, tag, value.kind, value.count) + stored.ljust(4, b"\0")
            directory.tags[tag] = value
        self._write(name)

    def _read(self, name, at):
        """Reads a directory and returns the position of the next directory."""
        tags, damaged, following = read_directory(io.BytesIO(self._data), at, self._form)
        number = struct.unpack_from(self._form.number, self._data, at)[0]
        if any(each.at < at + 6 + 12 * number and at < each.end for each in self._directories.values()):
            raise ValueError("a directory overlaps another")
        entries: dict[int, bytes] = {}
        for start in range(at + 2, at + 2 + 12 * number, 12):
            raw = bytes(self._data[start : start + 12])
            entries.setdefault(struct.unpack_from(f"{self._form.order}H", raw)[0], raw)
        for tag in damaged:
            entries.pop(tag, None)
        self._directories[name] = _Directory(at, entries, number, tags, struct.pack(self._form.pointer, following))
        if damaged:
            self.damaged = True
            self._write(name)
        return following

    def _write(self, name):
        directory, data = self._directories[name], self._data
        entries = directory.entries
        encoded = struct.pack(self._form.number, len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
        if len(entries) > directory.number:  # only `main`
            data += bytes(len(data) % 2)
            directory.at, directory.number = len(data), len(entries)
            struct.pack_into(self._form.pointer, data, 4, len(data))
        data[directory.at : directory.at + len(encoded) + 4] = encoded + directory.following

    def _remove_thumbnail(self, at):
        """Removes the second directory and the bytes of the thumbnail."""
        self._directories["main"].following = bytes(4)
        self._write("main")
        try:
            tags, _, _ = read_directory(io.BytesIO(self._data), at, self._form)
        except ValueError:
            return
        start, length = (tags[tag].first(0) if tag in tags else 0 for tag in (0x201, 0x202))
        if bytes(self._data[start : start + 2]) != b"\xff\xd8" or start + length > len(self._data):
            return
        if start + length == len(self._data):
            del self._data[start:]
        else:
            self._data[start : start + length] = bytes(length)

    def data(self) -> bytes:
        """The edited EXIF."""
        return bytes(self._data)
