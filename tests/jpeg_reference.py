"""Checks that a JPEG has all its pixels: a Huffman decoder that keeps no pixel (ITU-T T.81, Annex F and G).

It shares no code with libjpeg or with the package. It passes over bytes between segments, like decoders.
"""

import functools
import io
import math
from itertools import pairwise

from PIL import Image

WHOLE, MISSING, UNDECODABLE = "whole", "missing", "undecodable"


class _NoMoreBits(Exception):
    pass


class _Undecodable(Exception):
    pass


class _Bits:
    """The bits of an entropy-coded interval; a marker is beyond its end."""

    def __init__(self, data):
        data = data.replace(b"\xff\x00", b"\xff")
        self.text, self.at = bin(int.from_bytes(b"\1" + data, "big"))[3:], 0

    def take(self, count):
        if self.at + count > len(self.text):
            raise _NoMoreBits
        self.at += count
        return int(self.text[self.at - count : self.at] or "0", 2)

    def symbol(self, table):
        code, length = 0, 0
        while length < 16:
            code, length = code << 1 | self.take(1), length + 1
            if (length, code) in table:
                return table[length, code]
        raise _Undecodable


def classify(data: bytes) -> str:
    """`WHOLE`, `MISSING` or `UNDECODABLE`."""
    try:
        return WHOLE if _decode(data) else MISSING
    except (_NoMoreBits, IndexError):
        return MISSING
    except (_Undecodable, KeyError, ValueError):
        return UNDECODABLE


def _decode(data):
    """Whether every coefficient of every block has all of its bits."""
    tables, quantisation, frame, interval, at = dict(_usual_tables()), set(), None, 0, 2
    if data[:2] != b"\xff\xd8":
        raise _Undecodable
    while True:
        at = _next_marker(data, at)
        if at is None:
            break
        code, at = data[at + 1], at + 2
        if code == 0xD9:
            break
        if code == 0xD8:
            raise _Undecodable
        if code == 1 or 0xD0 <= code <= 0xD7:
            continue
        length = _length(code, data, at)
        if length < 2:
            raise _Undecodable
        body, at = data[at + 2 : at + length], at + length
        if code == 0xC4:
            tables |= _tables(body)
        elif code == 0xDB:
            quantisation |= {body[k] & 15 for k in range(0, len(body), 65 if body[0] < 16 else 129)}
        elif code == 0xDD:
            interval = int.from_bytes(body, "big")
        elif code in (0xC0, 0xC1, 0xC2):
            if frame is not None:
                raise _Undecodable
            frame = _Frame(code == 0xC2, body)
        elif 0xC3 <= code <= 0xCF and code != 0xC8:
            raise _Undecodable
        elif code == 0xDA:
            if frame is None or not {c[3] for c in frame.components.values()} <= quantisation:
                raise _Undecodable
            end = at
            while (end := _next_marker(data, end)) is not None and 0xD0 <= data[end + 1] <= 0xD7:
                end += 2
            end = len(data) if end is None else end
            frame.scan(body, data[at:end], tables, interval)
            at = end
    return frame is not None and frame.complete()


def _length(code, data, at):
    """A segment's length by its content if that is only the first table, and otherwise the stated length."""
    stated, body = int.from_bytes(data[at : at + 2], "big"), data[at + 2 :]
    if 0xC0 <= code <= 0xC2:
        return 8 + 3 * body[5]
    if code == 0xDA:
        return 6 + 2 * body[0]
    if code == 0xDD:
        return 4
    if code not in (0xC4, 0xDB):
        return stated
    table = {0xC4: lambda k: 17 + sum(body[k + 1 : k + 17]), 0xDB: lambda k: 65 + 64 * (body[k] >> 4)}[code]
    length = table(0)
    while length + 2 < stated and body[length] in (0x00, 0x01, 0x10, 0x11):
        length += table(length)
    return length + 2


@functools.cache
def _usual_tables():
    """The tables of Annex K, which decoders use for files without tables, and which Pillow writes."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG")
    return {k: v for part in segments(stream.getvalue()) if part[1] == 0xC4 for k, v in _tables(part[4:]).items()}


def _next_marker(data, at):
    while (at := data.find(b"\xff", at)) != -1 and at + 1 < len(data):
        if data[at + 1] not in (0, 0xFF):
            return at
        at += 1
    return None


def _tables(body):
    found, at = {}, 0
    while at < len(body):
        counts, at_symbols, code, table = body[at + 1 : at + 17], at + 17, 0, {}
        for length, count in enumerate(counts, 1):
            for _ in range(count):
                table[length, code] = body[at_symbols]
                code, at_symbols = code + 1, at_symbols + 1
            code <<= 1
        found[body[at]] = table
        at = at_symbols
    return found


class _Frame:
    def __init__(self, progressive, body):
        self.progressive = progressive
        self.height, self.width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
        self.components = {}
        for k in range(body[5]):
            identifier, factors, table = body[6 + 3 * k : 9 + 3 * k]
            self.components[identifier] = (factors >> 4, factors & 15, k, table)
        if not self.height or not self.width:
            raise _Undecodable
        self.across = max(c[0] for c in self.components.values())
        self.down = max(c[1] for c in self.components.values())
        self.missing_bits = {c: [99] * 64 for c in self.components}
        self.nonzero = {}  # (component, block): the coefficients that are not 0 so far, for refinements

    def complete(self):
        return not any(any(bits) for bits in self.missing_bits.values())

    def scan(self, body, data, tables, interval):
        count = body[0]
        chosen = [(body[1 + 2 * k], body[2 + 2 * k]) for k in range(count)]
        first, last, shift = body[1 + 2 * count : 4 + 2 * count]
        if not self.progressive:
            first, last, shift = 0, 63, 0
        blocks = self._blocks([c for c, _ in chosen])
        parts = self._intervals(data)
        step = interval or len(blocks)
        wanted = math.ceil(len(blocks) / step)
        if len(parts) < wanted:
            raise _NoMoreBits
        for number, part in enumerate(parts[:wanted]):
            if number + 1 < wanted and part[1] != 0xD0 + number % 8:
                raise _NoMoreBits
            bits, self.run = _Bits(part[0]), 0
            for unit in blocks[number * step : (number + 1) * step]:
                for component, block in unit:
                    dc, ac = dict(chosen)[component] >> 4, 0x10 | dict(chosen)[component] & 15
                    self._block(bits, component, block, tables, dc, ac, first, last, shift >> 4)
        for component, _ in chosen:
            for k in range(first, last + 1):
                if self.missing_bits[component][k] != (shift >> 4 or 99) and self.progressive:
                    raise _Undecodable
                self.missing_bits[component][k] = shift & 15

    def _intervals(self, data):
        """`(bytes, the restart marker after the bytes)`."""
        ends, at = [], 0
        while (at := _next_marker(data, at)) is not None:
            ends.append(at)
            at += 2
        starts = [0, *(end + 2 for end in ends)]
        return [
            (data[a:b], data[b + 1] if b < len(data) else 0) for a, b in zip(starts, [*ends, len(data)], strict=True)
        ]

    def _blocks(self, components):
        """The blocks of each MCU (A.2)."""
        if len(components) == 1:
            h, v, *_ = self.components[components[0]]
            columns = math.ceil(math.ceil(self.width * h / self.across) / 8)
            rows = math.ceil(math.ceil(self.height * v / self.down) / 8)
            return [[(components[0], (y, x))] for y in range(rows) for x in range(columns)]
        units = []
        for y in range(math.ceil(self.height / (8 * self.down))):
            for x in range(math.ceil(self.width / (8 * self.across))):
                unit = []
                for component in components:
                    h, v, *_ = self.components[component]
                    unit += [(component, (y * v + j, x * h + i)) for j in range(v) for i in range(h)]
                units.append(unit)
        return units

    def _block(self, bits, component, block, tables, dc, ac, first, last, high):
        if first == 0:
            if high:
                bits.take(1)
            else:
                bits.take(bits.symbol(tables[dc]))
            if self.progressive:
                return
            first = 1
        nonzero = self.nonzero.setdefault((component, block), set())
        if high:
            self._refine(bits, tables[ac], nonzero, first, last)
            return
        if self.run:
            self.run -= 1
            return
        k = first
        while k <= last:
            zeros, size = divmod(bits.symbol(tables[ac]), 16)
            if size:
                k += zeros
                bits.take(size)
                nonzero.add(k)
                k += 1
            elif zeros == 15:
                k += 16
            else:
                self.run = (1 << zeros) - 1 + bits.take(zeros)
                break

    def _refine(self, bits, table, nonzero, first, last):
        before, k = set(nonzero), first
        if not self.run:
            while k <= last:
                zeros, size = divmod(bits.symbol(table), 16)
                if size:
                    bits.take(1)
                elif zeros < 15:
                    self.run = (1 << zeros) + bits.take(zeros)
                    break
                while k <= last:
                    if k in before:
                        bits.take(1)
                    elif zeros:
                        zeros -= 1
                    else:
                        break
                    k += 1
                if size and k <= last:
                    nonzero.add(k)
                k += 1
        if self.run:
            bits.take(sum(j in before for j in range(k, last + 1)))
            self.run -= 1


def segments(data: bytes) -> list[bytes]:
    """The file in segments, each scan with its data; the segments join to the file."""
    starts, at = [0], 2
    while (at := _next_marker(data, at)) is not None:
        if not 0xD0 <= data[at + 1] <= 0xD7:
            starts.append(at)
            if data[at + 1] != 0xD9:
                at += int.from_bytes(data[at + 2 : at + 4], "big")
        at += 2
    return [data[a:b] for a, b in pairwise([*starts, len(data)])]
