"""Container readers that share no code with the package: every chunk, segment or tag of a file."""

import struct
import zlib

import tifffile

PNG = b"\x89PNG\r\n\x1a\n"


def chunk(name, data=b""):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_chunks(data):
    """`[(name, data, after the pixels), …]` without the pixels themselves; checks the checksums."""
    assert data.startswith(PNG)
    at, chunks, behind = 8, [], False
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(name + content)
        at += 12 + length
        behind = behind or name == b"IDAT"
        if name not in (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"):
            chunks.append((name, content, behind))
    assert name == b"IEND"
    return chunks


def with_chunks(data, before=(), behind=()):
    """A PNG with more chunks: `(name, data)` before the pixels, or between them and the end."""
    place = 8 + 25
    more, last = (b"".join(chunk(*each) for each in chunks) for chunks in (before, behind))
    return data[:place] + more + data[place:-12] + last + data[-12:]


def jpeg_segments(data):
    """`[(marker, data), …]` up to the pixels."""
    assert data[:2] == b"\xff\xd8"
    at, segments = 2, []
    while True:
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == 0xFFDA:
            return segments
        segments.append((marker & 0xFF, data[at + 4 : at + 2 + length]))
        at += 2 + length


def with_segments(data, *segments):
    """A JPEG with more segments at its start."""
    more = b"".join(struct.pack(">BBH", 255, marker, len(content) + 2) + content for marker, content in segments)
    return data[:2] + more + data[2:]


def webp_chunks(data):
    """`{name: data}`; checks the sum of the sizes."""
    assert data[:4] == b"RIFF"
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    at, chunks = 12, {}
    while at < len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        chunks[name] = data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    assert at == len(data)
    return chunks


def tiff_tags(path):
    """`{number: value}` of the first page."""
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1
        return {tag.code: tag.value for tag in file.pages[0].tags}


def packet_of(path):
    """The XMP of a file, including the second part in a JPEG; None if there is no XMP."""
    data = path.read_bytes()
    if path.suffix == ".png":
        texts = [content for name, content, _ in png_chunks(data) if name == b"iTXt"]
        found = [text[22:] for text in texts if text.startswith(b"XML:com.adobe.xmp\0\0\0\0\0")]
        return found[0] if found else None
    if path.suffix == ".webp":
        return webp_chunks(data).get(b"XMP ")
    if path.suffix == ".tif":
        found = tiff_tags(path).get(700)
        return None if found is None else bytes(found)
    standard, extended = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
    segments = [content for marker, content in jpeg_segments(data) if marker == 0xE1]
    found = [content[29:] for content in segments if content.startswith(standard)]
    parts = [content[35:] for content in segments if content.startswith(extended)]
    if not parts:
        return found[0] if found else None
    whole = bytearray(int.from_bytes(parts[0][32:36], "big"))
    for part in parts:
        assert part[:32] in found[0]  # the name in the first part
        at = int.from_bytes(part[36:40], "big")
        whole[at : at + len(part) - 40] = part[40:]
    return bytes(whole)
