"""The pairs of LR and HR images, and the messages for unclear pairs. Colours identify the images of a pair."""

import os
import re
import unicodedata

import numpy as np
import pytest
from PIL import Image

from esrgan_tf.data import folder_source
from esrgan_tf.errors import UserError
from tests.conftest import needs_trial

NFC, NFD = (unicodedata.normalize(form, "café.png") for form in ("NFC", "NFD"))


def save(folder, name, value, size):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size, size, 3), value, np.uint8)).save(path)


def saved(tmp_path, hr, lr, hr_size=32, lr_size=8):
    """Image `i` of a list has the gray value `20 * i`; returns the two folders."""
    for folder, names, size in (("hr", hr, hr_size), ("lr", lr, lr_size)):
        (tmp_path / folder).mkdir()
        for i, name in enumerate(names):
            save(tmp_path / folder, name, 20 * i, size)
    return str(tmp_path / "hr"), str(tmp_path / "lr")


def number(image):
    return round(float(image.mean()) / 20)


PAIRS = {
    # name: (HR names, LR names in the order of their HR images)
    "two extensions of one stem": (["cat.png", "cat.jpg"], ["cat.png", "cat.jpg"]),
    "two extensions of one stem, with a suffix": (["cat.png", "cat.jpg"], ["catx4.png", "catx4.jpg"]),
    "the same name before another extension": (["cat.png"], ["cat.png", "cat.webp"]),
    "the same name before a suffix": (["cat.png"], ["cat.png", "catx4.png"]),
    "folders": (["s/a.png", "t/a.png"], ["s/a.bmp", "t/ax4.png"]),
    "case of an extension": (["a.PNG", "b.jpg"], ["a.png", "b.JPG"]),
    "case tells two files apart": (["a.PNG", "a.png"], ["a.PNG", "a.png"]),
    "normal forms": ([NFC], [NFD]),
    "normal forms with a suffix": ([NFD], [NFC.replace(".", "x4.")]),
    "hidden files": (["a.png"], ["a.png", "._a.png", ".x/a.png"]),
    "DIV2K": (["0001.png"], ["0001x4.png", "0001x2.png", "0001x8.png"]),
    "DIV2K mild": (["0001.png"], ["0001x4m.png"]),
    "DIV2K wild": (["0001.png"], ["0001x4w1.png"]),
    "underscore": (["a.png"], ["a_x4.png"]),
    "hyphen": (["a.png"], ["a-x4.jpg"]),
    "LR": (["a.png"], ["a_LR.png"]),
    "lower case": (["a.png"], ["a_lr.png"]),
    "bicubic": (["a.png"], ["a_bicubic.png"]),
    "RCAN": (["baby_HR_x4.png"], ["baby_LRBI_x4.png"]),
    "SelfExSR": (["img_001_SRF_4_HR.png"], ["img_001_SRF_4_LR.png"]),
    "RealSR": (["Canon_001_HR.png"], ["Canon_001_LR4.png"]),
    "DRealSR": (["sony_1_x1.png"], ["sony_1_x4.png"]),
    "a suffix that belongs to the name": (["a_HR.png", "a.png"], ["a_HRx4.png", "ax4.png"]),
}


@pytest.mark.parametrize("case", PAIRS)
def test_partners(case, tmp_path, capfd):
    hr, lr = PAIRS[case]
    hr_dir, lr_dir = saved(tmp_path, hr, lr)
    found = {
        name: (number(lr_image), number(hr_image))
        for name, lr_image, hr_image in folder_source(hr_dir, lr_dir, 4).pairs()
    }
    assert found == {name: (i, i) for i, name in enumerate(hr)}
    surplus = [name for name in lr[len(hr) :] if "/" not in name and not name.startswith(".")]
    said = capfd.readouterr().err
    if surplus:
        assert said == (
            f"note: data.lr_dir: {len(surplus)} of {len(hr) + len(surplus)} images have no partner in {hr_dir} and are "
            f"not used, such as {min(surplus)}\n"
        )
    else:
        assert said == ""


REFUSED = {
    # name: (HR names, LR names, message)
    "two candidates": (
        ["a.png"],
        ["a.jpg", "a.webp"],
        r"data\.lr_dir: a\.jpg, a\.webp could each be the partner of a\.png; remove the wrong ones, or "
        r"rename the right one to a\.png$",
    ),
    "two claims": (
        ["a.jpg", "a.png"],
        ["a.webp"],
        r"data\.lr_dir: a\.webp could be the partner of each of a\.jpg, a\.png; give each HR image an LR",
    ),
    "two suffixes": (["a.png"], ["ax4.png", "a_x4.png"], r"a_x4\.png, ax4\.png could each be the partner of a\.png; "),
    "two degradations": (
        ["a.png", "b.png"], ["ax4w1.png", "ax4w2.png", "bx4w1.png", "bx4w2.png"], r"\(1 more like this\)",
    ),
    "one partner taken by its own name": (
        ["cat.png", "cat.jpg"],
        ["cat.png"],
        r"data\.lr_dir: .*lr lacks the partner of cat\.jpg \(1 of 2 HR images\); expected the same name, or catx4, ",
    ),
    "another scale": (["a.png"], ["ax2.png"], r"a\.png .*; 1 of 1 images in it have no HR partner, such as ax2\.png$"),
    "another folder": (["a.png"], ["X4/ax4.png"], r"lacks the partner of a\.png .* such as X4/ax4\.png$"),
    "names exchanged": (
        ["0001x4.png", "0002x4.png"],
        ["0001.png", "0002.png"],
        r"data\.hr_dir and data\.lr_dir are exchanged: 0001x4\.png has the name of 0001\.png's LR partner$",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_unclear_pairs_are_refused(case, tmp_path):
    hr, lr, words = REFUSED[case]
    with pytest.raises(UserError) as error:
        folder_source(*saved(tmp_path, hr, lr), 4)
    assert re.search(words, str(error.value)), error.value
    assert "\n" not in str(error.value)


def test_exchanged_folders_are_detected_by_their_sizes(tmp_path):
    hr_dir, lr_dir = saved(tmp_path, ["a.png", "b.png"], ["a.png", "b.png"], hr_size=8, lr_size=33)
    with pytest.raises(
        UserError, match=r"^data\.hr_dir and data\.lr_dir are exchanged: a\.png \(.* 33x33 and 8x8, not 1:4"
    ):
        list(folder_source(hr_dir, lr_dir, 4).pairs())


def test_one_exchanged_pair_is_reported_as_that_pair(tmp_path):
    hr_dir, lr_dir = saved(tmp_path, ["a.png", "b.png"], ["a.png", "b.png"])
    save(tmp_path / "hr", "a.png", 0, 8)
    save(tmp_path / "lr", "a.png", 0, 32)
    with pytest.raises(UserError, match=r"^data\.hr_dir: 1 of 2 images are unusable: a\.png \(the LR and HR images"):
        list(folder_source(hr_dir, lr_dir, 4).pairs())


def test_one_folder_for_both_is_refused(tmp_path):
    hr_dir, _ = saved(tmp_path, ["a.png"], [])
    os.symlink(hr_dir, tmp_path / "link")
    with pytest.raises(
        UserError, match=r"data\.hr_dir and data\.lr_dir are both .*; use separate folders for HR and LR images"
    ):
        folder_source(hr_dir, str(tmp_path / "link"), 4)


def test_evaluation_and_training_refuse_alike(tmp_path, run_main):
    from esrgan_tf.models import compact_generator

    hr_dir, lr_dir = saved(tmp_path, ["a.png"], ["a.jpg", "a.webp"])
    words = (
        "a.jpg, a.webp could each be the partner of a.png; remove the wrong ones, or rename the right one to a.png\n"
    )
    compact_generator(4, filters=2, blocks=0).save(tmp_path / "model.keras")
    status, _, err = run_main("evaluate", "--model", tmp_path / "model.keras", "--hr_dir", hr_dir, "--lr_dir", lr_dir)
    assert (status, err) == (2, f"esrgan-tf: --lr_dir: {words}")
    for name in ("hr_dir", "val_hr_dir"):
        flags = [f"--set=data.{name}={hr_dir}", f"--set=data.{name.replace('hr', 'lr')}={lr_dir}"]
        flags += ["--set=data.source=folder"] if name == "hr_dir" else ["--set=data.source=synthetic"]
        flags += ["--set=generator.blocks=1", "--set=generator.filters=2", "--set=generator.growth=2"]
        status, _, err = run_main("train", "--phase", "psnr", "--run_dir", tmp_path / name, *flags)
        assert (status, err.endswith(f"data.{name.replace('hr', 'lr')}: {words}")) == (2, True), err


@pytest.mark.shared
def test_red_with_red_and_blue_with_blue():
    folder = needs_trial("R20", "stems")
    for name, lr, hr in folder_source(str(folder / "hr"), str(folder / "lr"), 4).pairs():
        channel = 0 if name == "cat.png" else 2
        assert lr.mean(axis=(0, 1)).argmax() == hr.mean(axis=(0, 1)).argmax() == channel
