"""The editor of XMP packets, which changes properties and keeps all other bytes.

The parser, expat, refuses document types, so that a packet can define no entities that expand.
"""

import re
from collections.abc import Callable
from xml.parsers import expat

_MAX = 2**25  # bytes of a packet
TAG = re.compile(rb"<[^<>\"']*(?:\"[^\"]*\"[^<>\"']*|'[^']*'[^<>\"']*)*>")
_ATTRIBUTE = re.compile(rb"\s+([^\s=]+)\s*=\s*(\"[^\"]*\"|'[^']*')")

Change = Callable[[str], str | None]  # returns a new value; None removes the property


def remove(value: str) -> None:
    """The `Change` that removes a property and all that it contains."""


def to_utf8(packet: bytes) -> bytes:
    """Converts a packet to UTF-8, without padding."""
    for mark, name in ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"),
                       (b"\xfe\xff", "utf-16")):  # fmt: skip
        if packet.startswith(mark):
            packet = re.sub(rb"^\s*<\?xml[^>]*\?>", b"", packet.decode(name).encode())
            break
    return packet.removeprefix(b"\xef\xbb\xbf").strip(b"\0 \t\r\n")


def edit_properties(packet: bytes, decide: Callable[[str, str, list], Change | None]) -> bytes:
    """Changes properties of a packet.

    Args:
        decide: returns a `Change` of an attribute or element, or None to keep it. Its arguments are namespace, name,
            and a list of the namespaces and names of the elements above.

    Raises:
        ValueError: the packet is not XML, has a document type, is too long or is nested too deeply.
    """
    packet = to_utf8(packet)
    if len(packet) > _MAX:
        raise ValueError("it is too long")
    parser = expat.ParserCreate("UTF-8")
    parser.ordered_attributes = True
    edits: list[tuple[int, int, bytes]] = []
    scopes: list[dict[str, str]] = [{"xml": "http://www.w3.org/XML/1998/namespace"}]
    above: list[tuple[str, str]] = []
    open_changes: list[tuple[int, int, int, Change]] = []  # depth, start, end of the start tag, change
    texts: list[str] = []

    def resolve(name, attribute=False):
        prefix, _, local = name.rpartition(":")
        return ("" if attribute and not prefix else scopes[-1].get(prefix, prefix)), local

    def start(name, attributes):
        at = parser.CurrentByteIndex
        declared = {
            key.partition(":")[2]: value
            for key, value in zip(attributes[::2], attributes[1::2], strict=True)
            if key == "xmlns" or key.startswith("xmlns:")
        }
        scopes.append({**scopes[-1], **declared} if declared else scopes[-1])
        if len(scopes) > 200:
            raise ValueError("it is nested too deeply")
        space, local = resolve(name)
        inside = bool(open_changes)
        if not inside:
            found = TAG.match(packet, at)
            if found is None:
                raise ValueError("no XML")
            change = decide(space, local, above)
            if change is not None:
                open_changes.append((len(scopes), at, found.end(), change))
                texts.clear()
            if change is not remove and attributes:
                edit_attributes(found, attributes)
        elif open_changes[-1][3] is not remove:
            decide_inside(name, attributes)
        above.append((space, local))

    def decide_inside(name, attributes):
        # A property with a change has unexpected properties below it; they are kept.
        space, local = resolve(name)
        decide(space, local, above)

    def edit_attributes(found, attributes):
        values = dict(zip(attributes[::2], attributes[1::2], strict=True))
        parents = [*above, resolve(found[0][1:].decode(errors="replace").split()[0].rstrip("/>"))]
        for each in _ATTRIBUTE.finditer(packet, found.start(), found.end()):
            key = each[1].decode(errors="replace")
            if key.startswith("xmlns:"):
                if decide(values.get(key, ""), "", parents) is remove:
                    edits.append((each.start(), each.end(), b""))
                continue
            space, local = resolve(key, attribute=True)
            change = decide(space, local, parents)
            if change is None or key not in values:
                continue
            new = change(values[key])
            if new is None:
                edits.append((each.start(), each.end(), b""))
            elif new != values[key]:
                edits.append((each.start(2), each.end(2), b'"' + _escape(new) + b'"'))

    def end(name):
        scopes.pop()
        above.pop()
        if not open_changes or open_changes[-1][0] != len(scopes) + 1:
            return
        _, first, content, change = open_changes.pop()
        at = parser.CurrentByteIndex
        closed = packet.startswith(b"</", at) and at >= content
        new = change("".join(texts)) if change is not remove else None
        if new is None:
            edits.append((first, packet.index(b">", at) + 1 if closed else content, b""))
        elif closed and new != "".join(texts):
            edits.append((content, at, _escape(new)))

    def text(data):
        if open_changes:
            texts.append(data)

    def refuse(*_):
        raise ValueError("it has a document type")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(packet, True)
    except expat.ExpatError as error:
        raise ValueError("it is no XML") from error
    parts, last = [], 0
    for first, stop, new in sorted(edits):
        if first < last:  # inside a removed property
            continue
        parts += [packet[last:first], new]
        last = stop
    return b"".join([*parts, packet[last:]])


def _escape(text):
    for character, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, name)
    return text.encode()
