"""Readers of the formats that this build of libvips does not read."""

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
from esrgan_tf.imaging.resolution import open_source

_MAX_DENSITY = 1e6  # pixels per millimetre that libvips accepts


def read_other(source: Path | bytes, found: ImageFormat) -> pyvips.Image:
    """Reads a format that this build of libvips does not read: BMP, PNM, and HEIC with pillow-heif.

    Returns:
        The upright image, with the EXIF, XMP, profile and resolution of the file.

    Raises:
        UserError: the file is damaged, animated or too large, or pillow-heif is not installed.
    """
    return _READERS[found.name](source, found)


def scale_to_16_bits(image: pyvips.Image) -> pyvips.Image:
    """Scales pixels, which libheif stores in the highest bits of 16, so that white is 65535."""
    bits = image.get("bits-per-sample")
    scaled = ((image >> (16 - bits)) * (65535 / (2**bits - 1))).rint().cast("ushort")
    return scaled.copy(interpretation=image.interpretation)


def _read_by_pillow(source, found):
    with open_source(source) as file:
        try:
            image = _PLUGINS[found.name](file)  # not by Image.open, which has another size limit
            check_size(*image.size)
            # Palette indices become RGB, and single bits become 0 or 255.
            pixels = np.asarray(image.convert({"1": "L", "P": "RGB"}.get(image.mode, image.mode)))
            if image.mode.startswith("I"):  # gray of 16 bits in 32
                pixels = pixels.astype(np.uint16)
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"a damaged {found.name} (Pillow: {first_line(error)})") from error
    result = _image_from_array(pixels)
    across, down = (dots / 25.4 for dots in image.info.get("dpi", (0, 0)))
    if 0 < across <= _MAX_DENSITY and 0 < down <= _MAX_DENSITY:
        result = result.copy(xres=across, yres=down)
        result.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
    return result


def _read_pnm(source, found):
    image = _read_by_pillow(source, found)
    with open_source(source) as file:  # refuses a binary file of several images
        kind = file.read(2)
        file.seek(0)
        header = read_pnm_header(file.read(2**16))
        if header is None or kind not in (b"P4", b"P5", b"P6"):
            return image
        width, height, maximum = (int(number) for number in (*header.groups(), b"1")[:3])
        bits = width * (1 if kind == b"P4" else 8 if maximum < 256 else 16) * (3 if kind == b"P6" else 1)
        file.seek(header.end() + 1 + (bits + 7) // 8 * height)
        if re.match(rb"P[1-6]\s", file.read(3)):
            raise UserError("it holds several images; save the image that you want as a separate file")
    return image


def _read_heic(source, found):
    try:
        import pillow_heif
    except ImportError as error:
        raise UserError(found.help) from error
    with open_source(source) as file:
        try:
            images = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
            if len(images) > 1:
                raise UserError(
                    f"it holds {len(images)} frames or pages; save the one that you want as a separate file"
                )
            check_size(*images.size)
            pixels = np.asarray(images)
        except UserError:
            raise
        except Exception as error:  # the errors of damaged files, such as IndexError and EOFError, have no common base
            raise UserError(f"a damaged HEIC (libheif: {first_line(error)})") from error
    result = _image_from_array(pixels)
    if result.format == "ushort":
        result.set_type(pyvips.GValue.gint_type, "bits-per-sample", images.info["bit_depth"])
        result = scale_to_16_bits(result)
    for name, info in (("icc-profile-data", "icc_profile"), ("xmp-data", "xmp")):
        if images.info.get(info):
            result.set_type(pyvips.GValue.blob_type, name, images.info[info])
    return _add_exif(result, images.info.get("exif"))


def _image_from_array(pixels):
    image = pyvips.Image.new_from_array(pixels)
    deep = image.format == "ushort"
    if image.bands < 3:
        return image.copy(interpretation="grey16" if deep else "b-w")
    return image.copy(interpretation="rgb16" if deep else "srgb")


def _add_exif(image, exif):
    """Adds EXIF in the form of libvips' readers, copied from a PNG of one pixel that libvips reads."""
    if not exif:
        return image
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG", exif=exif)
    carrier = pyvips.Image.new_from_buffer(stream.getvalue(), "")
    for name in carrier.get_fields():
        if name.startswith("exif-"):
            image.set_type(carrier.get_typeof(name), name, carrier.get(name))
    image.set_type(
        pyvips.GValue.gint_type, "orientation", 1
    )  # libheif returns upright pixels and leaves EXIF unchanged
    return image


_PLUGINS = {"BMP": BmpImagePlugin.BmpImageFile, "PNM": PpmImagePlugin.PpmImageFile}
_READERS = {"BMP": _read_by_pillow, "PNM": _read_pnm, "HEIC": _read_heic}
