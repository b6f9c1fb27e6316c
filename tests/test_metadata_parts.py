"""Separate parts of metadata: XMP packets, EXIF, TIFF's directories, profiles."""

import hashlib
import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from esrgan_tf.imaging import colour_profiles, xmp
from esrgan_tf.imaging.exif import Exif
from esrgan_tf.imaging.tiff_tags import Form, encode_directory, entry, form_of, read_directory, read_tree
from esrgan_tf.imaging.xmp_editing import edit_properties, remove

SPACES = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:a="urn:a" xmlns:b="urn:b"'
PACKET = f"""<?xpacket begin=""?><!-- a > b --><rdf:RDF {SPACES}><rdf:Description a:one = '1 &gt; "0"' b:one="2">
<a:two><rdf:Seq><rdf:li>x</rdf:li></rdf:Seq></a:two><a:three/><b:two>ä</b:two></rdf:Description></rdf:RDF>""".encode()


@pytest.mark.parametrize(
    ("space", "name", "change", "before", "after"),
    [
        ("urn:a", "one", lambda value: value.upper() + "<", b"""'1 &gt; "0"'""", b'"1 &gt; &quot;0&quot;&lt;"'),
        ("urn:a", "one", remove, b""" a:one = '1 &gt; "0"'""", b""),
        ("urn:b", "one", lambda value: "3", b'b:one="2"', b'b:one="3"'),
        ("urn:a", "two", remove, b"<a:two><rdf:Seq><rdf:li>x</rdf:li></rdf:Seq></a:two>", b""),
        ("urn:a", "three", remove, b"<a:three/>", b""),
        ("urn:b", "two", lambda value: value + "&", "ä".encode(), "ä&amp;".encode()),
        ("urn:c", "one", remove, b"", b""),
    ],
    ids=["attribute", "gone attribute", "another namespace", "element", "empty element", "text", "not there"],
)
def test_a_property_is_changed_and_all_else_keeps_its_bytes(space, name, change, before, after):
    found = edit_properties(PACKET, lambda *here: change if here[:2] == (space, name) else None)
    assert found == PACKET.replace(before, after)


def test_long_packets_are_split_like_adobes():
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + b"<a/>" * 50_000 + b"</x:xmpmeta>"
    first, *others = xmp.segments(b"<?xpacket begin=''?>" + packet + b"<?xpacket end='w'?>")
    name = hashlib.md5(packet).hexdigest().upper().encode()
    assert b'xmpNote:HasExtendedXMP="' + name + b'"' in first
    head = b"http://ns.adobe.com/xmp/extension/\0" + name + struct.pack(">I", len(packet))
    assert all(part.startswith(head) and len(part) <= 65533 for part in others)
    assert b"".join(part[len(head) + 4 :] for part in others) == packet
    assert [int.from_bytes(part[len(head) :][:4], "big") for part in others] == list(
        np.cumsum([0, *(len(part) - len(head) - 4 for part in others[:-1])])
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("large", [False, True])
def test_directories_are_read_by_others_and_read_again(order, large):
    tags = {271: entry(3, 1, 2, 3), 282: entry(5, (1, 3)), 33550: entry(12, 1.5, 2.5, 3.5), 34665: {36864: entry(3, 7)}}
    form = Form(order, large)
    head = {(False, "<"): b"II*\0", (False, ">"): b"MM\0*", (True, "<"): b"II+\0", (True, ">"): b"MM\0+"}[large, order]
    head += struct.pack(f"{order}HHQ", 8, 0, 16) if large else struct.pack(f"{order}I", 8)
    data = head + encode_directory(tags, form, len(head))
    assert form_of(data) == (form, len(head))
    assert read_tree(io.BytesIO(data))[0] == tags
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.pages.first.tags[271].value == (1, 2, 3)
        assert file.pages.first.tags[33550].value == (1.5, 2.5, 3.5)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_is_edited_in_place(order):
    before = Image.Exif()
    before.endian = order
    before[271], before[274] = "a camera", 6
    before.get_ifd(0x8769).update({0x927C: b"note" * 20, 0xA002: 70_000})
    data = before.tobytes()[6:]
    exif = Exif(data)
    exif.change("main", {274: entry(3, 1), 282: entry(5, (300, 1)), 271: None})
    exif.change("exif", {0xA002: entry(4, 140_000)})
    after = Image.Exif()
    after.load(exif.data())
    assert dict(after).keys() == {274, 282, 0x8769}
    assert (after[274], after[282]) == (1, 300)
    assert after.get_ifd(0x8769)[0xA002] == 140_000
    assert exif.data().index(b"note" * 20) == data.index(b"note" * 20)


def test_a_directory_that_claims_more_than_there_is():
    data = b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 271, 2, 2**31, 8) + bytes(4)
    tags, damaged, _ = read_directory(io.BytesIO(data), 8, Form("<", False))
    assert (tags, damaged) == ({}, [271])
    with pytest.raises(ValueError, match="cut short"):
        read_directory(io.BytesIO(data[:-8]), 8, Form("<", False))


def test_profiles_made_of_numbers_are_read_by_littlecms():
    adobe = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
    profile = colour_profiles.profile_from_gamma(1 / 2.19921875, adobe, 3)
    assert colour_profiles.find_fault(profile, 3) is None
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
    # The colorants of Adobe RGB (1998), annex C, adapted to D50.
    for column, expected in zip(
        (opened.red_colorant, opened.green_colorant, opened.blue_colorant),
        ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
        strict=True,
    ):
        np.testing.assert_allclose(column[0], expected, atol=5e-4)
