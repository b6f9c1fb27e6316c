import numpy as np
import pytest
import skimage.data

from esrgan_tf.imaging.resampling import bicubic
from esrgan_tf.training.validation import validate
from tests.reference import measures

PHOTO = skimage.data.chelsea()[100:164, 100:180]
FLAT = np.full((64, 64, 3), 90, np.uint8)


class Store:
    """HR images, and LR images made from them."""

    def __init__(self, *images):
        self._images = images

    def __len__(self):
        return len(self._images)

    def hr(self, i):
        return self._images[i]

    def lr(self, i):
        return bicubic(self._images[i], *(side // 4 for side in self._images[i].shape[:2]))


def enlarge(image):
    return bicubic(image, 4 * image.shape[0], 4 * image.shape[1])


def test_means_are_of_all_images():
    store = Store(PHOTO, PHOTO[:, ::-1].copy(), PHOTO[:48])
    expected = [measures(store.hr(i), enlarge(store.lr(i)), 4) for i in range(3)]
    found = validate(enlarge, store, 4)
    assert found["psnr"] == pytest.approx(np.mean([e["psnr_y"] for e in expected]))
    assert found["ssim"] == pytest.approx(np.mean([e["ssim_y"] for e in expected]))


def test_an_exact_image_does_not_make_the_mean_infinite():
    alone, both = (validate(enlarge, Store(*images), 4) for images in ((PHOTO,), (FLAT, PHOTO)))
    assert both["psnr"] == alone["psnr"]
    assert both["ssim"] == pytest.approx((1 + alone["ssim"]) / 2)
    assert validate(enlarge, Store(FLAT), 4) == {"psnr": float("inf"), "ssim": 1.0}


def test_nothing_once_interrupted():
    assert validate(enlarge, Store(PHOTO), 4, lambda: "asked to") == {}
