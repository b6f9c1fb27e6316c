"""Folders, image formats, the store, synthetic images and DIV2K. Another file tests patches."""

import dataclasses
import errno
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tensorflow_datasets as tfds
from PIL import Image

from esrgan_tf.data import cache as cache_module
from esrgan_tf.data import div2k_source, folder_source, open_store, synthetic_source
from esrgan_tf.data.synthetic import SIZE, dead_leaves
from esrgan_tf.errors import UserError
from esrgan_tf.imaging.limits import MAX_PIXELS
from esrgan_tf.imaging.listing import list_images
from esrgan_tf.imaging.reading import read_picture, read_rgb
from esrgan_tf.imaging.resampling import bicubic

PHOTO = skimage.data.astronaut()[:64, :80]


def save(folder, name, image, **kwargs):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / name, **kwargs)


@pytest.mark.parametrize("name", ["rgb.png", "rgb.bmp", "rgb.tiff", "rgb.webp"])
def test_lossless_formats_read_exactly(tmp_path, name):
    save(tmp_path, name, PHOTO, **({"lossless": True} if name.endswith("webp") else {}))
    np.testing.assert_array_equal(read_rgb(tmp_path / name), PHOTO)


def test_gray_and_palette_become_rgb(tmp_path):
    gray = PHOTO[..., 0]
    save(tmp_path, "gray.png", gray)
    np.testing.assert_array_equal(read_rgb(tmp_path / "gray.png"), np.repeat(gray[..., None], 3, axis=-1))
    palette = Image.fromarray(PHOTO).quantize(16)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))


def test_sixteen_bits_are_rounded_to_eight(tmp_path):
    values = np.array([[0, 128, 129, 256, 257, 30000, 65535]], np.uint16)
    save(tmp_path, "deep.png", values)
    expected = np.round(values / 257.0)
    np.testing.assert_array_equal(read_rgb(tmp_path / "deep.png")[..., 0], expected)


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.dstack([PHOTO, np.full(PHOTO.shape[:2], 255, np.uint8)])
    rgba[:10, :, 3] = 0
    rgba[10:20, :, 3] = 128
    save(tmp_path, "alpha.png", rgba)
    read = read_rgb(tmp_path / "alpha.png").astype(float)
    assert (read[:10] == 255).all()
    np.testing.assert_allclose(read[10:20], PHOTO[10:20] * (128 / 255) + 255 * (127 / 255), atol=1)
    np.testing.assert_array_equal(read[20:], PHOTO[20:])


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate clockwise by 90 degrees for display
    save(tmp_path, "turned.png", PHOTO, exif=exif)
    np.testing.assert_array_equal(read_rgb(tmp_path / "turned.png"), np.rot90(PHOTO, -1))


def test_float_pixels_are_refused_by_the_reason(tmp_path):
    save(tmp_path / "a", "float.tiff", PHOTO[..., 0].astype(np.float32))
    with pytest.raises(UserError, match=r"float\.tiff \(its pixels are float numbers, which have no agreed range"):
        list(folder_source(str(tmp_path / "a"), None, 4).pairs())


def test_only_image_files_are_taken(tmp_path):
    save(tmp_path, "b.PNG", PHOTO)
    save(tmp_path / "deeper", "a.jpg", PHOTO)
    save(tmp_path, ".hidden.png", PHOTO)
    (tmp_path / "notes.txt").write_text("no image")
    assert [path.name for path in list_images(tmp_path).files] == ["b.PNG", "a.jpg"]


def test_lr_images_are_made_by_antialiased_bicubic(tmp_path):
    save(tmp_path, "a.png", PHOTO[:62, :79])  # not divisible by 4
    ((name, lr, hr),) = folder_source(str(tmp_path), None, 4).pairs()
    assert name == "a.png"
    np.testing.assert_array_equal(hr, PHOTO[:60, :76])
    np.testing.assert_array_equal(lr, np.asarray(Image.fromarray(hr).resize((19, 15), Image.BICUBIC)))


@pytest.mark.parametrize("lr_name", ["0001.png", "0001x4.png", "0001.bmp"])
def test_partners_are_found(tmp_path, lr_name):
    lr = bicubic(PHOTO, 16, 20) // 2  # not equal to the downscaled HR image
    save(tmp_path / "hr", "0001.png", PHOTO)
    save(tmp_path / "lr", lr_name, lr)
    ((_, found, hr),) = folder_source(str(tmp_path / "hr"), str(tmp_path / "lr"), 4).pairs()
    np.testing.assert_array_equal(found, lr)
    np.testing.assert_array_equal(hr, PHOTO)


def test_remainders_of_hr_images_are_cut(tmp_path):
    save(tmp_path / "hr", "a.png", PHOTO[:63])
    save(tmp_path / "lr", "a.png", bicubic(PHOTO[:60], 15, 20))
    ((_, lr, hr),) = folder_source(str(tmp_path / "hr"), str(tmp_path / "lr"), 4).pairs()
    assert (lr.shape[0], hr.shape[0]) == (15, 60)


def test_every_unusable_image_is_named_at_once(tmp_path):
    for name in ("good", "mismatch"):
        save(tmp_path / "hr", f"{name}.png", PHOTO)
        save(tmp_path / "lr", f"{name}.png", bicubic(PHOTO, 16, 20) if name == "good" else PHOTO)
    save(tmp_path / "lr", "broken.png", PHOTO)
    save(tmp_path / "hr", "truncated.png", PHOTO)
    save(tmp_path / "lr", "truncated.png", bicubic(PHOTO, 16, 20))
    (tmp_path / "hr" / "broken.png").write_bytes(b"this is no PNG")
    data = (tmp_path / "hr" / "truncated.png").read_bytes()
    (tmp_path / "hr" / "truncated.png").write_bytes(data[: len(data) // 2])
    source = folder_source(str(tmp_path / "hr"), str(tmp_path / "lr"), 4)
    with pytest.raises(UserError, match="3 of 4 images are unusable") as error:
        open_store(source, tmp_path / "cache")
    for part in (
        "broken.png (",
        "truncated.png (",
        "mismatch.png (the LR and HR images are 80x64 and 80x64, not 1:4)",
    ):
        assert part in str(error.value)
    assert [path.name.partition("-")[0] for path in sets(tmp_path)] == ["partial"]  # no data set counts as prepared


def test_unreadable_images_are_left_out_when_asked(tmp_path, capfd):
    for name in ("a", "b", "c"):
        save(tmp_path / "hr", f"{name}.png", PHOTO)
    (tmp_path / "hr" / "b.png").write_bytes(b"this is no PNG")

    def opened(skip):
        return open_store(folder_source(str(tmp_path / "hr"), None, 4, skip_unreadable=skip), tmp_path / "cache")

    remedy = (
        "1 of 3 images are unusable: b.png (.*); repair or remove them, or leave them out with --set data.skip_unre"
    )
    with pytest.raises(UserError, match=remedy):
        opened(False)
    store = opened(True)
    assert store.names == ["a.png", "c.png"]
    assert re.fullmatch(r"left out, data\.hr_dir: 1 of 3 images are unusable: b\.png \(.*\)\n", capfd.readouterr().err)
    with pytest.raises(UserError, match=remedy):  # a cache without the broken image does not count as complete
        opened(False)
    save(tmp_path / "hr", "b.png", PHOTO[:32])
    for skip in (True, False):
        assert opened(skip).names == ["a.png", "b.png", "c.png"]
    assert capfd.readouterr().err == ""


def test_without_readable_images_none_is_left_out(tmp_path):
    save(tmp_path, "a.png", PHOTO)
    (tmp_path / "a.png").write_bytes(b"this is no PNG")
    for skip in (True, False, None):
        with pytest.raises(UserError, match=r"1 of 1 images are unusable: a\.png \(.*\)$"):
            list(folder_source(str(tmp_path), None, 4, skip_unreadable=skip).pairs())


def header_of(path, width, height):
    """The header of a gray PNG with this many pixels, without the pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))


def test_one_limit_of_pixels_for_training_and_upscaling(tmp_path, monkeypatch):
    """Pillow's limit does not apply: it is global to the process, and other threads read it at the same time."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    save(tmp_path, "photo.png", PHOTO)
    np.testing.assert_array_equal(read_rgb(tmp_path / "photo.png"), PHOTO)
    header_of(tmp_path / "refused.png", 2**14, 2**14 + 1)
    refusal = f"it claims 16384x16385 pixels, more than the {2**28:,} accepted; cut it up"
    assert MAX_PIXELS == 2**28
    for read in (read_rgb, read_picture):
        with pytest.raises(UserError, match=refusal):
            read(tmp_path / "refused.png")
    header_of(tmp_path / "large.png", 14000, 14000)
    with pytest.raises(
        UserError, match="its pixels are missing"
    ):  # the file passed the limit, but has nothing after its header
        read_rgb(tmp_path / "large.png")
    assert Image.MAX_IMAGE_PIXELS == 100


def test_missing_folders_images_and_partners_are_named(tmp_path):
    with pytest.raises(UserError, match=r"data\.val_hr_dir: no folder"):
        folder_source(str(tmp_path / "absent"), None, 4, keys=("data.val_hr_dir", "data.val_lr_dir"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"data\.hr_dir: no image in"):
        folder_source(str(tmp_path / "empty"), None, 4)
    save(tmp_path / "hr", "a.png", PHOTO)
    save(tmp_path / "lr", "b.png", PHOTO)
    with pytest.raises(
        UserError, match=r"lacks the partner of a\.png \(1 of 1 HR images\); expected the same name, or ax4, "
    ):
        folder_source(str(tmp_path / "hr"), str(tmp_path / "lr"), 4)


def test_a_missing_folder_is_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"data\.hr_dir: no folder {tmp_path}/absent$"):
        folder_source("absent", None, 4)


def test_store_holds_the_pixels_and_is_made_once(tmp_path):
    for i in range(3):
        save(tmp_path / "hr", f"{i}.png", PHOTO[: 40 + 8 * i])
    source = folder_source(str(tmp_path / "hr"), None, 4)
    store = open_store(source, tmp_path / "cache")
    assert store.names == ["0.png", "1.png", "2.png"]
    for i, (_, lr, hr) in enumerate(source.pairs()):
        np.testing.assert_array_equal(store.lr(i), lr)
        np.testing.assert_array_equal(store.hr(i), hr)
        assert store.hr_size(i) == hr.shape[:2]
    assert len(cached(tmp_path)) == 3
    before = [path.stat().st_mtime_ns for path in cached(tmp_path)]
    open_store(folder_source(str(tmp_path / "hr"), None, 4), tmp_path / "cache")
    assert [path.stat().st_mtime_ns for path in cached(tmp_path)] == before
    save(tmp_path / "hr", "1.png", PHOTO)  # a changed image is a new image
    assert open_store(folder_source(str(tmp_path / "hr"), None, 4), tmp_path / "cache").hr_size(1) == (64, 80)


def cached(folder):
    """The decoded images below its `cache`."""
    return sorted((folder / "cache").rglob("*.u8"))


def sets(folder):
    return sorted((folder / "cache").rglob("*.json"))


def test_decoded_images_are_not_decoded_again(tmp_path, capfd):
    """One more photo adds one file to the cache, also for another folder's set."""
    for i in range(5):
        save(tmp_path / "photos" / "hr", f"{i}.png", PHOTO[: 32 + 4 * i])
    first = open_store(folder_source(str(tmp_path / "photos" / "hr"), None, 4), tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in cached(tmp_path)}
    save(tmp_path / "photos" / "hr", "2b.png", PHOTO)
    more = open_store(folder_source(str(tmp_path / "photos" / "hr"), None, 4), tmp_path / "cache")
    above = open_store(folder_source(str(tmp_path / "photos"), None, 4), tmp_path / "cache")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (len(cached(tmp_path)), len(sets(tmp_path))) == (6, 3)  # the first store and its set still exist
    assert more.names == ["0.png", "1.png", "2.png", "2b.png", "3.png", "4.png"]
    assert above.names == [f"hr/{name}" for name in more.names]
    for store in (more, above):
        np.testing.assert_array_equal(store.hr(3), PHOTO)
        np.testing.assert_array_equal(store.lr(4), first.lr(3))
    said = [line for line in capfd.readouterr().out.splitlines() if line.startswith("preparing")]
    assert said == ["preparing 5 folder images …", "preparing 1 folder images …"]


def test_another_scale_or_partner_is_another_image(tmp_path):
    save(tmp_path / "hr", "a.png", PHOTO)
    save(tmp_path / "lr", "a.png", 255 - bicubic(PHOTO, 16, 20))
    hr = str(tmp_path / "hr")
    stores = [
        open_store(folder_source(hr, lr, scale), tmp_path / "cache")
        for lr, scale in ((None, 4), (None, 2), (str(tmp_path / "lr"), 4))
    ]
    assert [store.lr(0).shape for store in stores] == [(16, 20, 3), (32, 40, 3), (16, 20, 3)]
    assert (stores[0].lr(0) != stores[2].lr(0)).any()


def test_an_earlier_state_of_a_folder_is_deleted(tmp_path):
    """Deletes a set that nobody uses, and the images that only this set had."""
    for name in ("a", "b"):
        save(tmp_path / "hr", f"{name}.png", PHOTO)
    folder, cache = str(tmp_path / "hr"), tmp_path / "cache"
    store = open_store(folder_source(folder, None, 4), cache)
    (tmp_path / "hr" / "a.png").unlink()
    open_store(folder_source(folder, None, 4), cache)
    assert (len(sets(tmp_path)), len(cached(tmp_path))) == (2, 2)
    np.testing.assert_array_equal(store.hr(0), PHOTO)
    del store
    save(tmp_path / "hr", "c.png", PHOTO)
    open_store(folder_source(folder, None, 4), cache)
    assert (len(sets(tmp_path)), len(cached(tmp_path))) == (1, 2)
    assert list(cache.rglob("*.lock")) == []


def test_the_least_recently_used_set_is_deleted(tmp_path, monkeypatch, capfd):
    for name in ("old", "shared", "used", "new"):
        save(tmp_path / name, f"{name}.png", PHOTO)
    save(tmp_path / "old", "second.png", PHOTO)
    os.symlink(tmp_path / "used" / "used.png", tmp_path / "shared" / "link.png")

    def opened(name):
        return open_store(folder_source(str(tmp_path / name), None, 4), tmp_path / "cache")

    used = opened("used")
    for name in ("old", "shared"):
        opened(name)
    capfd.readouterr()
    monkeypatch.setattr(cache_module, "SHARE", 0.0)
    new = opened("new")
    said = f"{tmp_path / 'cache'}: deleted the 3 least recently used decoded images"
    assert capfd.readouterr().out.splitlines()[-1] == said
    assert len(sets(tmp_path)) == len(cached(tmp_path)) == 2
    for store in (used, new):
        np.testing.assert_array_equal(store.hr(0), PHOTO)
    monkeypatch.setattr(cache_module, "SHARE", 1.0)
    np.testing.assert_array_equal(opened("old").hr(1), PHOTO)


def test_a_set_that_cannot_be_read_stops_the_tidying(tmp_path, monkeypatch, capfd):
    """The unreadable set may list images that another process is using."""
    for name in ("one", "two"):
        save(tmp_path / name, f"{name}.png", PHOTO)
    open_store(folder_source(str(tmp_path / "one"), None, 4), tmp_path / "cache")
    sets(tmp_path)[0].write_text("half")
    monkeypatch.setattr(cache_module, "SHARE", 0.0)
    open_store(folder_source(str(tmp_path / "two"), None, 4), tmp_path / "cache")
    assert len(cached(tmp_path)) == 2
    assert "cannot be read; remove that file" in capfd.readouterr().out


def test_an_interrupted_preparation_resumes(tmp_path, capfd):
    for i in range(4):
        save(tmp_path / "hr", f"{i}.png", PHOTO[: 32 + 4 * i])
    source = folder_source(str(tmp_path / "hr"), None, 4)

    def interrupted(numbers):
        for pair in source.decode(numbers):
            yield pair
            if pair[0] == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_store(dataclasses.replace(source, decode=interrupted), tmp_path / "cache")
    assert len(open_store(source, tmp_path / "cache")) == 4
    said = [line for line in capfd.readouterr().out.splitlines() if line.startswith("preparing")]
    assert said == ["preparing 4 folder images …", "preparing 2 folder images …"]
    assert len(sets(tmp_path)) == 1


@pytest.mark.parametrize("enough", [True, False])
def test_a_full_disk_is_freed_of_what_is_not_used(tmp_path, monkeypatch, enough):
    """Leaves no partial results if deletion does not free enough space."""
    for name in ("old", "new"):
        for i in range(3):
            save(tmp_path / name, f"{i}.png", PHOTO)
    cache = tmp_path / "cache"
    open_store(folder_source(str(tmp_path / "old"), None, 4), cache)
    write, most = cache_module._Cache._write, 4 if enough else 2

    def full(self, *pair):
        if len(cached(tmp_path)) >= most:
            raise OSError(errno.ENOSPC, "no space left on device")
        return write(self, *pair)

    monkeypatch.setattr(cache_module._Cache, "_write", full)
    source = folder_source(str(tmp_path / "new"), None, 4)
    if enough:
        assert len(open_store(source, cache)) == 3
    else:
        with pytest.raises(UserError, match=r"no room left in .*cache; choose another disk"):
            open_store(source, cache)
    assert len(cached(tmp_path)) == (3 if enough else 0)


def test_a_complete_cache_need_not_be_writable(tmp_path, monkeypatch):
    save(tmp_path / "hr", "a.png", PHOTO)
    source = folder_source(str(tmp_path / "hr"), None, 4)
    open_store(source, tmp_path / "cache")
    before = sorted((tmp_path / "cache").rglob("*"))

    def refuse(*_, **__):
        raise PermissionError(errno.EROFS, "read-only file system")

    monkeypatch.setattr(cache_module, "in_use", refuse)
    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    np.testing.assert_array_equal(open_store(source, tmp_path / "cache").hr(0), PHOTO)
    assert sorted((tmp_path / "cache").rglob("*")) == before


def test_leftovers_of_a_killed_preparation_are_deleted_by_the_next(tmp_path):
    save(tmp_path / "hr", "a.png", PHOTO)
    left = [tmp_path / "cache" / "images" / "00" / name for name in ("00ff.u8", ".00ff.u8")]
    left[0].parent.mkdir(parents=True)
    for path in left:
        path.write_bytes(b"half")
    open_store(folder_source(str(tmp_path / "hr"), None, 4), tmp_path / "cache")
    assert len(cached(tmp_path)) == 1


def test_caches_of_earlier_versions_are_deleted(tmp_path):
    save(tmp_path / "hr", "a.png", PHOTO)
    former = tmp_path / "cache" / "folder-0123456789abcdef"
    former.mkdir(parents=True)
    for name in ("index.json", "lr.u8", "hr.u8"):
        (former / name).write_text("[]")
    open_store(folder_source(str(tmp_path / "hr"), None, 4), tmp_path / "cache")
    assert not former.exists()


def test_processes_prepare_one_cache_one_after_the_other(tmp_path):
    for i in range(40):
        save(tmp_path / "hr", f"{i}.png", np.tile(PHOTO, (4, 4, 1)))
    program = (
        "import sys; from esrgan_tf.data import folder_source, open_store; "
        "store = open_store(folder_source(sys.argv[1], None, 4), sys.argv[2]); print(store.hr(39).sum())"
    )
    command = [sys.executable, "-c", program, tmp_path / "hr", tmp_path / "cache"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = "".join(process.communicate()[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert said.count("preparing 40 folder images") == 1
    assert said.count(f"{16 * int(PHOTO.sum())}\n") == 3


@pytest.mark.parametrize("kind", ["u8", "json"])
def test_a_truncated_store_is_replaced(tmp_path, kind):
    save(tmp_path / "hr", "a.png", PHOTO)
    source = folder_source(str(tmp_path / "hr"), None, 4)
    open_store(source, tmp_path / "cache")
    (path,) = (tmp_path / "cache").rglob(f"*.{kind}")
    path.write_bytes(path.read_bytes()[:50])
    np.testing.assert_array_equal(open_store(source, tmp_path / "cache").hr(0), PHOTO)


def test_synthetic_images_depend_on_the_seed_alone():
    first, again, other = (dead_leaves(np.random.default_rng(seed), size=96) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9
    assert first.shape == (96, 96, 3)
    assert first.std() > 10


def test_synthetic_splits_are_different_and_divisible(tmp_path):
    train, validation = (next(iter(synthetic_source(split, 0, 4).pairs())) for split in ("train", "validation"))
    assert train[2].shape == (SIZE, SIZE, 3)
    assert train[1].shape == (SIZE // 4, SIZE // 4, 3)
    assert (train[2] != validation[2]).mean() > 0.9


@pytest.fixture(scope="session")
def div2k_dir(tmp_path_factory):
    """DIV2K as the real builder prepares it, from a small tree in the layout of the official archives."""
    tree, data_dir = tmp_path_factory.mktemp("div2k_tree"), tmp_path_factory.mktemp("tfds")
    extracted = {}
    for split, numbers in (("train", (1, 2, 3)), ("valid", (801, 802))):
        for number in numbers:
            photo = skimage.data.coffee()[number % 7 * 20 :][:96, :120]
            save(tree / split / f"DIV2K_{split}_HR", f"{number:04d}.png", photo)
            lr = bicubic(photo, 24, 30)
            save(tree / f"{split}_lr" / f"DIV2K_{split}_LR_bicubic" / "X4", f"{number:04d}x4.png", lr)
        extracted |= {f"{split}_hr_url": str(tree / split), f"{split}_lr_url": str(tree / f"{split}_lr")}
    with pytest.MonkeyPatch.context() as patch:
        # The package fixes its checksums, so only the download is replaced.
        patch.setattr(tfds.download.DownloadManager, "download_and_extract", lambda self, urls: extracted)
        tfds.builder("div2k/bicubic_x4", data_dir=str(data_dir)).download_and_prepare()
    return data_dir


def test_div2k_builder(div2k_dir, tmp_path):
    store = open_store(div2k_source("train", str(div2k_dir), 4), tmp_path)
    assert len(store) == 3
    for i in range(3):
        np.testing.assert_array_equal(store.lr(i), bicubic(store.hr(i), 24, 30))
    assert len(open_store(div2k_source("validation", str(div2k_dir), 4), tmp_path)) == 2


def test_div2k_has_no_scale_of_one():
    with pytest.raises(UserError, match="DIV2K has no bicubic_x1"):
        div2k_source("train", "unused", 1)
