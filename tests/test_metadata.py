"""Metadata of an image file in the result: kept, adjusted, or named in a line.

Pillow, tifffile and `tests.containers` read the results. The network is the nearest neighbour.
"""

import contextlib
import hashlib
import io
import random
import resource
import struct
import warnings
import zlib
from xml.etree import ElementTree

import numpy as np
import pillow_heif
import pytest
import pyvips
import skimage.data
import tifffile
from PIL import ExifTags, Image, ImageCms, IptcImagePlugin, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from esrgan_tf.errors import UserError
from esrgan_tf.imaging.inventory import Inventory, Result
from esrgan_tf.imaging.metadata import parts_for
from esrgan_tf.imaging.result_metadata import write_result
from esrgan_tf.imaging.xmp import Upscaling
from esrgan_tf.inference.image_files import upscale_file
from tests.conftest import SHARED
from tests.containers import (
    chunk,
    jpeg_segments,
    packet_of,
    png_chunks,
    tiff_tags,
    webp_chunks,
    with_chunks,
    with_segments,
)

PHOTO = skimage.data.astronaut()[100:148, 200:264]  # 48x64
KINDS = ("png", "jpg", "webp", "tif")
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


class Nearest:
    """Doubles the size by the nearest neighbour."""

    scale, channels = 2, 3

    def tiles(self, pixels, progress):
        most = np.iinfo(pixels.dtype).max
        yield 0, 0, (pixels.repeat(2, axis=0).repeat(2, axis=1) / most).astype(np.float32)


def upscaled(content, tmp_path, kind=None, name="a.png", outscale=None):
    """The path of the result, and the lines."""
    source = tmp_path / "in" / name
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(content)
    target = tmp_path / f"result.{kind or source.suffix[1:]}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lines = upscale_file(source, target, Nearest(), outscale)
    pyvips.Image.new_from_file(str(target), fail_on="warning").avg()
    return target, lines


def encoded(kind="PNG", pixels=PHOTO, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper()), **options)
    return stream.getvalue()


def xmp(properties="", spaces="", inside=""):
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/" {spaces} {properties} dc:format="a &amp; b">{inside}'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def exif_of(photo=None, gps=None, **tags):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    for number, value in tags.items():
        exif[int(number[1:])] = value
    exif.get_ifd(0x8769).update(photo or {})
    exif.get_ifd(0x8825).update(gps or {})
    return exif


def carrier(kind, packet=None, exif=None, **options):
    """A photo of any format with XMP and EXIF."""
    if exif is not None:
        options["exif"] = exif
    if packet is None:
        return encoded(kind, **options)
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        return encoded(kind, pnginfo=info, **options)
    if kind == "jpg":
        return with_segments(encoded(kind, **options), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet))
    if kind == "tif":
        return encoded(kind, tiffinfo={700: packet}, **options)
    return encoded(kind, xmp=packet, **options)


def resolution_of(path):
    """Dots per inch, by each format's readers; None if the file contains no resolution."""
    with Image.open(path) as image:
        exif, info = image.getexif(), image.info
        if path.suffix in (".png", ".tif"):
            return tuple(round(float(number)) for number in info["dpi"]) if "dpi" in info else None
        return (float(exif[282]), float(exif[283])) if 282 in exif else None


# Trials: file, the correct line for each kind of result or None, and further checks.

GAIN_MAP, VIDEO = (
    "its gain map was left out: the result is SDR",
    "its video was left out: the result is a still picture",
)
LONG = "its colour profile was left out: it claims 1588 bytes and has 588"
CUT = "its colour profile was left out: it claims 588 bytes and has 200"
NINE = "its colour profile was left out: its version, 9, is unknown"
TEXT = "its colour profile was left out: it is no ICC profile"
WORDS = "its PNG texts parameters, Title, workflow were left out: {} has no place for them"
HDR = "its colour code (cICP) was left out: {} has no place for it, and no profile is equivalent"
NOTHING: dict[str, str] = {}
NOT_PNG = ("jpg", "webp", "tif")
TRIALS = {
    **dict.fromkeys(("R01/phone_iso.jpg", "R01/phone_google.jpg"), dict.fromkeys(KINDS, GAIN_MAP)),
    "R01/motion.jpg": dict.fromkeys(KINDS, VIDEO),
    **dict.fromkeys(("R05/linear.png", "R05/adobe.png", "R05/p3.png"), NOTHING),
    "R05/pq.png": dict.fromkeys(NOT_PNG, HDR),
    **dict.fromkeys(("R06/long.jpg", "R06/long.tif"), dict.fromkeys(KINDS, LONG)),
    **dict.fromkeys(("R06/cut.jpg", "R06/cut.tif"), dict.fromkeys(KINDS, CUT)),
    **dict.fromkeys(("R06/v9.jpg", "R06/v9.tif", "R06/v9.png"), dict.fromkeys(KINDS, NINE)),
    **dict.fromkeys(("R06/text.jpg", "R06/text.tif"), dict.fromkeys(KINDS, TEXT)),
    "R07/generated.png": dict.fromkeys(NOT_PNG, WORDS),
    "R07/comment.jpg": dict.fromkeys(("webp", "tif"), "its comment was left out: {} has no place for it"),
    "R08/xmp.png": {},
    "R08/exif66000.png": {"jpg": "its EXIF of 66 kB was left out: jpg holds 64 kB"},
    **dict.fromkeys(
        [f"R10/{name}" for name in ("turned.jpg", "turned.png", "turned.webp", "both.jpg", "xmp_only.jpg")]
        + [f"R10/{name}" for name in ("phys300_exif72.png",)],
        NOTHING,
    ),
}  # fmt: skip
MARKS = (b"hdrgm", b"GainMap", b"21496", b"MPF", b"MotionPhoto", b"MicroVideo")


@pytest.mark.shared
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TRIALS)
def test_trial(name, kind, tmp_path):
    source = SHARED.parent / "trials" / name
    if not source.exists():
        pytest.skip(f"needs {name}, which is not part of the repository")
    target, lines = upscaled(source.read_bytes(), tmp_path, kind, source.name)
    expected = TRIALS[name].get(kind)
    assert lines == ([] if expected is None else [expected.format(kind)])
    data = target.read_bytes()
    assert not [mark for mark in MARKS if mark in data]
    with Image.open(target) as image:
        image.load()
        turned = name in ("R10/both.jpg", "R10/xmp_only.jpg") or "turned" in name
        assert image.size == ((96, 128) if turned else (128, 96))
        assert image.getexif().get(274, 1) == 1
        info = image.info
    if "turned" in name:
        assert resolution_of(target) == (150, 300)
    if name == "R10/phys300_exif72.png":
        assert resolution_of(target) == (300, 300)
    packet = packet_of(target)
    if name in ("R10/both.jpg", "R10/xmp_only.jpg"):
        assert b'tiff:Orientation="1"' in packet
    if name == "R08/xmp.png":
        texts = Image.open(source).text["XML:com.adobe.xmp"].encode()
        assert b"".join(packet.split()) == b"".join(texts.split())
    if name == "R08/exif66000.png" and kind != "jpg":
        with Image.open(target) as image:
            assert image.getexif()[270] == Image.open(source).getexif()[270]
    if name == "R07/generated.png" and kind == "png":
        assert {each for each in png_chunks(source.read_bytes())} <= set(png_chunks(data))
    if name == "R07/comment.jpg" and kind in ("jpg", "png"):
        comment = Image.open(source).info["comment"]
        assert info["comment"] == comment if kind == "jpg" else info["Comment"].encode() == comment
    if name.startswith("R06/"):
        assert "icc_profile" not in info
    if name.startswith("R05/"):
        shown = png_chunks(source.read_bytes())
        if kind == "png":
            assert {each for each in shown if each[0] != b"pHYs"} <= set(png_chunks(data))
        else:
            assert ("icc_profile" in info) == ("pq" not in name)


# Colours.


def shown(path):
    """The colours that a colour-managed program displays: sRGB, by LittleCMS."""
    with Image.open(path) as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        mode = "L" if image.mode == "L" else "RGB"
        if mode == "L":
            profile_of_srgb = ImageCms.createProfile("sRGB")
            return np.asarray(ImageCms.profileToProfile(image, profile, profile_of_srgb, outputMode="RGB"))
        return np.asarray(ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB")))


def matrix(primaries, white=(0.3127, 0.3290)):
    """The matrix from linear RGB to XYZ, as in Lindbloom's "RGB/XYZ Matrices"."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    x, y = white
    return columns * np.linalg.solve(columns, [x / y, 1, (1 - x - y) / y])


def srgb_curve(linear):
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clip(1e-9) ** (1 / 2.4) - 0.055)


SRGB = matrix([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)])
ADOBE = matrix([(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)])
P3 = matrix([(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)])
CHRM_ADOBE = struct.pack(">8I", *(round(v * 1e5) for v in (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)))
PASTEL = (PHOTO // 3 + 80).astype(np.uint8)  # inside every gamut


def linear(value, gamma):
    return value**gamma if gamma else np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


COLOURS = {
    "linear": ([(b"gAMA", struct.pack(">I", 100_000))], SRGB, 1.0),
    "Adobe RGB": ([(b"gAMA", struct.pack(">I", 45471)), (b"cHRM", CHRM_ADOBE)], ADOBE, 2.19921875),
    "gamma 1.8": ([(b"gAMA", struct.pack(">I", 55556))], SRGB, 1.8),
    "Display P3": ([(b"cICP", bytes([12, 13, 0, 1]))], P3, None),
    "P3 with an older code": ([(b"gAMA", struct.pack(">I", 100_000)), (b"cICP", bytes([12, 13, 0, 1]))], P3, None),
}


@pytest.mark.parametrize("kind", NOT_PNG)
@pytest.mark.parametrize("case", COLOURS)
def test_a_png_s_colours_become_a_profile(case, kind, tmp_path):
    chunks, to_xyz, gamma = COLOURS[case]
    target, lines = upscaled(with_chunks(encoded(pixels=PASTEL), chunks), tmp_path, kind)
    assert lines == []
    expected = srgb_curve((linear(PASTEL / 255, gamma) @ to_xyz.T @ np.linalg.inv(SRGB).T).clip(0, 1))
    expected = (255 * expected).repeat(2, axis=0).repeat(2, axis=1)
    assert np.abs(shown(target) - expected).mean() < (1 if kind == "tif" else 4)


def test_a_gray_png_s_gamma_becomes_a_profile_of_gray(tmp_path):
    gray = PASTEL[..., 1]
    content = with_chunks(encoded(pixels=gray), [(b"gAMA", struct.pack(">I", 100_000))])
    for kind in ("jpg", "tif", "webp"):
        target, lines = upscaled(content, tmp_path, kind)
        assert lines == []
        expected = 255 * srgb_curve(gray / 255).repeat(2, axis=0).repeat(2, axis=1)
        found = shown(target)
        assert np.abs(found[..., 0] - expected).mean() < 4


@pytest.mark.parametrize("kind", KINDS)
def test_plain_colours_make_neither_profile_nor_line(kind, tmp_path):
    srgb = [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45455))]
    srgb += [(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))]
    for chunks in (srgb, srgb[1:], srgb[1:2], [(b"cICP", bytes([1, 13, 0, 1]))]):
        target, lines = upscaled(with_chunks(encoded(), chunks), tmp_path, kind)
        assert lines == []
        assert "icc_profile" not in Image.open(target).info
        if kind == "png":
            assert {name for name, _ in chunks} <= {name for name, _, _ in png_chunks(target.read_bytes())}


@pytest.mark.parametrize("kind", KINDS)
def test_profiles_of_any_length(kind, tmp_path):
    """A profile of 200 kB has several segments in JPEG."""
    padding = np.random.default_rng(0).bytes(200_000)
    tags = struct.unpack_from(">I", PROFILE, 128)[0]
    table = [struct.unpack_from(">4sII", PROFILE, 132 + 12 * i) for i in range(tags)]
    moved = b"".join(struct.pack(">4sII", name, at + 12, size) for name, at, size in table)
    moved += struct.pack(">4sII", b"priv", len(PROFILE) + 12, len(padding))
    profile = PROFILE[:128] + struct.pack(">I", tags + 1) + moved + PROFILE[132 + 12 * tags :] + padding
    profile = struct.pack(">I", len(profile)) + profile[4:]
    target, lines = upscaled(encoded("jpg", icc_profile=profile), tmp_path, kind, "a.jpg")
    assert lines == []
    assert Image.open(target).info["icc_profile"] == profile


FAULTS = {
    "longer than it is": (
        struct.pack(">I", len(PROFILE) + 9) + PROFILE[4:], f"it claims {len(PROFILE) + 9} bytes and has {len(PROFILE)}"
    ),
    "a few bytes": (b"abc", "it is no ICC profile"),
    "only a head": (PROFILE[:130], "it is cut short"),
    "version 5": (PROFILE[:8] + b"\5" + PROFILE[9:], "its version, 5, is unknown"),
    "tags beyond its end": (PROFILE[:136] + struct.pack(">I", 10**9) + PROFILE[140:], "it is damaged"),
    "for CMYK": (PROFILE[:16] + b"CMYK" + PROFILE[20:], "it is for CMYK, and the result is RGB"),
    "for gray": (PROFILE[:16] + b"GRAY" + PROFILE[20:], "it is for gray, and the result is RGB"),
}  # fmt: skip


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("case", FAULTS)
def test_a_faulty_profile_is_left_out_and_reported(case, source, tmp_path):
    profile, reason = FAULTS[case]
    content = with_chunks(encoded(), [(b"iCCP", b"a\0\0" + zlib.compress(profile))])
    if source != "png":
        content = encoded(source, icc_profile=profile)
    for kind in KINDS:
        target, lines = upscaled(content, tmp_path, kind, f"a.{source}")
        assert lines == [f"its colour profile was left out: {reason}"]
        assert "icc_profile" not in Image.open(target).info


def test_a_profile_that_cannot_be_unpacked(tmp_path):
    bomb = zlib.compress(bytes(2**25))
    for packed in (b"not deflated", zlib.compress(PROFILE)[:-30], bomb):
        target, lines = upscaled(with_chunks(encoded(), [(b"iCCP", b"a\0\0" + packed)]), tmp_path)
        assert lines == ["its colour profile was left out: it is damaged"]
        assert "icc_profile" not in Image.open(target).info


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["avif", "heic"])
def test_colours_of_avif_and_heic(source, kind, tmp_path):
    stream = io.BytesIO()
    if source == "avif":
        Image.fromarray(PASTEL).save(stream, "AVIF", quality=95)
        box = b"nclx" + struct.pack(">HHH", 1, 13, 6)
    else:
        pillow_heif.from_pillow(Image.fromarray(PASTEL)).save(
            stream, quality=95, save_nclx_profile=True, color_primaries=1, transfer_characteristics=13
        )
        box = b"nclx" + struct.pack(">HH", 1, 13)
    content = stream.getvalue()
    assert box in content
    for primaries, transfer, line in ((12, 13, False), (9, 16, True), (1, 13, False)):
        changed = content.replace(box, b"nclx" + struct.pack(">HH", primaries, transfer) + box[8:])
        target, lines = upscaled(changed, tmp_path, kind, f"a.{source}")
        assert lines == ([HDR.format(kind)] if line and kind != "png" else [])
        if kind == "png":
            codes = [data for name, data, _ in png_chunks(target.read_bytes()) if name == b"cICP"]
            assert codes == [bytes([primaries, transfer, 0, 1])]
        elif primaries == 12:
            expected = srgb_curve((linear(PASTEL / 255, None) @ P3.T @ np.linalg.inv(SRGB).T).clip(0, 1)) * 255
            assert np.abs(shown(target) - expected.repeat(2, axis=0).repeat(2, axis=1)).mean() < 6
        else:
            assert "icc_profile" not in Image.open(target).info


# Orientation, sizes and resolutions.


@pytest.mark.parametrize("form", ["attribute", "element", "another prefix"])
@pytest.mark.parametrize("source", KINDS)
def test_orientation_in_xmp_alone(source, form, tmp_path):
    packet = {
        "attribute": xmp('tiff:Orientation="6"'),
        "element": xmp(inside="<tiff:Orientation>6</tiff:Orientation>"),
        "another prefix": xmp('t:Orientation="6"', 'xmlns:t="http://ns.adobe.com/tiff/1.0/"'),
    }[form]
    content = carrier(source, packet)
    for kind in KINDS:
        target, lines = upscaled(content, tmp_path, kind, f"a.{source}")
        assert lines == []
        with Image.open(target) as image:
            turned = np.rot90(PHOTO, -1).repeat(2, axis=0).repeat(2, axis=1)
            assert np.abs(np.asarray(image).astype(float) - turned).mean() < 12
        found = packet_of(target)
        assert found == packet.strip().replace(b'Orientation="6"', b'Orientation="1"').replace(b">6<", b">1<")


@pytest.mark.parametrize("orientation", range(10))
def test_exif_comes_before_xmp(orientation, tmp_path):
    """Compares with Pillow's orientations; a meaningless number turns nothing."""
    content = carrier("png", xmp('tiff:Orientation="3"'), exif_of(_274=orientation))
    target, _ = upscaled(content, tmp_path)
    turns = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270",
             7: "TRANSVERSE", 8: "ROTATE_90"}  # fmt: skip
    expected = Image.fromarray(PHOTO)
    if orientation in turns:
        expected = expected.transpose(Image.Transpose[turns[orientation]])
    with Image.open(target) as image:
        np.testing.assert_array_equal(image, np.asarray(expected).repeat(2, axis=0).repeat(2, axis=1))
        assert image.getexif()[274] == 1


@pytest.mark.parametrize("name", [b"eXIf", b"zTXt"])
def test_exif_after_a_png_s_pixels_counts(name, tmp_path):
    """ImageMagick once wrote the orientation as a text."""
    exif = exif_of(_274=6).tobytes()[6:]
    if name == b"zTXt":
        full = b"Exif\0\0" + exif
        exif = b"Raw profile type exif\0\0" + zlib.compress(f"\nexif\n{len(full):8d}\n{full.hex()}\n".encode())
    for kind in KINDS:
        target, lines = upscaled(with_chunks(encoded(), behind=[(name, exif)]), tmp_path, kind)
        assert lines == []
        with Image.open(target) as image:
            image.load()
            assert image.size == (96, 128)
            assert image.getexif()[0x010F] == "a camera"
            assert image.getexif().get(274, 1) == 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_resolutions_turn_with_the_picture(source, kind, orientation, tmp_path):
    exif = exif_of(_274=orientation, _282=300.0, _283=150.0, _296=2)
    options = {"dpi": (300, 150)} if source in ("png", "jpg") else {}
    target, lines = upscaled(carrier(source, exif=exif, **options), tmp_path, kind, f"a.{source}")
    assert lines == []
    expected = (150, 300) if orientation >= 5 else (300, 150)
    assert resolution_of(target) == expected
    if kind == "jpg":
        assert struct.unpack(">BHH", jpeg_segments(target.read_bytes())[0][1][7:12]) == (1, *expected)


def test_a_png_s_own_resolution_comes_first(tmp_path):
    exif = exif_of(_282=72.0, _283=72.0, _296=2)
    for kind in KINDS:
        target, _ = upscaled(encoded(dpi=(300, 300), exif=exif), tmp_path, kind)
        assert resolution_of(target) == (300, 300)


def test_resolutions_in_centimetres(tmp_path):
    exif = exif_of(_274=6, _282=100.0, _283=50.0, _296=3)
    target, _ = upscaled(encoded("webp", exif=exif), tmp_path, name="a.webp")
    found = Image.open(target).getexif()
    assert (found[282], found[283], found[296]) == (50, 100, 3)


def test_the_shape_of_pixels(tmp_path):
    shape = [(b"pHYs", struct.pack(">IIB", 2, 1, 0)), (b"eXIf", exif_of(_274=6).tobytes()[6:])]
    content = with_chunks(encoded(), shape)
    target, lines = upscaled(content, tmp_path)
    assert lines == []
    assert (b"pHYs", struct.pack(">IIB", 1, 2, 0), False) in png_chunks(target.read_bytes())
    target, lines = upscaled(content, tmp_path, "jpg")
    assert lines == []
    assert jpeg_segments(target.read_bytes())[0][1][7:12] == struct.pack(">BHH", 0, 1, 2)
    for kind in ("webp", "tif"):
        assert upscaled(content, tmp_path, kind)[1] == [
            f"the shape of its pixels was left out: {kind} has no place for it"
        ]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_sizes_in_exif_and_xmp_are_the_result_s(kind, orientation, order, tmp_path):
    photo = {0xA002: 64, 0xA003: 48, 0x9214: (10, 20, 6, 4), 0xA210: 2}
    photo |= {0xA20E: IFDRational(1000), 0xA20F: IFDRational(500)}
    exif = exif_of(photo, {1: "N", 2: (1.0, 2.0, 3.0)}, _274=orientation, _256=64, _257=48)
    exif.endian = order
    packet = xmp(
        'exif:PixelXDimension="64" tiff:ImageLength="48" p:FullPanoWidthPixels="640" p:CroppedAreaTopPixels="5"',
        'xmlns:p="http://ns.google.com/photos/1.0/panorama/"',
        "<exif:PixelYDimension>48</exif:PixelYDimension><tiff:ImageWidth>64</tiff:ImageWidth>",
    )
    target, lines = upscaled(carrier("jpg", packet, exif), tmp_path, kind, "a.jpg")
    assert lines == []
    width, height = (128, 96) if orientation == 1 else (96, 128)
    with Image.open(target) as image:
        assert image.size == (width, height)
        found = image.getexif()
        inner = found.get_ifd(0x8769)
        assert (inner[0xA002], inner[0xA003]) == (width, height)
        # Turned right, what was at (10, 20) of 64x48 is at (28, 10).
        assert inner[0x9214] == ((20, 40, 12, 8) if orientation == 1 else (56, 20, 8, 12))
        assert (inner[0xA20E], inner[0xA20F]) == ((2000, 1000) if orientation == 1 else (1000, 2000))
        assert found.get_ifd(0x8825)[2] == (1.0, 2.0, 3.0)
        assert kind == "tif" or (found[256], found[257]) == (width, height)
    found = packet_of(target).decode()
    assert f'exif:PixelXDimension="{width}"' in found
    assert f'tiff:ImageLength="{height}"' in found
    assert f"<exif:PixelYDimension>{height}<" in found
    assert f"<tiff:ImageWidth>{width}<" in found
    assert ('p:FullPanoWidthPixels="1280"' in found) == ('p:CroppedAreaTopPixels="10"' in found) == (orientation == 1)
    assert 'dc:format="a &amp; b"' in found


def test_thumbnails_are_removed(tmp_path):
    """Thumbnails in EXIF, in XMP and in JFIF show the small picture."""
    exif = exif_of()
    thumbnail = encoded("jpg", PHOTO[::2, ::2])
    ifd1 = exif.get_ifd(ExifTags.IFD.IFD1)
    data = bytearray(exif.tobytes()[6:])
    del ifd1
    at = len(data)
    end = 8 + 2 + 12 * struct.unpack_from(">H" if data[:2] == b"MM" else "<H", data, 8)[0]
    mark = ">" if data[:2] == b"MM" else "<"
    struct.pack_into(f"{mark}I", data, end, at)
    data += struct.pack(f"{mark}H", 2) + struct.pack(f"{mark}HHII", 0x201, 4, 1, at + 30)
    data += struct.pack(f"{mark}HHIII", 0x202, 4, 1, len(thumbnail), 0)
    assert len(data) == at + 30
    data += thumbnail
    packet = xmp(
        "",
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/"',
        "<xmp:Thumbnails><rdf:Alt><rdf:li>AAAA</rdf:li></rdf:Alt></xmp:Thumbnails>",
    )
    content = carrier("jpg", packet, b"Exif\0\0" + bytes(data))
    assert Image.open(io.BytesIO(content)).getexif().get_ifd(ExifTags.IFD.IFD1)
    for kind in KINDS:
        target, lines = upscaled(content, tmp_path, kind, "a.jpg")
        assert lines == []
        found = Image.open(target).getexif()
        assert found[0x010F] == "a camera"
        assert not found.get_ifd(ExifTags.IFD.IFD1)
        assert thumbnail[:200] not in target.read_bytes()
        assert b"Thumbnails" not in packet_of(target)


# Metadata that is removed with a line.

HDRGM = 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
CAMERA = 'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'
CONTAINER = (
    'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"'
)
DIRECTORY = (
    "<Container:Directory><rdf:Seq><rdf:li rdf:parseType='Resource'><Container:Item Item:Mime='image/jpeg' "
    "Item:Semantic='Primary'/></rdf:li><rdf:li rdf:parseType='Resource'><Container:Item Item:Mime='image/jpeg' "
    "Item:Semantic='{}' Item:Length='1234'/></rdf:li></rdf:Seq></Container:Directory>"
)
DEPTH = "its depth map was left out: of the original's pixels only"


def further_pictures(content, attribute, second):
    """A JPEG with CIPA's list of two pictures, and the second picture after the first."""
    head = b"MPF\0II*\0\x08\0\0\0" + struct.pack("<H", 3)
    head += struct.pack("<HHI4s", 0xB000, 7, 4, b"0100") + struct.pack("<HHII", 0xB001, 4, 1, 2)
    head += struct.pack("<HHIII", 0xB002, 7, 32, 50, 0)
    size = len(content) + 4 + len(head) + 32
    start = size - 10  # from the byte order on, the eleventh byte, after SOI, marker, length and name
    table = struct.pack("<IIIHH", 0x20030000, size, 0, 0, 0) + struct.pack(
        "<IIIHH", attribute, len(second), start, 0, 0
    )
    whole = with_segments(content, (0xE2, head + table))
    assert len(whole) == size
    return whole + second


def with_gain_map(path):
    base = pyvips.Image.new_from_array(PHOTO).copy(interpretation="srgb").colourspace("scrgb")
    base.uhdrsave(path)


GONE = {
    "gain map in XMP": (carrier("jpg", xmp('hdrgm:Version="1.0" hdrgm:GainMapMax="2"', HDRGM)), GAIN_MAP),
    "gain map in the directory": (carrier("jpg", xmp("", CONTAINER, DIRECTORY.format("GainMap"))), GAIN_MAP),
    "gain map by ISO's name": (
        with_segments(encoded("jpg"), (0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")), GAIN_MAP
    ),
    "gain map in the second picture": (
        further_pictures(encoded("jpg"), 0, carrier("jpg", xmp('hdrgm:Version="1.0"', HDRGM))), GAIN_MAP
    ),
    "gain map of Apple": (
        further_pictures(encoded("jpg"), 0,
            carrier("jpg", xmp('a:HDRGainMapVersion="65536"', 'xmlns:a="http://ns.apple.com/HDRGainMap/1.0/"'))),
        GAIN_MAP,
    ),
    "preview": (further_pictures(encoded("jpg"), 0x010001, encoded("jpg")), None),
    "second view": (
        further_pictures(encoded("jpg"), 0x020003, encoded("jpg")),
        "its further pictures were left out: a result holds one",
    ),
    "motion photo": (
        carrier("jpg", xmp('GCamera:MotionPhoto="1" GCamera:MotionPhotoPresentationTimestampUs="5"', CAMERA)), VIDEO
    ),
    "micro video": (carrier("jpg", xmp('GCamera:MicroVideo="1" GCamera:MicroVideoOffset="88"', CAMERA)), VIDEO),
    "no motion photo": (carrier("jpg", xmp('GCamera:MotionPhoto="0"', CAMERA)), None),
    "motion photo in elements": (carrier("jpg", xmp("", f"{CAMERA} {CONTAINER}",
        "<GCamera:MotionPhoto>1</GCamera:MotionPhoto>" + DIRECTORY.format("MotionPhoto"))), VIDEO),
    "depth map": (carrier("jpg", xmp('GDepth:Format="RangeInverse" GDepth:Data="AAAA"',
        'xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/"')), DEPTH),
    "depth map of today": (carrier("jpg", xmp("", 'xmlns:Device="http://ns.google.com/photos/dd/1.0/device/"',
        '<Device:Container><Device:Depth Device:Near="1"/></Device:Container>')), DEPTH),
    "content credentials": (with_segments(encoded("jpg"), (0xEB, b"JP\0\1\0\0\0\1\0\0\0\x20jumb" + bytes(40))),
        "its content credentials (APP11) were left out: they vouch for the original"),
    "unknown segment": (with_segments(encoded("jpg"), (0xE5, b"Vendor\0data")),
        "its JPEG segment APP5 (Vendor) was left out: its meaning is unknown"),
    "Adobe's own": (with_segments(encoded("jpg"), (0xEC, b"Ducky\0\1"), (0xE0, b"JFXX\0\x13")), None),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", GONE)
def test_metadata_that_no_result_contains_is_named(case, kind, tmp_path):
    content, line = GONE[case]
    target, lines = upscaled(content, tmp_path, kind, "a.jpg")
    assert lines == ([] if line is None else [line])
    data = target.read_bytes()
    marks = (*MARKS, b"Container", b"GDepth", b"Device:", b"HDRGainMap", b"jumb", b"Vendor", b"Ducky")
    assert not [mark for mark in marks if mark in data]
    if (packet := packet_of(target)) is not None:
        assert b'dc:format="a &amp; b"' in packet
    Image.open(target).load()


def test_gain_map_of_libvips(tmp_path):
    """A whole Ultra HDR file that libvips wrote."""
    path = tmp_path / "hdr.jpg"
    with_gain_map(str(path))
    assert b"hdrgm" in path.read_bytes() or b"21496" in path.read_bytes()
    for kind in KINDS:
        target, lines = upscaled(path.read_bytes(), tmp_path, kind, "a.jpg")
        assert lines == [GAIN_MAP]
        assert not [mark for mark in MARKS if mark in target.read_bytes()]


@pytest.mark.parametrize("source", ["avif", "heic"])
def test_further_pictures_of_avif_and_heic(source, tmp_path):
    """Moves the list of the pictures to a place that no program reads."""
    stream = io.BytesIO()
    if source == "avif":
        Image.fromarray(PHOTO).save(stream, "AVIF")
    else:
        pillow_heif.from_pillow(Image.fromarray(PHOTO)).save(stream)
    assert b"pict" + bytes(12) in stream.getvalue()
    for mark, line in ((b"tmap", GAIN_MAP), (bytes(4), None)):
        content = stream.getvalue().replace(b"pict" + bytes(12), b"pict" + mark + bytes(8))
        assert upscaled(content, tmp_path, "png", f"a.{source}")[1] == ([] if line is None else [line])


def test_seconds_are_named(tmp_path):
    content = carrier("jpg", xmp(), exif_of())
    second = [(0xE1, data) for marker, data in jpeg_segments(content) if marker == 0xE1]
    _, lines = upscaled(with_segments(content, *second), tmp_path, name="a.jpg")
    assert set(lines) == {
        "its second EXIF was left out: a JPEG has one",
        "its second XMP was left out: a JPEG has one",
    }


def test_regions_of_faces(tmp_path):
    regions = (
        "<mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:AppliedToDimensions stDim:w='64' stDim:h='48' "
        "stDim:unit='pixel'/><mwg-rs:RegionList/></mwg-rs:Regions>"
    )
    spaces = (
        'xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" '
        'xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"'
    )
    target, lines = upscaled(carrier("jpg", xmp("", spaces, regions)), tmp_path, name="a.jpg")
    assert lines == []
    assert b'stDim:w="128" stDim:h="96"' in packet_of(target)
    turned = carrier("jpg", xmp('tiff:Orientation="6"', spaces, regions))
    target, lines = upscaled(turned, tmp_path, name="a.jpg")
    assert lines == ["its regions of faces were left out: the picture was turned"]
    assert b"Regions" not in packet_of(target).replace(b"/regions/", b"")


# Long metadata.


def long_packet(size):
    return xmp(inside=f"<dc:title>{'word ' * (size // 5)}</dc:title>")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["png", "webp", "tif"])
def test_xmp_beyond_64_kilobytes(source, kind, tmp_path):
    packet = long_packet(150_000)
    target, lines = upscaled(carrier(source, packet), tmp_path, kind, f"a.{source}")
    assert lines == []
    found = packet_of(target)
    assert found[found.index(b"<x:") : found.rindex(b"meta>")] == packet[packet.index(b"<x:") : packet.rindex(b"meta>")]
    if kind == "jpg":
        first = next(
            data for marker, data in jpeg_segments(target.read_bytes()) if data.startswith(b"http://ns.adobe.com/xap")
        )
        name = hashlib.md5(found, usedforsecurity=False).hexdigest().upper().encode()
        assert name in first
        # Repeats this in the other direction.
        again, lines = upscaled(target.read_bytes(), tmp_path, "png", "b.jpg")
        assert lines == []
        assert b"word " * 30_000 in packet_of(again)
        assert b"HasExtendedXMP" not in packet_of(again)


def test_a_jpeg_s_second_part_of_xmp_is_merged(tmp_path):
    second = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        b'xmlns:n="urn:n"><r:Description r:about="" n:long="' + b"word " * 20_000 + b'"/></r:RDF></x:xmpmeta>'
    )
    name = hashlib.md5(second).hexdigest().upper().encode()
    first = xmp(f'note:HasExtendedXMP="{name.decode()}"', 'xmlns:note="http://ns.adobe.com/xmp/note/"')
    parts = [
        (
            0xE1,
            b"http://ns.adobe.com/xmp/extension/\0"
            + name
            + struct.pack(">II", len(second), at)
            + second[at : at + 60_000],
        )
        for at in range(0, len(second), 60_000)
    ]
    for order, whole in ((parts, True), (parts[::-1], True), (parts[:1], False)):
        content = with_segments(carrier("jpg", first), *order)
        target, lines = upscaled(content, tmp_path, "webp", "a.jpg")
        assert lines == ([] if whole else ["the second part of its XMP was left out: it is damaged"])
        rdf = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
        described = list(ElementTree.fromstring(packet_of(target)).iter(f"{rdf}Description"))
        assert len(described) == 1 + whole
        assert not whole or described[1].get("{urn:n}long") == "word " * 20_000


@pytest.mark.parametrize("kind", KINDS)
def test_exif_beyond_64_kilobytes(kind, tmp_path):
    exif = exif_of(_270="x" * 70_000, _282=300.0, _283=300.0, _296=2)
    target, lines = upscaled(encoded(exif=exif), tmp_path, kind)
    assert lines == (["its EXIF of 70 kB was left out: jpg holds 64 kB"] if kind == "jpg" else [])
    assert resolution_of(target) == (300, 300)
    with Image.open(target) as image:
        assert image.getexif().get(270) == (None if kind == "jpg" else "x" * 70_000)


def test_maker_notes_stay_at_their_place(tmp_path):
    """Maker notes contain separate offsets, counted from EXIF's first byte."""
    note = np.random.default_rng(0).bytes(500)
    content = encoded("jpg", exif=exif_of({0x927C: note, 0xA002: 64}, _274=6))
    before = next(data for marker, data in jpeg_segments(content) if data[:4] == b"Exif")
    for kind in ("png", "jpg", "webp"):
        target, lines = upscaled(content, tmp_path, kind, "a.jpg")
        assert lines == []
        after = b"Exif\0\0" + {
            "png": lambda data: next(content for name, content, _ in png_chunks(data) if name == b"eXIf"),
            "webp": lambda data: webp_chunks(data)[b"EXIF"],
            "jpg": lambda data: next(each for _, each in jpeg_segments(data) if each[:4] == b"Exif")[6:],
        }[kind](target.read_bytes())
        assert after.index(note) == before.index(note)
    target, lines = upscaled(content, tmp_path, "tif", "a.jpg")
    assert lines == ["its maker's notes in EXIF were left out: they cannot be moved into another format"]


# PNG's chunks and texts, comments, IPTC.

TEXTS = [
    (b"tEXt", b"parameters\0a tree\nSteps: 20"),
    (b"tEXt", b"parameters\0the same keyword again"),
    (b"zTXt", b"workflow\0\0" + zlib.compress(b"{}" * 3000)),
    (b"iTXt", "Title\0\0\0de\0Titel\0Baum – 木".encode()),
    (b"iTXt", b"prompt\0\1\0en\0\0" + zlib.compress(b"ein Bild")),
    (b"tEXt", b"k" * 79 + b"\0long keyword"),
    (b"tEXt", b"empty\0"),
    (b"zTXt", b"long\0\0" + zlib.compress(b"long text " * 200_000)),
]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_of_a_png(kind, tmp_path):
    content = with_chunks(encoded(), TEXTS[:5], TEXTS[5:])
    target, lines = upscaled(content, tmp_path, kind)
    if kind == "png":
        assert lines == []
        kept = [each for each in png_chunks(target.read_bytes()) if each[0] in (b"tEXt", b"zTXt", b"iTXt")]
        assert kept == [each for each in png_chunks(content) if each[0] in (b"tEXt", b"zTXt", b"iTXt")]
    else:
        names = f"parameters, workflow, Title, prompt, {'k' * 79}, empty, long"
        assert lines == [f"its PNG texts {names} were left out: {kind} has no place for them"]


def test_damaged_texts_are_removed_with_a_line(tmp_path):
    bomb = zlib.compress(bytes(2**25))
    bad = [
        (b"zTXt", b"bomb\0\0" + bomb), (b"iTXt", b"bomb too\0\1\0\0\0" + bomb),
        (b"zTXt", b"cut\0\0" + zlib.compress(b"abc")[:-3]),
        (b"iTXt", b"letters\0\0\0\0\0\xff\xfe"), (b"tEXt", b"nothing after it"), (b"tEXt", b"k" * 80 + b"\0v"),
        (b"zTXt", b"method\0\7" + zlib.compress(b"abc")),
    ]  # fmt: skip
    content = with_chunks(encoded(), [*bad, (b"tEXt", b"good\0text")])
    target, lines = upscaled(content, tmp_path)
    (line,) = lines
    assert line.startswith("its PNG texts bomb, bomb too, cut, letters, tEXt, kkkkk")
    assert line.endswith(", method were left out: it is damaged or too long")
    assert [name for name, _, _ in png_chunks(target.read_bytes())] == [b"pHYs", b"tEXt"]


@pytest.mark.parametrize("kind", KINDS)
def test_comments_of_a_jpeg_and_a_gif(kind, tmp_path):
    gif = io.BytesIO()
    Image.fromarray(PHOTO).quantize(16).save(gif, "GIF", comment=b"a word")
    for name, content in (("a.jpg", encoded("jpg", comment=b"a word")), ("a.gif", gif.getvalue())):
        target, lines = upscaled(content, tmp_path, kind, name)
        info = Image.open(target).info
        if kind == "jpg":
            assert info["comment"] == b"a word"
        elif kind == "png":
            assert info["Comment"] == "a word"
        assert lines == ([] if kind in ("jpg", "png") else [f"its comment was left out: {kind} has no place for it"])
    several = with_segments(encoded("jpg"), (0xFE, b"one"), (0xFE, "zwei – 木".encode()), (0xFE, b"\xe9"))
    target, lines = upscaled(several, tmp_path, kind, "a.jpg")
    if kind == "jpg":
        found = [data for marker, data in jpeg_segments(target.read_bytes()) if marker == 0xFE]
        assert found == [b"one", "zwei – 木".encode(), b"\xe9"]
    elif kind == "png":
        texts = [data for name, data, _ in png_chunks(target.read_bytes()) if name in (b"tEXt", b"iTXt")]
        assert sorted(texts) == sorted(
            [b"Comment\0one", b"Comment\0\0\0\0\0" + "zwei – 木".encode(), b"Comment\0\0\0\0\0" + "é".encode()]
        )


IPTC = b"\x1c\x02\x50\0\x08a writer\x1c\x02\x78\0\x06a word"


def iptc_source(kind):
    if kind == "tif":
        return encoded("tif", tiffinfo={33723: IPTC})
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
    if kind == "png":
        text = f"\niptc\n{len(resource):8d}\n{resource.hex()}\n".encode()
        return with_chunks(encoded(), [(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text))])
    thumbnail = b"8BIM\x04\x0c\0\0" + struct.pack(">I", 4) + b"tiny"
    return with_segments(encoded("jpg"), (0xED, b"Photoshop 3.0\0" + thumbnail + resource))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["jpg", "tif", "png"])
def test_iptc(source, kind, tmp_path):
    target, lines = upscaled(iptc_source(source), tmp_path, kind, f"a.{source}")
    assert lines == (["its IPTC was left out: webp has no place for it"] if kind == "webp" else [])
    with Image.open(target) as image:
        if kind in ("jpg", "tif"):
            assert IptcImagePlugin.getiptcinfo(image) == {(2, 80): b"a writer", (2, 120): b"a word"}
        elif kind == "png":
            assert IPTC.hex() in image.info["Raw profile type iptc"].replace("\n", "")


def test_settings_of_photoshop_are_named(tmp_path):
    """Printing settings cause no line."""
    guides, printing = (
        b"8BIM" + number + b"\0\0" + struct.pack(">I", 4) + b"grid" for number in (b"\x04\x08", b"\x27\x10")
    )
    content = with_segments(encoded("jpg"), (0xED, b"Photoshop 3.0\0" + printing))
    assert upscaled(content, tmp_path, name="a.jpg")[1] == []
    content = with_segments(encoded("jpg"), (0xED, b"Photoshop 3.0\0" + printing + guides))
    assert upscaled(content, tmp_path, name="a.jpg")[1] == [
        "its Photoshop settings were left out: they are for the original"
    ]


ADJUSTED = {
    # name: (in the original, in the result)
    b"sBIT": (b"\5\6\5", b"\x08\x08\x08"),
    b"bKGD": (struct.pack(">3H", 10, 20, 30), struct.pack(">3H", 10, 20, 30)),
    b"oFFs": (struct.pack(">iiB", 10, -20, 0), struct.pack(">iiB", 20, -40, 0)),
    b"sCAL": (b"\1" + b"0.5\0001e-1", b"\1" + b"0.25\x000.05"),
    b"tIME": (b"\x07\xe8\1\2\3\4\5", b"\x07\xe8\1\2\3\4\5"),
    b"pCAL": (b"c" + bytes(10), b"c" + bytes(10)),
    b"abCd": (b"x", b"x"),  # "safe to copy"
    b"abCD": (b"x", None),
    b"sTER": (b"\0", None),
    b"hIST": (b"\0\1", None),
    b"caBX": (b"credentials", None),
}


@pytest.mark.parametrize("name", ADJUSTED, ids=bytes.decode)
def test_a_chunk_of_a_png(name, tmp_path):
    before, after = ADJUSTED[name]
    target, lines = upscaled(with_chunks(encoded(), [(name, before)]), tmp_path)
    found = [data for chunk_name, data, _ in png_chunks(target.read_bytes()) if chunk_name == name]
    assert found == ([] if after is None else [after])
    if after is not None:
        assert lines == []
    elif name == b"caBX":
        assert lines == ["its content credentials (caBX) were left out: they vouch for the original"]
    else:
        assert lines == [f"its chunk {name.decode()} was left out: of the original's pixels only"]


LENGTHS = {
    b"gAMA": 4,
    b"cHRM": 32,
    b"sRGB": 1,
    b"pHYs": 9,
    b"eXIf": 40,
    b"mDCV": 24,
    b"cLLI": 8,
    b"sPLT": 12,
    b"iCCP": 20,
}


def random_chunks(rng, number):
    """Known and private chunks with sound and unsound contents."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    chunks = []
    for _ in range(number):
        kind = rng.choice(["text", "private", "known", "known"])
        if kind == "text":
            name, data = rng.choice(TEXTS[:7])
            data = data.replace(b"\0", str(rng.randrange(100)).encode() + b"\0", 1) if len(data) < 60 else data
        elif kind == "private":
            name = "".join(rng.choice(letters) for _ in range(2)) + rng.choice(letters).upper()
            name = (name + rng.choice([str.lower, str.upper])(rng.choice(letters))).encode()
            data = rng.randbytes(rng.randrange(50))
        else:
            name = rng.choice(sorted(ADJUSTED))
            data = ADJUSTED[name][0]
            if rng.random() < 0.3:
                name = rng.choice(sorted(LENGTHS))
                data = rng.randbytes(LENGTHS[name])
        chunks.append((name, data))
    return chunks


CHANGED = (b"sBIT", b"bKGD", b"oFFs", b"sCAL", b"pHYs", b"cICP")


@pytest.mark.parametrize("seed", range(20))
def test_every_chunk_is_kept_adjusted_or_named(seed, tmp_path):
    """Ten files each, with chunks before and after the pixels."""
    rng = random.Random(seed)
    for _ in range(10):
        content = with_chunks(
            encoded(pixels=PHOTO[:4, :4]), random_chunks(rng, rng.randrange(12)), random_chunks(rng, 4)
        )
        target, lines = upscaled(content, tmp_path)
        result = png_chunks(target.read_bytes())
        assert len(set(lines)) == len(lines)
        kept = {(name, data) for name, data, _ in result}
        for name, data, _ in png_chunks(content):
            keyword = data.partition(b"\0")[0].decode("latin-1")
            words = [name.decode(), {b"eXIf": "EXIF", b"iCCP": "colour profile"}.get(name, name.decode())]
            words += [keyword] if name in (b"tEXt", b"zTXt", b"iTXt") else []
            named = any(word in line for word in words for line in lines)
            adjusted = name in CHANGED and name in {each for each, _, _ in result}
            assert (name, data) in kept or adjusted or named, (name, data, lines)
        Image.open(target).load()


def test_a_background_in_every_kind_of_png(tmp_path):
    gray, palette = encoded(pixels=PHOTO[..., 0]), io.BytesIO()
    target, lines = upscaled(with_chunks(gray, [(b"bKGD", struct.pack(">H", 7))]), tmp_path)
    assert lines == []
    assert (b"bKGD", struct.pack(">H", 7), False) in png_chunks(target.read_bytes())
    image = Image.fromarray(PHOTO).quantize(16)
    image.save(palette, "PNG")
    data = palette.getvalue()
    place = data.index(b"IDAT") - 4
    data = data[:place] + chunk(b"bKGD", b"\3") + data[place:]
    target, lines = upscaled(data, tmp_path)
    assert lines == []
    colour = image.getpalette()[9:12]
    assert (b"bKGD", struct.pack(">3H", *colour), False) in png_chunks(target.read_bytes())


# TIFF.

GEO = [
    (33550, 12, 3, (10.0, 20.0, 0.0), True),
    (33922, 12, 12, (0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0, 64.0, 48.0, 0.0, 1640.0, 1040.0, 0.0), True),
    (34735, 3, 8, (1, 1, 0, 1, 1025, 0, 1, 1), True),
    (42113, 2, 4, "-99", True),
]
POINTS = [(34735, 3, 8, (1, 1, 0, 1, 1025, 0, 1, 2), True), *GEO[:2]]
MATRIX = (10.0, 1.0, 0.0, 1000.0, 2.0, -20.0, 0.0, 2000.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def geo_tiff(tags, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, PHOTO, photometric="rgb", metadata=None, extratags=tags, **options)
    return stream.getvalue()


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}], ids=str)
@pytest.mark.parametrize("outscale", [None, 3, 0.5])
def test_a_geotiff_s_pixels_stay_on_their_ground(outscale, options, tmp_path):
    """The position of each corner of the picture, by the formulas of the GeoTIFF standard."""
    factor = outscale or 2
    target, lines = upscaled(geo_tiff(GEO, **options), tmp_path, "tif", "a.tif", outscale)
    assert lines == []
    tags = tiff_tags(target)
    assert tags[33550] == pytest.approx((10 / factor, 20 / factor, 0))
    assert tags[33922] == pytest.approx((0, 0, 0, 1000, 2000, 0, 64 * factor, 48 * factor, 0, 1640, 1040, 0))
    assert (tags[34735], tags[42113]) == ((1, 1, 0, 1, 1025, 0, 1, 1), "-99")
    # The first centre moves if a pair contains centres.
    tags = tiff_tags(upscaled(geo_tiff(POINTS, **options), tmp_path, "tif", "a.tif", outscale)[0])
    first = (0.5 * factor - 0.5, 0.5 * factor - 0.5, 0)
    assert tags[33922][:6] == pytest.approx((*first, 1000, 2000, 0))
    for keys in (GEO[2], POINTS[0]):
        content = geo_tiff([(34264, 12, 16, MATRIX, True), keys], **options)
        tags = tiff_tags(upscaled(content, tmp_path, "tif", "a.tif", outscale)[0])
        half = 0.5 if keys is POINTS[0] else 0
        old, new = np.reshape(MATRIX, (4, 4)), np.reshape(tags[34264], (4, 4))
        for x, y in ((0, 0), (64, 0), (30, 48)):  # corners, counted in pixels from the upper left corner
            before = old @ (x - half, y - half, 0, 1)
            np.testing.assert_allclose(new @ (x * factor - half, y * factor - half, 0, 1), before)


def test_a_geo_reference_is_named_where_it_is_lost(tmp_path):
    for kind in ("png", "jpg", "webp"):
        assert upscaled(geo_tiff(GEO), tmp_path, kind, "a.tif")[1] == [
            f"its geo-reference was left out: {kind} has no place for it"
        ]
    target, lines = upscaled(geo_tiff([*GEO, (274, 3, 1, 6, True)]), tmp_path, "tif", "a.tif")
    assert lines == ["its geo-reference was left out: the picture was turned"]
    assert not {33550, 33922, 34735} & set(tiff_tags(target))
    target, lines = upscaled(geo_tiff([(33550, 12, 2, (1.0, 2.0), True)]), tmp_path, "tif", "a.tif")
    assert lines == ["its geo-reference was left out: it is damaged"]


def test_gdal_s_metadata(tmp_path):
    note = '\n  <Item name="NOTE">a</Item>\n</GDALMetadata>'
    text = f'<GDALMetadata>\n  <Item name="STATISTICS_MEAN" sample="0">9</Item>{note}'
    target, lines = upscaled(geo_tiff([(42112, 2, 0, text, True)]), tmp_path, "tif", "a.tif")
    assert lines == ["its GDAL statistics were left out: of the original's pixels only"]
    assert tiff_tags(target)[42112] == f"<GDALMetadata>{note}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_exif_in_every_format(source, kind, tmp_path):
    exif = exif_of({0x9003: "2024:05:06 07:08:09", 0x829A: 0.01}, {1: "N", 2: (48.0, 8.0, 0.5)}, _315="a writer")
    options = {"exif": exif}
    if source == "tif":  # Pillow writes EXIF directories differently into TIFF
        tags = {**exif, 0x8769: dict(exif.get_ifd(0x8769)), 0x8825: dict(exif.get_ifd(0x8825))}
        options = {"tiffinfo": ImageFileDirectory_v2()}
        for number, value in tags.items():
            options["tiffinfo"][number] = value
    target, lines = upscaled(encoded(source, **options), tmp_path, kind, f"a.{source}")
    assert lines == []
    with Image.open(target) as image:
        found = image.getexif()
        assert (found[0x010F], found[315]) == ("a camera", "a writer")
        assert found.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
        assert found.get_ifd(0x8769)[0x829A] == pytest.approx(0.01)
        assert found.get_ifd(0x8825)[2] == (48, 8, 0.5)
        np.testing.assert_array_equal(np.asarray(image).shape, (96, 128, 3))


def test_a_tiff_beyond_4_gigabytes(tmp_path):
    """The file is a BigTIFF with another directory at its end."""
    image = pyvips.Image.new_from_array(PHOTO).copy(interpretation="srgb")
    result = Result(".tif", 3, False, 8, (11.811, 5.9055), Upscaling(64, 48, 1, 1, 1))
    found = Inventory(exif=exif_of({0x9003: "2024:05:06 07:08:09"}).tobytes()[6:], icc=PROFILE)
    with open(tmp_path / "a.tif", "w+b") as file:
        write_result(image, file, {"bigtiff": True}, found, parts_for(found, None, result), result)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_bigtiff
        tags = {tag.name: tag.value for tag in file.pages[0].tags}
        np.testing.assert_array_equal(file.asarray(), PHOTO)
    assert (tags["Make"], tags["ExifTag"]["DateTimeOriginal"]) == ("a camera", "2024:05:06 07:08:09")
    assert (tags["XResolution"], tags["YResolution"], tags["InterColorProfile"]) == ((300, 1), (150, 1), PROFILE)


def test_descriptions_that_give_sizes(tmp_path):
    stream = io.BytesIO()
    tifffile.imwrite(stream, PHOTO, photometric="rgb")
    target, lines = upscaled(stream.getvalue(), tmp_path, "tif", "a.tif")
    assert lines == []
    assert tiff_tags(target)[270] == '{"shape": [96, 128, 3]}'
    assert tifffile.imread(target).shape == (96, 128, 3)
    for text in ("ImageJ=1.53\nimages=1\n", '<?xml version="1.0"?><OME xmlns="x"><Pixels SizeX="64"/></OME>'):
        content = geo_tiff([(270, 2, 0, text, True)])
        target, lines = upscaled(content, tmp_path, "tif", "a.tif")
        assert lines == ["its ImageJ or OME description was left out: of the original's pixels only"]
        assert 270 not in tiff_tags(target)


def test_other_tags_of_a_tiff(tmp_path):
    tags = [(65000, 2, 0, "a word", True), (50706, 1, 4, (1, 4, 0, 0), True), (37724, 7, 4, b"8BPS", True)]
    camera, layers = (
        "its camera raw tags were left out: of the original's pixels only",
        "its Photoshop layers were left out: of the original's pixels only",
    )
    target, lines = upscaled(geo_tiff(tags), tmp_path, "tif", "a.tif")
    assert set(lines) == {camera, layers}
    assert tiff_tags(target)[65000] == "a word"
    third = "its TIFF tag 65000 was left out: png has no place for it"
    assert set(upscaled(geo_tiff(tags), tmp_path, "png", "a.tif")[1]) == {camera, layers, third}


# Damage and attacks.

BILLION = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">&c;</x:xmpmeta>'
)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (BILLION, "it has a document type"),
        (b"<x:xmpmeta", "it is no XML"),
        (b"no XML at all", "it is no XML"),
        (b"<a>" * 5000 + b"</a>" * 5000, "it is nested too deeply"),
    ],
    ids=["entities", "cut short", "text", "deep"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_xmp_that_is_none(packet, reason, kind, tmp_path):
    target, lines = upscaled(carrier("webp", packet), tmp_path, kind, "a.webp")
    assert lines == [f"its XMP was left out: {reason}"]
    assert packet_of(target) is None


def test_xmp_in_utf_16(tmp_path):
    packet = xmp('tiff:Orientation="6"').decode().encode("utf-16")
    target, lines = upscaled(carrier("webp", packet), tmp_path, name="a.webp")
    assert lines == []
    assert Image.open(target).size == (96, 128)
    assert b'tiff:Orientation="1"' in packet_of(target)


@pytest.mark.parametrize("kind", KINDS)
def test_exif_that_is_none(kind, tmp_path):
    loop = bytearray(exif_of({0x9003: "x"}).tobytes()[6:])
    at = struct.unpack_from(">I" if loop[:2] == b"MM" else "<I", loop, 4)[0]
    mark = ">" if loop[:2] == b"MM" else "<"
    for entry in range(at + 2, at + 2 + 12 * struct.unpack_from(f"{mark}H", loop, at)[0], 12):
        if struct.unpack_from(f"{mark}H", loop, entry)[0] == 0x8769:
            struct.pack_into(f"{mark}I", loop, entry + 8, at)  # EXIF's directory is the first one again
    cases = {
        b"": "its EXIF was left out: it is damaged",
        b"nothing": "its EXIF was left out: it is damaged",
        b"II*\0\xff\xff\0\0": "its EXIF was left out: it is damaged",
        b"II*\0\x08\0\0\0\xff\xff": "its EXIF was left out: it is damaged",
        bytes(loop): None,
    }
    for exif, line in cases.items():
        content = with_chunks(encoded(), [(b"eXIf", exif)])
        target, lines = upscaled(content, tmp_path, kind)
        assert line is None or lines == [line]
        Image.open(target).load()


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif"])
def test_damaged_metadata_is_no_traceback(kind, tmp_path):
    """Replaces bytes of the metadata at random, also bytes of lengths; the picture is always present."""
    packet = xmp('tiff:Orientation="6" exif:PixelXDimension="64"')
    exif = exif_of({0xA002: 64, 0x927C: b"note", 0x9214: (1, 2)}, {1: "N"}, _274=6, _282=300.0)
    whole = carrier(kind, packet, exif, icc_profile=PROFILE)
    if kind == "png":
        whole = with_chunks(whole, TEXTS[:4], TEXTS[4:6])
    parts = [each for each in (exif.tobytes()[6:], packet, PROFILE) if each in whole]
    rng, done = np.random.default_rng(0), 0
    for number in range(60):
        data = bytearray(whole)
        part = parts[number % len(parts)] if parts else b""
        at = whole.index(part)
        for place in rng.integers(at, at + min(len(part), 80), 3):
            data[place] = rng.integers(256)
        if kind == "png":  # with correct checksums, so that the chunk is read
            data = b"".join(
                [data[:8], *(chunk(name, bytes(content)) for name, content in raw_chunks(bytes(data)))]
            )  # fmt: skip
        with contextlib.suppress(UserError):
            target, lines = upscaled(bytes(data), tmp_path, ("png", "jpg", "webp", "tif")[number % 4], f"a.{kind}")
            Image.open(target).load()
            assert len(set(lines)) == len(lines)
            done += 1
    assert done > 30


def raw_chunks(data):
    at = 8
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, data[at + 8 : at + 8 + length]
        at += 12 + length


def test_thousands_of_chunks(tmp_path):
    many = [(b"tEXt", b"k%d\0v" % number) for number in range(5000)]
    target, lines = upscaled(with_chunks(encoded(), many), tmp_path)
    assert lines == []
    assert len(png_chunks(target.read_bytes())) == 5001
    _, lines = upscaled(with_chunks(encoded(), many), tmp_path, "jpg")
    assert len(lines) == 1
    assert " and 4980 more were left out: " in lines[0]


def test_fifty_bombs_take_neither_memory_nor_time(tmp_path):
    """Gigabytes of text in a few hundred kilobytes of file."""
    bomb = zlib.compress(b"a" * 2**25)
    content = with_chunks(encoded(), [(b"zTXt", b"k%d\0\0" % number + bomb) for number in range(60)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    target, (line,) = upscaled(content, tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes
    assert line.endswith(" and 40 more were left out: it is damaged or too long")
    assert [name for name, _, _ in png_chunks(target.read_bytes())] == [b"pHYs"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_a_plain_file_causes_no_line(source, kind, tmp_path):
    for pixels in (PHOTO, PHOTO[..., 0]):
        target, lines = upscaled(encoded(source, pixels), tmp_path, kind, f"a.{source}")
        assert lines == []
        with Image.open(target) as image:
            assert not image.getexif() or kind == "tif"
            assert not {"icc_profile", "xmp", "comment", "Comment"} & set(image.info)
        if kind == "png":
            assert [name for name, _, _ in png_chunks(target.read_bytes())] == [b"pHYs"]


@pytest.mark.parametrize("kind", KINDS)
def test_transparency_and_metadata_together(kind, tmp_path):
    pixels = np.dstack([PHOTO, np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)])
    packet, exif = xmp(), exif_of()
    target, _ = upscaled(carrier("png", packet, exif), tmp_path, kind)
    content = with_chunks(encoded(pixels=pixels), [(b"eXIf", exif.tobytes()[6:])])
    target, lines = upscaled(content, tmp_path, kind)
    assert lines == (["transparency became white, as jpg has none"] if kind == "jpg" else [])
    with Image.open(target) as image:
        image.load()
        assert image.mode == ("RGB" if kind == "jpg" else "RGBA")
        assert image.getexif()[0x010F] == "a camera"
        if kind != "jpg":
            assert len(np.unique(np.asarray(image)[..., 3])) > 200
