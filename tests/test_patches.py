import os
import threading

import numpy as np
import pytest

from esrgan_tf.data import Patches
from esrgan_tf.data.cache import open_store
from esrgan_tf.data.store import Source
from esrgan_tf.errors import UserError

SCALE, PATCH, BATCH = 4, 16, 6


class CodedStore:
    """Images with their LR coordinates as pixel values: (image, row, column), in LR and HR images."""

    sizes = ((8, 12), (5, 5), (20, 4), (3, 30))  # the last is smaller than a patch

    def __init__(self):
        self.names = [str(i) for i in range(len(self.sizes))]

    def __len__(self):
        return len(self.sizes)

    def lr(self, i, part=slice(None)):
        rows, columns = np.mgrid[: self.sizes[i][0], : self.sizes[i][1]]
        return np.stack([np.full_like(rows, i), rows, columns], axis=-1).astype(np.uint8)[part]

    def hr(self, i, part=slice(None)):
        return self.lr(i).repeat(SCALE, axis=0).repeat(SCALE, axis=1)[part]

    def lr_size(self, i):
        return self.sizes[i]

    def hr_size(self, i):
        return self.sizes[i][0] * SCALE, self.sizes[i][1] * SCALE


def patches(seed=0, batch_size=BATCH):
    return Patches(CodedStore(), SCALE, PATCH, batch_size, seed)


def test_lr_and_hr_patches_show_the_same_place():
    for step in range(20):
        lr, hr = patches().batch(step)
        assert lr.shape == (BATCH, 4, 4, 3)
        assert hr.shape == (BATCH, 16, 16, 3)
        np.testing.assert_array_equal(lr.repeat(SCALE, axis=1).repeat(SCALE, axis=2), hr)


def test_a_batch_is_a_function_of_seed_and_step():
    a, b = patches().batch(5), patches().batch(5)
    np.testing.assert_array_equal(a[1], b[1])
    assert (a[1] != patches().batch(6)[1]).any()
    assert (a[1] != patches(seed=1).batch(5)[1]).any()


def test_every_corner_and_every_turn_occurs():
    lr = np.concatenate([patches().batch(step)[0] for step in range(400)])
    corners = {(int(p[..., 0].max()), int(p[..., 1].min()), int(p[..., 2].min())) for p in lr}
    possible = {(i, y, x) for i, (h, w) in enumerate(CodedStore.sizes[:3]) for y in range(h - 3) for x in range(w - 3)}
    assert corners == possible
    first = {
        tuple(p[0, 0, 1:] - p[..., 1:].min(axis=(0, 1))) + tuple(p[0, 1, 1:] - p[0, 0, 1:]) for p in lr.astype(int)
    }
    assert len(first) == 8  # the new place of the corner, and the new direction of the first row


@pytest.mark.parametrize("shares", [2, 3, 6])
def test_parts_of_a_batch_make_the_batch(shares):
    size = BATCH // shares
    parts = [next(patches().batches(7, 8, slice(i * size, (i + 1) * size))) for i in range(shares)]
    for whole, *found in zip(patches().batch(7), *parts, strict=True):
        np.testing.assert_array_equal(np.concatenate(found), whole)


def test_an_image_that_turns_unreadable_is_reported_once_and_replaced(capsys, tmp_path):
    """Uses real files; the second and the third image's files are truncated while they are open."""
    images = [np.full((40, 40, 3), 10 * i, np.uint8) for i in range(3)]
    names = [f"{i}.png" for i in range(3)]
    pairs = [(i, image[::SCALE, ::SCALE], image) for i, image in enumerate(images)]
    store = open_store(Source({"source": "test"}, names, names, lambda numbers: iter(pairs)), tmp_path)
    source = Patches(store, SCALE, PATCH, BATCH, 0)
    before = np.concatenate([source.batch(step)[1] for step in range(20)])
    assert set(before[:, 0, 0, 0]) == {0, 10, 20}
    files = {path.read_bytes()[0] // 10: path for path in tmp_path.rglob("*.u8")}
    os.truncate(files[1], 100)
    os.truncate(files[2], 0)
    after = np.concatenate([source.batch(step)[1] for step in range(20)])
    assert (after == 0).all()
    reported = capsys.readouterr().err.splitlines()
    assert len(reported) == 2
    for line, i in zip(sorted(reported), (1, 2), strict=True):
        assert (
            line
            == f"image {i}.png: its file in the cache is cut short ({files[i]}); the next image replaces it from now on"
        )
    os.truncate(files[0], 0)
    with pytest.raises(UserError, match="no training image can be read any more"):
        source.batch(0)


@pytest.mark.parametrize("stop", [5, 40])  # fewer and more than are cut ahead
def test_batches_come_in_the_order_of_their_steps(stop):
    found = list(patches().batches(3, stop))
    assert len(found) == stop - 3
    for step, (lr, hr) in enumerate(found, start=3):
        np.testing.assert_array_equal(lr, patches().batch(step)[0])
        np.testing.assert_array_equal(hr, patches().batch(step)[1])


def test_stopping_early_leaves_no_thread():
    before = threading.active_count()
    batches = patches().batches(0, 1000)
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_images_smaller_than_a_patch_are_left_out():
    assert patches().left_out == ["3"]
    with pytest.raises(UserError, match="the largest patch that fits is 32"):
        Patches(CodedStore(), SCALE, 36, BATCH, 0)


def test_the_largest_patch_of_the_message_fits():
    Patches(CodedStore(), SCALE, 32, BATCH, 0).batch(0)
