"""The structure of JPEG files: complete scans, and removal of harmless faults.

libjpeg counts warnings about missing pixels together with warnings about odd version numbers. Without harmless faults,
every warning is about pixels. ITU-T T.81 defines markers and scans.
"""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from esrgan_tf.errors import UserError
from esrgan_tf.imaging.limits import MAX_PIXELS

MISSING = "some of its pixels are missing; the file was cut short or damaged"

_MARKER = re.compile(rb"\xff([\x01-\xfe])")  # FF 00 is a data byte; FF may be repeated before a marker
_SOI, EOI, _SOS, _DRI, _DHT, _DQT = 0xD8, 0xD9, 0xDA, 0xDD, 0xC4, 0xDB
_APP0, _APP14 = 0xE0, 0xEE
_RST = range(0xD0, 0xD8)
_WITHOUT_LENGTH = {0x01, _SOI, *_RST}
_PROGRESSIVE = 0xC2
_FRAMES = {0xC0, 0xC1, _PROGRESSIVE}  # baseline and extended are sequential; libjpeg refuses other frames by name
_ROWS_AT_ONCE = 8  # that libvips decodes


@dataclass(frozen=True)
class _Frame:
    code: int
    height: int
    width: int
    components: dict[int, tuple[int, int]]  # by identifier: sampling factors across and down

    @property
    def across(self) -> int:
        return max(h for h, _ in self.components.values())

    @property
    def down(self) -> int:
        return max(v for _, v in self.components.values())


def remove_harmless_faults(data: bytes) -> tuple[bytes, int | None]:
    """Adds an end marker, and removes bytes between segments and odd version numbers.

    Args:
        data: a JPEG file; bytes after its end marker are left out.

    Returns:
        The file and the number of rows of its picture; None is all rows. libvips checks libjpeg's warnings before it
        decodes eight rows, but not after the last eight. So the file has eight more rows if that changes no others.

    Raises:
        UserError: a scan is missing, so that pixels or bits of all pixels are missing.
    """
    parts, frame, missing, complete, scans = [data[:2]], None, {}, False, 0
    for code, start, end, next_at in read_segments(data):
        if code == EOI:
            complete = True
            break
        if end < start:  # libjpeg reports the segment
            return data, None
        body = data[start:end]
        if code in _FRAMES and frame is None:
            frame = _parse_frame(code, body)
            frame_at = len(parts)
            missing = {(component, k): 14 for component in frame.components for k in range(64)}  # 14: no bit is known
        if code == _SOS:
            scans += 1
            for component, k, bit in _coefficients(body):
                missing[component, k] = bit
            parts += [_encode_segment(code, body), data[end:next_at]]
        else:
            parts.append(_encode_segment(code, _replace_odd_values(code, body, frame)))
    if frame is None and complete:
        return data, None  # a kind of frame that is not read here
    if frame is None or any(missing.values()):
        raise UserError(MISSING)
    rows = None
    fits = frame.height < 2**16 - 16 and frame.width * (frame.height + 16) <= MAX_PIXELS
    if frame.code != _PROGRESSIVE and scans == 1 and frame.down == 1 and fits:
        rows = frame.height
        parts[frame_at] = _set_height(parts[frame_at], math.ceil(rows / _ROWS_AT_ONCE + 1) * _ROWS_AT_ONCE)
    return b"".join([*parts, bytes((0xFF, EOI))]), rows


def restarts_in_order(data: bytes) -> bool:
    """Whether each scan has the restart markers that its size and interval require, in order."""
    frame, interval = None, 0
    for code, start, end, next_at in read_segments(data):
        body = data[start:end]
        if code in _FRAMES:
            frame = _parse_frame(code, body)
        elif code == _DRI:
            interval = int.from_bytes(body[:2], "big")
        elif code == _SOS:
            found = [marker[1][0] for marker in _MARKER.finditer(data, end, next_at)]
            wanted = math.ceil(_count_units(frame, body) / interval) - 1 if interval and frame else 0
            if found[:wanted] != [0xD0 + i % 8 for i in range(wanted)]:
                return False
    return True


def read_segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yields `(marker, start of its data, end of its data, start of the search for the next marker)` per segment.

    The end marker is the last segment. Bytes between segments are skipped. The entropy-coded data of a scan is between
    the last two positions. A segment of an impossible length ends before it starts, and is the last segment.
    """
    at = 2
    while marker := _MARKER.search(data, at):
        code, at = marker[1][0], marker.end()
        if code == EOI:
            yield code, at, at, at
            return
        if code in _WITHOUT_LENGTH:
            continue
        length = _segment_length(code, data, at)
        start, at = at + 2, at + length
        next_at = _end_of_scan(data, at) if code == _SOS else at
        yield code, start, at, next_at
        if length < 2:
            return
        at = next_at


def _encode_segment(code, body):
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body


def _segment_length(code, data, at):
    """Returns the length of a segment by its content if possible, else the stated length."""
    stated, body = int.from_bytes(data[at : at + 2], "big"), data[at + 2 : at + 2**16]
    if code in _FRAMES and len(body) > 5:
        return 8 + 3 * body[5]
    if code == _SOS and body:
        return 6 + 2 * body[0]
    if code == _DRI:
        return 4
    if code not in (_DHT, _DQT):
        return stated
    length = 0  # of the tables, at least one; each begins with a number
    while length + 17 < len(body) and (length + 2 < stated or not length) and body[length] & 0x0F < 4:
        if code == _DQT and body[length] < 0x20:
            length += 129 if body[length] & 0x10 else 65
        elif code == _DHT and body[length] < 0x20:
            length += 17 + sum(body[length + 1 : length + 17])
        else:
            break
    return length + 2 if length else stated


def _parse_frame(code, body):
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise UserError(MISSING)
    height, width, count = struct.unpack(">HHB", body[1:6])
    factors = {body[6 + 3 * i]: (body[7 + 3 * i] >> 4, body[7 + 3 * i] & 15) for i in range(count)}
    if not factors or any(0 in pair for pair in factors.values()):
        raise UserError(MISSING)
    return _Frame(code, height, width, factors)


def _set_height(segment, rows):
    return segment[:5] + struct.pack(">H", rows) + segment[7:]


def _replace_odd_values(code, body, frame):
    """Replaces a version or transform that libjpeg warns about."""
    if code == _APP0 and body[:5] == b"JFIF\0" and len(body) >= 14:
        return body[:5] + b"\x01" + body[6:]
    if code == _APP14 and body[:5] == b"Adobe" and len(body) >= 12 and body[11] > 2:
        return body[:11] + (b"\x02" if frame and len(frame.components) == 4 else b"\x01") + body[12:]
    return body


def _end_of_scan(data, at):
    """Returns the position of the first marker after a scan, or the end of the file."""
    for marker in _MARKER.finditer(data, at):
        if marker[1][0] not in _RST:
            return marker.start()
    return len(data)


def _coefficients(body):
    """Yields `(component, index, lowest bit)` per coefficient of a scan; bit 0 completes a coefficient."""
    count = body[0] if body else 0
    if len(body) < 4 + 2 * count:
        return
    first, last, approximation = body[1 + 2 * count : 4 + 2 * count]
    for i in range(count):
        for k in range(first, min(last, 63) + 1):
            yield body[1 + 2 * i], k, approximation & 15


def _count_units(frame, body):
    """Counts the MCUs of a scan (T.81, A.2)."""
    across, down = frame.across, frame.down
    if body[0] > 1:
        return math.ceil(frame.width / (8 * across)) * math.ceil(frame.height / (8 * down))
    h, v = frame.components.get(body[1], (across, down))
    return math.ceil(math.ceil(frame.width * h / across) / 8) * math.ceil(math.ceil(frame.height * v / down) / 8)
