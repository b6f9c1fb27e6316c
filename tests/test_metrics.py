import numpy as np
import pytest
import skimage.data
from PIL import Image
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from esrgan_tf.evaluation.metrics import psnr, ssim, to_uint8
from esrgan_tf.imaging.reading import read_rgb
from esrgan_tf.imaging.resampling import bicubic
from tests.conftest import needs_shared

HR = skimage.data.astronaut()[:200, :160]
SR = np.asarray(Image.fromarray(HR).resize((40, 50)).resize((160, 200)))


def luma(image):
    return rgb2ycbcr(image)[4:-4, 4:-4, 0]


def test_psnr_agrees_with_scikit_image():
    expected = peak_signal_noise_ratio(luma(HR), luma(SR), data_range=255)
    assert psnr(HR, SR, border=4) == pytest.approx(expected, abs=1e-6)


def test_ssim_agrees_with_scikit_image():
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    _, full = structural_similarity(luma(HR), luma(SR), full=True, **settings)
    # scikit-image pads; this package uses only positions where the 11x11 window fits, like the paper's program.
    assert ssim(HR, SR, border=4) == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-6)


def test_identical_images_are_perfect():
    assert psnr(HR, HR, border=4) == float("inf")
    assert ssim(HR, HR, border=4) == pytest.approx(1.0)


def test_floats_are_rounded_to_eight_bits_first():
    assert psnr(HR, SR / 255.0 + 0.001, border=4) == psnr(HR, SR, border=4)
    np.testing.assert_array_equal(to_uint8(np.array([-0.2, 0.5, 1.7])), [0, 128, 255])


def test_images_too_small_for_ssim_are_refused():
    with pytest.raises(ValueError, match="11x11"):
        ssim(HR[:18], SR[:18], border=4)


@pytest.mark.shared
@pytest.mark.parametrize(("name", "expected"), [("set5", 28.43), ("set14", 26.09), ("bsd100", 25.96)])
def test_bicubic_has_its_published_scores(name, expected):
    folder = needs_shared(name)
    scores = []
    for path in sorted((folder / "hr").iterdir()):
        hr, lr = read_rgb(path), read_rgb(folder / "lr_x4" / path.name)
        scores.append(psnr(hr, bicubic(lr, *hr.shape[:2]), border=4))
    assert np.mean(scores) == pytest.approx(expected, abs=0.005)
