"""Image files that are read and not written, those that cannot be read here, and what would help."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pyvips
from PIL import BmpImagePlugin, Image, PpmImagePlugin

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.imaging.limits import check_size
from esrgan_tf.imaging.resolution import opened

# Endings of what is read, beside those of the formats that are written; and the endings of their results.
ALSO_READ = {".jfif": ".jpg", ".jpe": ".jpg", ".bmp": ".png", ".gif": ".png", ".avif": ".png"}
ALSO_READ |= dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), ".png")
_HEIC = (".heic", ".heif", ".hif")
_HELP_FOR_HEIC = "HEIC is read with pillow-heif (pip install pillow-heif)"
if importlib.util.find_spec("pillow_heif"):
    ALSO_READ |= dict.fromkeys(_HEIC, ".png")

_NOT_READ = {
    "camera raw files are not read; develop them into TIFF or PNG first": (
        "3fr arw cr2 cr3 crw dcr dng erf iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"
    ),
    "JPEG XL is not read; convert it into PNG first (djxl IN OUT.png)": "jxl",
    "drawings and documents are not read; render them as PNG first": "ai eps pdf ps svg svgz",
    "not a format that is read; convert it into PNG or TIFF first": (
        "dds exr hdr ico j2k jp2 jpf jpx pcx psb psd qoi tga xcf"
    ),
}


def help_for(path: Path) -> str | None:
    """Why an image with this ending cannot be read here and what would help; None if it can, or is no image."""
    extension = path.suffix.lower()
    if extension in _HEIC and extension not in ALSO_READ:
        return _HELP_FOR_HEIC
    return next((words for words, extensions in _NOT_READ.items() if extension[1:] in extensions.split()), None)


def read_other(source: Path | bytes, head: bytes) -> pyvips.Image | None:
    """Reads what libvips here cannot: BMP, PNM, and HEIC with pillow-heif. None: the file is none of these.

    Args:
        head: the first 64 bytes or more.

    Returns:
        Upright, with EXIF, XMP, profile and resolution, if it has them.

    Raises:
        UserError: damaged, animated, too large, or pillow-heif is not there.
    """
    if head.startswith(b"BM"):
        return _read_by_pillow(source, "BMP", BmpImagePlugin.BmpImageFile)
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return _read_by_pillow(source, "PNM", PpmImagePlugin.PpmImageFile)
    if head[4:8] != b"ftyp":
        return None
    brands = [head[at : at + 4] for at in range(8, min(len(head), int.from_bytes(head[:4], "big")), 4)]
    if brands[:1] == [b"avis"]:
        raise UserError("it is an animated AVIF; save the frame you want by itself")
    if b"avif" in brands or not {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"} & set(brands):
        return None
    return _read_heic(source)


def whole_range(image: pyvips.Image) -> pyvips.Image:
    """16 bits of which libheif fills only the highest: white becomes 65535, and the rest in proportion."""
    bits = image.get("bits-per-sample")
    whole = ((image >> (16 - bits)) * (65535 / (2**bits - 1))).rint().cast("ushort")
    return whole.copy(interpretation=image.interpretation)


def _read_by_pillow(source, name, plugin):
    with opened(source) as file:
        try:
            image = plugin(file)  # not by Image.open, which has a limit of its own
            check_size(*image.size)
            # A palette and single bits become what they stand for.
            pixels = np.asarray(image.convert({"1": "L", "P": "RGB"}.get(image.mode, image.mode)))
            if image.mode.startswith("I"):  # gray of 16 bits in 32
                pixels = pixels.astype(np.uint16)
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"a damaged {name}; Pillow says: {first_line(error)}") from error
    result = _from_pixels(pixels)
    across, down = (dots / 25.4 for dots in image.info.get("dpi", (0, 0)))
    if across > 0 and down > 0:
        result = result.copy(xres=across, yres=down)
        result.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
    return result


def _read_heic(source):
    try:
        import pillow_heif
    except ImportError as error:
        raise UserError(_HELP_FOR_HEIC) from error
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
