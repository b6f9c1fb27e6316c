"""Compares DPSR's loop with NumPy and SciPy: its closed-form step, its boundaries and its kernels."""

import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from PIL import Image

from esrgan_tf import deblur_upscale
from esrgan_tf.errors import UserError
from esrgan_tf.imaging.resampling import bicubic
from esrgan_tf.inference.blur_kernels import checked_kernel, read_kernel
from esrgan_tf.inference.deblurring import (
    ITERATIONS,
    DeblurringUpscaler,
    closed_form,
    extend_smoothly,
    transfer_function,
)
from esrgan_tf.models import compact_generator, dpsr_generator
from tests.conftest import random_image, randomise

KERNEL = np.array([[0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 5]], np.float64) / 8  # no flip or turn is the same


def convolved(image, kernel):
    """Sums the blurred points; borders are periodic. `[H, W]`."""
    result = np.zeros_like(image)
    for (row, column), value in np.ndenumerate(kernel):
        offset = row - kernel.shape[0] // 2, column - kernel.shape[1] // 2
        result += value * np.roll(image, offset, axis=(0, 1))
    return result


def solved(y, kernel, z, rho):
    """`closed_form` of a single plane."""
    transfer = transfer_function(kernel, *y.shape)
    planes = (tf.constant(plane[None, None], tf.float32) for plane in (y, z))
    y, z = planes
    return closed_form(y, transfer, z, tf.constant(rho, tf.float32)).numpy()[0, 0]


def test_the_transfer_function_is_of_a_convolution():
    image = np.random.default_rng(0).random((8, 9))
    product = np.fft.ifft2(np.fft.fft2(image) * transfer_function(KERNEL, 8, 9).numpy()).real
    np.testing.assert_allclose(product, convolved(image, KERNEL), atol=1e-6)
    odd = KERNEL[:, :3]
    with_scipy = scipy.ndimage.convolve(image, odd, mode="wrap")
    product = np.fft.ifft2(np.fft.fft2(image) * transfer_function(odd, 8, 9).numpy()).real
    np.testing.assert_allclose(product, with_scipy, atol=1e-6)


@pytest.mark.parametrize("rho", [1e-3, 0.3, 10.0])
def test_the_closed_form_is_the_least_squares_solution(rho):
    """Computes the solution as an explicit matrix of 64 by 64 numbers."""
    rng = np.random.default_rng(1)
    y, z = rng.random((2, 8, 8))
    columns = [convolved(point.reshape(8, 8), KERNEL).ravel() for point in np.eye(64)]
    matrix = np.concatenate([np.stack(columns, axis=1), np.sqrt(rho) * np.eye(64)])
    target = np.concatenate([y.ravel(), np.sqrt(rho) * z.ravel()])
    expected = np.linalg.lstsq(matrix, target)[0].reshape(8, 8)
    np.testing.assert_allclose(solved(y, KERNEL, z, rho), expected, atol=1e-5)


def test_the_closed_form_is_the_least_of_what_it_minimises():
    rng = np.random.default_rng(2)
    y, z, rho = rng.random((12, 10)), rng.random((12, 10)), 0.05

    def cost(image):
        return ((convolved(image, KERNEL) - y) ** 2).sum() + rho * ((image - z) ** 2).sum()

    best = solved(y, KERNEL, z, rho).astype(np.float64)
    assert all(cost(best) < cost(best + 0.01 * rng.standard_normal(y.shape)) for _ in range(20))


def test_a_sharp_image_comes_back_from_its_blur_the_right_way_round():
    image = np.zeros((16, 18))
    image[4:9, 5:12] = 1
    image[6, 7] = 0.2
    blurred = convolved(image, KERNEL)
    flat = np.full_like(image, image.mean())
    errors = [np.abs(solved(blurred, kernel, flat, 1e-4) - image).mean() for kernel in (KERNEL, KERNEL[::-1, ::-1])]
    assert errors[0] < 0.01
    assert errors[1] > 0.1  # the error of a correlation


def plain_upscaler(scale):
    """Repeats every pixel `scale` times and ignores the noise level: a network that NumPy can compute."""
    image = keras.Input((None, None, 4))
    x = keras.layers.Conv2D(3, 1, use_bias=False, name="rgb")(image)
    x = keras.layers.UpSampling2D(scale, interpolation="nearest")(x)
    model = keras.Model(image, x)
    model.get_layer("rgb").set_weights([np.eye(4, 3, dtype=np.float32)[None, None]])
    return model


def in_numpy(image, kernel, noise, scale):
    """The whole loop in float64; `image` is `[H, W, 3]` with periodic borders."""
    height, width = image.shape[:2]
    laid = np.zeros((height, width))
    for (row, column), value in np.ndenumerate(kernel):
        laid[(row - kernel.shape[0] // 2) % height, (column - kernel.shape[1] // 2) % width] += value
    transfer = np.fft.fft2(laid)[..., None]
    weights = keys_cubic(height * scale, height), keys_cubic(width * scale, width)
    z = image
    for level in np.geomspace(49, 2.55, ITERATIONS):
        rho = max(1.0, noise) ** 2 / level**2 / 3
        numerator = transfer.conj() * np.fft.fft2(image, axes=(0, 1)) + rho * np.fft.fft2(z, axes=(0, 1))
        z = np.fft.ifft2(numerator / (np.abs(transfer) ** 2 + rho), axes=(0, 1)).real
        x = np.clip(z.repeat(scale, axis=0).repeat(scale, axis=1), 0, 1)
        z = np.einsum("ij,jkc,lk->ilc", weights[0], x, weights[1])
    return x


def keys_cubic(before, after):
    """The matrix `[after, before]` of antialiased bicubic downscaling (Keys' cubic of -1/2, stretched)."""
    scale = before / after
    centres = (np.arange(after)[:, None] + 0.5) * scale - 0.5
    t = np.abs(np.arange(before)[None] - centres) / scale
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    weights = np.where(t <= 1, near, np.where(t < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)


def test_keys_cubic_is_pillows():
    image = np.random.default_rng(3).integers(0, 256, (24, 36, 3), dtype=np.uint8)
    ours = np.einsum("ij,jkc,lk->ilc", keys_cubic(24, 6), image.astype(float), keys_cubic(36, 9))
    np.testing.assert_allclose(np.clip(ours, 0, 255), bicubic(image, 6, 9), atol=1.01)


@pytest.mark.parametrize(("scale", "noise"), [(2, 2.55), (3, 0.0), (4, 10.0)])
def test_the_loop_is_numpys(scale, noise, monkeypatch):
    """Replaces the continuation of the image, so that its borders are periodic."""
    monkeypatch.setattr("esrgan_tf.inference.deblurring.next_fast_len", lambda least, real: {20: 18, 28: 25}[least])
    monkeypatch.setattr("esrgan_tf.inference.deblurring.extend_smoothly", lambda image, height, width: image)
    image = np.random.default_rng(4).random((18, 25, 3)).astype(np.float32)
    upscaler = DeblurringUpscaler(plain_upscaler(scale), KERNEL, noise)
    result = upscaler._upscale(image[None], True, lambda part: None)[0]
    np.testing.assert_allclose(result, in_numpy(image.astype(np.float64), KERNEL, noise, scale), atol=1e-5)


def test_the_noise_level_decreases_per_step():
    levels = []

    class Listening(keras.layers.Layer):
        def call(self, image):
            tf.numpy_function(lambda level: levels.append(float(level)), [image[0, 0, 0, 3]], [])
            return image[..., :3]

    image = keras.Input((None, None, 4))
    model = keras.Model(image, keras.layers.UpSampling2D(2, interpolation="nearest")(Listening()(image)))
    upscaler = DeblurringUpscaler(model, KERNEL, 2.55, tile=64, overlap=8)
    del levels[:]
    upscaler(np.zeros((8, 8, 3), np.uint8))
    np.testing.assert_allclose(255 * np.array(levels), np.geomspace(49, 2.55, 15), rtol=1e-5)


def test_borders_go_round_smoothly():
    image = random_image(20, 31)[0]
    extended = extend_smoothly(image, 32, 48)
    assert extended.shape == (32, 48, 3)
    np.testing.assert_array_equal(extended[:20, :31], image)
    around = sum(np.roll(extended.astype(np.float64), by, axis) for by in (-1, 1) for axis in (0, 1))
    laplacian = np.abs(around - 4 * extended)
    for block in (laplacian[20:, 1:30], laplacian[1:19, 31:], laplacian[20:, 31:]):
        assert block.max() < 1e-5  # each pixel is the mean of its neighbours, also across the border
    assert np.abs(np.diff(extended[20:, 0], axis=0, n=2)).max() < 1e-5  # a straight line along an edge
    assert extended.min() >= image.min()
    assert extended.max() <= image.max()


def test_tiles_are_nearly_the_whole():
    """The solution depends on the whole image; two kernels of surroundings leave a quarter of the difference."""
    photo = np.random.default_rng(5).integers(0, 256, (90, 110, 3), dtype=np.uint8)
    photo = scipy.ndimage.gaussian_filter(photo, (2, 2, 0))
    model = plain_upscaler(2)
    whole = DeblurringUpscaler(model, KERNEL, 5.0, tile=256)(photo).astype(int)
    differences = []
    for overlap in (0, 2 * max(KERNEL.shape)):
        upscaler = DeblurringUpscaler(model, KERNEL, 5.0, tile=64, overlap=overlap)
        differences.append(np.abs(whole - upscaler(photo)).mean())
    assert differences[0] > 0.3  # of 255
    assert differences[1] < differences[0] / 3


def test_progress_counts_iterations():
    upscaler = DeblurringUpscaler(plain_upscaler(2), KERNEL, 5.0, tile=256)
    reported = []
    list(upscaler.tiles(np.zeros((20, 30, 3), np.uint8), reported.append))
    assert reported[:15] == [600 * i // 15 for i in range(1, 16)]
    assert reported[-1] == 600


def test_gray_stays_gray_and_pillow_and_paths_are_taken(tmp_path):
    model = randomise(dpsr_generator(2, 4, 1))
    pixels = np.random.default_rng(6).integers(0, 256, (12, 14, 1), dtype=np.uint8)
    result = deblur_upscale(pixels, model, KERNEL, 2.55)
    assert (result.shape, result.dtype) == ((24, 28, 1), np.uint8)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "photo.png")
    np.save(tmp_path / "kernel.npy", KERNEL)
    model.save(tmp_path / "model.keras")
    again = deblur_upscale(tmp_path / "photo.png", tmp_path / "model.keras", tmp_path / "kernel.npy", 2.55)
    np.testing.assert_array_equal(np.asarray(again), result[..., 0])


def test_kernels_are_read_from_pictures_and_arrays(tmp_path):
    expected = checked_kernel(KERNEL)
    assert expected.dtype == np.float32
    np.testing.assert_allclose(expected.sum(), 1, rtol=1e-6)
    np.save(tmp_path / "kernel.npy", 40 * KERNEL)
    pixels = (8 * KERNEL * 40).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "gray.png")
    Image.fromarray(np.repeat(pixels[..., None], 3, axis=2)).save(tmp_path / "rgb.png")
    Image.fromarray((8 * KERNEL * 9000).astype(np.uint16)).save(tmp_path / "deep.png")
    for name in ("kernel.npy", "gray.png", "rgb.png", "deep.png"):
        np.testing.assert_allclose(read_kernel(tmp_path / name), expected, atol=1e-7)


MISTAKES = {
    "zeros": (np.zeros((3, 3)), "is all zeros; at least one number must be above 0"),
    "negative": (np.array([[1.0, -0.5]]), "has negative numbers, the least -0.5; blur only adds light"),
    "not finite": (np.array([[1.0, np.nan]]), "has numbers that are not finite"),
    "three axes": (np.ones((3, 3, 3)), "is float64 [3, 3, 3]; expected numbers [h, w], one per pixel"),
    "text": (np.array([["a"]]), "expected numbers [h, w], one per pixel"),
    "nothing": (np.ones((0, 3)), "expected numbers [h, w], one per pixel"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_invalid_kernels(mistake, tmp_path, run_main):
    kernel, message = MISTAKES[mistake]
    np.save(tmp_path / "kernel.npy", kernel)
    status, out, err = run_main("upscale", "photo.png", "--kernel", tmp_path / "kernel.npy")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_other_mistakes_of_a_deblurring(tmp_path, run_main):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).save(tmp_path / "colours.png")
    Image.fromarray(rng.integers(0, 256, (20, 3, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    np.save(tmp_path / "kernel.npy", KERNEL)
    (tmp_path / "broken.npy").write_bytes(b"no array")
    dpsr_generator(2, 4, 1).save(tmp_path / "dpsr.keras")
    compact_generator(2, 4, 1).save(tmp_path / "compact.keras")
    photo, kernel = ("upscale", tmp_path / "photo.png"), ("--kernel", tmp_path / "kernel.npy")
    dpsr, compact = (("--model", tmp_path / f"{name}.keras") for name in ("dpsr", "compact"))
    cases = (
        (
            ("--kernel", tmp_path / "colours.png", *dpsr),
            2,
            "its colours differ; a kernel is gray, one number per pixel",
        ),
        (("--kernel", tmp_path / "absent.png", *dpsr), 2, "expected a kernel, an image or a .npy array"),
        (("--kernel", tmp_path / "broken.npy", *dpsr), 2, "broken.npy is not a .npy array: "),
        ((*kernel, *dpsr, "--noise", "-1"), 2, "--noise -1: must be from 0 to 50, of 255"),
        (("--noise", "80", *dpsr), 2, "--noise 80: must be from 0 to 50, of 255"),
        (("--noise", "5", *compact), 2, "noise 5: the model takes no noise level; choose a noise-conditioned model"),
        ((*kernel, *compact), 2, "a kernel needs a noise-conditioned network, such as DPSR; the model takes 3"),
        ((*kernel, "--alpha", "0.5"), 2, "a kernel needs a noise-conditioned network, such as DPSR; the model takes 3"),
        ((*kernel, *dpsr, "--ensemble"), 2, "--kernel cannot be combined with --ensemble or --batch"),
        ((*kernel, *dpsr), 1, "photo.png: the kernel has 4x3 pixels and the image 3x20; it must be smaller"),
    )
    for arguments, expected, message in cases:
        status, _, err = run_main(*photo, *arguments)
        assert status == expected, err
        assert err.count("\n") == 1, err
        assert message in err
    with pytest.raises(UserError, match=r"noise 51: must be from 0 to 50"):
        DeblurringUpscaler(plain_upscaler(2), KERNEL, 51)


def test_the_command_deblurs(tmp_path, run_main):
    Image.fromarray(np.random.default_rng(7).integers(0, 256, (16, 20, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    np.save(tmp_path / "kernel.npy", KERNEL)
    randomise(dpsr_generator(2, 4, 1)).save(tmp_path / "dpsr.keras")
    flags = ("--model", tmp_path / "dpsr.keras", "--noise", "2.55")
    for name, more in (("plain.png", ()), ("solved.png", ("--kernel", tmp_path / "kernel.npy"))):
        status, out, err = run_main("upscale", tmp_path / "photo.png", *flags, *more, "--output", tmp_path / name)
        assert status == 0, err
        assert "DPSR's SRResNet+: scale 2, 4 filters, 1 blocks" in out
    plain, solved = (np.asarray(Image.open(tmp_path / name)) for name in ("plain.png", "solved.png"))
    assert plain.shape == solved.shape == (32, 40, 3)
    expected = deblur_upscale(tmp_path / "photo.png", tmp_path / "dpsr.keras", KERNEL, 2.55)
    np.testing.assert_array_equal(solved, np.asarray(expected))
    assert (plain != solved).any()
