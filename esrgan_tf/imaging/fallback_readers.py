"""Readers of the formats that libvips here does not read."""

import io
import re
from pathlib import Path

import numpy as np
import pyvips
from PIL import BmpImagePlugin, Image, PpmImagePlugin

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.imaging.image_formats import ImageFormat
from esrgan_tf.imaging.limits import check_size
from esrgan_tf.imaging.other_containers import read_pnm_header
from esrgan_tf.imaging.resolution import opened

_MAX_DENSITY = 1e6  # pixels per millimetre that libvips accepts


def read_other(source: Path | bytes, found: ImageFormat) -> pyvips.Image:
    """Reads a format that libvips here cannot: BMP, PNM, and HEIC with pillow-heif.

    Returns:
        Upright, with EXIF, XMP, profile and resolution, if it has them.

    Raises:
        UserError: damaged, animated, too large, or pillow-heif is not there.
    """
    return _READERS[found.name](source, found)


def whole_range(image: pyvips.Image) -> pyvips.Image:
    """16 bits of which libheif fills only the highest: white becomes 65535, and the rest in proportion."""
    bits = image.get("bits-per-sample")
    whole = ((image >> (16 - bits)) * (65535 / (2**bits - 1))).rint().cast("ushort")
    return whole.copy(interpretation=image.interpretation)


def _read_by_pillow(source, found):
    with opened(source) as file:
        try:
            image = _PLUGINS[found.name](file)  # not by Image.open, which has a limit of its own
            check_size(*image.size)
            # A palette and single bits become what they stand for.
            pixels = np.asarray(image.convert({"1": "L", "P": "RGB"}.get(image.mode, image.mode)))
            if image.mode.startswith("I"):  # gray of 16 bits in 32
                pixels = pixels.astype(np.uint16)
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"a damaged {found.name}; Pillow says: {first_line(error)}") from error
    result = _from_pixels(pixels)
    across, down = (dots / 25.4 for dots in image.info.get("dpi", (0, 0)))
    if 0 < across <= _MAX_DENSITY and 0 < down <= _MAX_DENSITY:
        result = result.copy(xres=across, yres=down)
        result.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
    return result


def _read_pnm(source, found):
    image = _read_by_pillow(source, found)
    with opened(source) as file:  # a binary file of several images is refused
        kind = file.read(2)
        file.seek(0)
        header = read_pnm_header(file.read(2**16))
        if header is None or kind not in (b"P4", b"P5", b"P6"):
            return image
        width, height, maximum = (int(number) for number in (*header.groups(), b"1")[:3])
        bits = width * (1 if kind == b"P4" else 8 if maximum < 256 else 16) * (3 if kind == b"P6" else 1)
        file.seek(header.end() + 1 + (bits + 7) // 8 * height)
        if re.match(rb"P[1-6]\s", file.read(3)):
            raise UserError("it holds several images; save the one you want by itself")
    return image


def _read_heic(source, found):
    try:
        import pillow_heif
    except ImportError as error:
        raise UserError(found.help) from error
    with opened(source) as file:
        try:
            images = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
            if len(images) > 1:
                raise UserError(f"it holds {len(images)} frames or pages; save the one you want by itself")
            check_size(*images.size)
            pixels = np.asarray(images)
        except UserError:
            raise
        except Exception as error:  # of damaged files: IndexError and EOFError too, which have no common base
            raise UserError(f"a damaged HEIC; libheif says: {first_line(error)}") from error
    result = _from_pixels(pixels)
    if result.format == "ushort":
        result.set_type(pyvips.GValue.gint_type, "bits-per-sample", images.info["bit_depth"])
        result = whole_range(result)
    for name, info in (("icc-profile-data", "icc_profile"), ("xmp-data", "xmp")):
        if images.info.get(info):
            result.set_type(pyvips.GValue.blob_type, name, images.info[info])
    return _with_exif(result, images.info.get("exif"))


def _from_pixels(pixels):
    image = pyvips.Image.new_from_array(pixels)
    deep = image.format == "ushort"
    if image.bands < 3:
        return image.copy(interpretation="grey16" if deep else "b-w")
    return image.copy(interpretation="rgb16" if deep else "srgb")


def _with_exif(image, exif):
    """EXIF as libvips' own readers leave it; only they take it apart, so one reads a pixel that carries it."""
    if not exif:
        return image
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG", exif=exif)
    carrier = pyvips.Image.new_from_buffer(stream.getvalue(), "")
    for name in carrier.get_fields():
        if name.startswith("exif-"):
            image.set_type(carrier.get_typeof(name), name, carrier.get(name))
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)  # libheif has turned it, whatever its EXIF says
    return image


_PLUGINS = {"BMP": BmpImagePlugin.BmpImageFile, "PNM": PpmImagePlugin.PpmImageFile}
_READERS = {"BMP": _read_by_pillow, "PNM": _read_pnm, "HEIC": _read_heic}
