"""The only table of image formats: every row is listed, recognised, read and written as stated."""

import ast
import io

import numpy as np
import pytest
import skimage.data
from PIL import Image

from esrgan_tf.imaging.image_formats import IMAGE_FORMATS, READ, WRITING, WRITTEN, format_of, help_for
from esrgan_tf.imaging.listing import list_images
from esrgan_tf.imaging.reading import read_picture, read_rgb
from esrgan_tf.imaging.writing import from_array, write_picture
from tests.conftest import REPOSITORY

PHOTO = skimage.data.astronaut()[100:130, 200:240]
PACKAGE = REPOSITORY / "esrgan_tf"
ROWS = {row.name: row for row in IMAGE_FORMATS}
ENCODERS = "imaging/result_metadata.py"  # a function per written format, which puts metadata around the pixels


def encoded(name):
    """An image file of the format, written by Pillow."""
    stream = io.BytesIO()
    if name == "HEIC":
        pillow_heif = pytest.importorskip("pillow_heif")
        pillow_heif.from_pillow(Image.fromarray(PHOTO)).save(stream, quality=100)
    else:
        Image.fromarray(PHOTO).save(stream, {"PNM": "PPM"}.get(name, name), quality=95)
    return stream.getvalue()


@pytest.mark.parametrize("name", ROWS)
def test_a_format_is_listed_recognised_and_read(name, tmp_path):
    row = ROWS[name]
    for extension in (*row.extensions, *row.other_extensions):
        path = tmp_path / f"photo{extension.upper()}"
        path.write_bytes(encoded(name))
        assert path in list_images(tmp_path).files
        assert help_for(path) is None
        assert READ[extension] == row.kind
        assert read_picture(path).format == row.kind
        assert np.abs(read_rgb(path).astype(int) - PHOTO).mean() < 8  # GIF has 256 colours
    assert [other.name for other in IMAGE_FORMATS if other.matches(encoded(name)[:64])] == [name]
    assert format_of(encoded(name)[:64]) is row


@pytest.mark.parametrize("extension", WRITTEN)
def test_a_written_format_is_written(extension, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    kind = WRITTEN[extension]
    path = tmp_path / f"result{extension}"
    deep = from_array(PHOTO.astype(np.uint16) * 257)
    lines = write_picture(deep, None, read_picture(tmp_path / "a.png"), kind, path)
    assert (lines == []) == WRITING[kind].holds_16_bits
    with Image.open(path) as image:
        assert image.format == next(row.name for row in IMAGE_FORMATS if extension in row.extensions).upper()
        assert np.abs(np.asarray(image).astype(int) - PHOTO).mean() < 8


def test_extensions_belong_to_one_format():
    extensions = [e for row in IMAGE_FORMATS for e in (*row.extensions, *row.other_extensions)]
    assert len(set(extensions)) == len(extensions)
    assert not any(help_for(tmp.with_name(f"a{e}")) for e in extensions for tmp in [PACKAGE / "a"])


def test_there_is_no_other_table():
    """No other module contains a list of three image formats or more."""
    names = {word for row in IMAGE_FORMATS for e in (*row.extensions, *row.other_extensions) for word in (e, e[1:])}
    found = []
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).as_posix()
        if module in ("imaging/image_formats.py", ENCODERS):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict | ast.Tuple | ast.List | ast.Set):
                items = node.keys if isinstance(node, ast.Dict) else node.elts
                texts = {item.value for item in items if isinstance(item, ast.Constant)}
                found += [f"{module}:{node.lineno}"] if len(texts & names) > 2 else []
    assert found == []
