"""Tiles against the whole image: the same pixels, no seams, one compiled function, bounded memory."""

import contextlib
import dataclasses
import functools
import math
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import skimage.data

import esrgan_tf
from esrgan_tf import load_model
from esrgan_tf.errors import UserError
from esrgan_tf.inference.network_facts import network_facts
from esrgan_tf.inference.tiles import Upscaler, quantise
from esrgan_tf.models import (
    GENERATORS,
    compact_generator,
    compact_resnet_generator,
    rcan_generator,
    rrdb_generator,
    srresnet_generator,
)
from esrgan_tf.models.compact.options import Compact
from esrgan_tf.models.compact_resnet.options import CompactResNet
from esrgan_tf.models.rrdb.options import RRDB
from tests import graph_facts
from tests.conftest import REPOSITORY, needs_shared, randomise

upscale = functools.partial(esrgan_tf.upscale, precision="float32")  # on every processor
PHOTO = skimage.data.astronaut()[60:263, 130:331]  # 203x201


def whole(model, image):
    """The network's output for the whole image at once, 8-bit."""
    return quantise(np.asarray(model(image[np.newaxis].astype(np.float32) / 255))[0], np.uint8)


def differences(a, b):
    return np.abs(a.astype(np.int16) - b)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean(differences(a, b).astype(np.float64) ** 2))


def step(image, at, axis):
    """The mean absolute difference between pixels `at - 1` and `at` along an axis."""
    image = np.moveaxis(image.astype(np.float64), axis, 0)
    return np.abs(image[at] - image[at - 1]).mean()


@pytest.fixture(scope="module", params=[1, 2, 4])
def compact(request):
    """A network with a receptive field of five pixels, and its output for all of `PHOTO`."""
    model = randomise(compact_generator(request.param, filters=6, blocks=3))
    return model, whole(model, PHOTO)


@pytest.mark.parametrize("tile", [48, 64, 100, 300])
def test_with_the_receptive_field_as_overlap_tiles_are_the_whole(compact, tile):
    model, expected = compact
    assert differences(upscale(PHOTO, model, tile=tile, overlap=5), expected).max() <= 1


@pytest.mark.parametrize(("scale", "unshuffle"), [(1, 4), (2, 2), (4, 2)])
def test_packed_pixels_stay_together(scale, unshuffle):
    """An error would have the size of the whole range, because other pixels are packed."""
    model = rrdb_generator(scale, filters=6, blocks=1, growth=4, unshuffle=unshuffle)
    overlap = 22 * unshuffle  # conv_first, 15 of the block, conv_body, and the last four at most
    photo = PHOTO[: 2 * overlap + 27, : 2 * overlap + 25]  # 2x2 tiles
    assert differences(upscale(photo, model, tile=2 * overlap + 16, overlap=overlap), whole(model, photo)).max() <= 1


@pytest.mark.parametrize("unshuffle", [4, 8])
def test_rcan_packs_the_same_pixels_in_every_tile(unshuffle):
    """The attention is constant here, so the receptive field is that of the convolutions."""
    model = randomise(rcan_generator(1, filters=4, groups=1, blocks=1, reduction=2, unshuffle=unshuffle))
    for layer in model.layers:
        if layer.name.endswith("_excite"):
            layer.kernel.assign(0 * layer.kernel)
    overlap = 8 * unshuffle
    photo = PHOTO[: 2 * overlap + 55, : 2 * overlap + 51]
    # The tile is no multiple of the packing factor.
    assert differences(upscale(photo, model, tile=2 * overlap + 36, overlap=overlap), whole(model, photo)).max() <= 1


NETWORKS = {
    "compact": lambda: compact_generator(2, filters=6, blocks=3),
    "compact x3": lambda: compact_generator(3, filters=6, blocks=1),
    "compact_resnet": lambda: compact_resnet_generator(4, filters=6, blocks=2),
    "SRResNet": lambda: srresnet_generator(4, filters=6, blocks=2),
    "MSRResNet": lambda: srresnet_generator(3, filters=6, blocks=2, batch_norm=False),
    "RRDB": lambda: rrdb_generator(4, filters=6, blocks=1, growth=4),
    "RRDB x2": lambda: rrdb_generator(2, filters=6, blocks=1, growth=4),
    "RRDB x1": lambda: rrdb_generator(1, filters=6, blocks=1, growth=4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_receptive_field_is_what_a_changed_pixel_changes(name):
    """Changes one pixel of one aligned 4x4 square after another, by more than rounding removes."""
    model = NETWORKS[name]()
    initial, changed = model.get_weights(), 0
    height = 240 if name in ("RRDB x1", "RRDB x2") else 80  # these pack pixels, and have a larger receptive field
    middle = height // 2
    for seed in range(3):
        model.set_weights(initial)
        randomise(model, seed, 0.2)
        image = np.zeros((16, height, 12, 3), np.float32)
        for i in range(16):
            image[i, middle + i // 4, 4 + i % 4] = 1e9
        before, after = (np.asarray(model(x)) for x in (np.zeros_like(image), image))
        scale = after.shape[1] // height
        rows = np.flatnonzero((after != before).any(axis=(0, 2, 3))) // scale
        changed = max(changed, middle - rows[0], rows[-1] - middle - 3)
    assert 3 <= changed < middle - 4
    assert changed == math.ceil(network_facts(model).receptive_field)


def test_receptive_fields_of_the_usual_networks():
    assert Compact(blocks=32).receptive_field == 34
    assert CompactResNet().receptive_field == 21
    assert math.ceil(RRDB(blocks=4).receptive_field) == 64


SMALL = {"filters": 5, "growth": 3, "blocks": 2, "groups": 2, "reduction": 2}
VARIANTS = {
    "compact_resnet": ({"tail": 7}, {"tail": 2}),
    "srresnet": ({"batch_norm": False},),
    "rcan": ({"unshuffle": 2},),
}


def every_size(family):
    for scale in (1, 2, 3, 4, 8, 16):
        for variant in ({}, *VARIANTS.get(family.name, ())):
            keys = {field.name for field in dataclasses.fields(family.options)}
            chosen = {key: value for key, value in SMALL.items() if key in keys}
            options = family.options(**chosen, scale=scale, **variant)
            with contextlib.suppress(ValueError):
                yield options, family.build(**options.arguments)


@pytest.mark.parametrize("name", GENERATORS)
def test_facts_are_those_of_the_graph(name):
    compared = 0
    for options, model in every_size(GENERATORS[name]):
        assert math.ceil(options.receptive_field - 1e-9) == graph_facts.receptive_field(model, 1000), options
        assert options.has_global_pooling == graph_facts.has_global_pooling(model), options
        assert options.peak_channels == pytest.approx(graph_facts.peak_channels(model)), options
        packing = round(1 / math.sqrt(min(graph_facts.pixel_densities(model).values())))
        assert options.size_multiple == packing, options
        assert options.takes_noise_level == (name == "dpsr")
        assert options.image_channels == 3
        compared += 1
    assert compared >= 3


def test_an_unknown_network_has_cautious_facts():
    image = keras.Input((None, None, 4))
    model = keras.Model(image, keras.layers.Conv2D(3, 5, padding="same")(image))
    facts = network_facts(model)
    assert facts.receptive_field == math.inf
    assert facts.takes_noise_level
    assert facts.image_channels == 3
    assert facts.peak_channels >= 4


def test_default_tiles_equal_the_whole_for_receptive_fields_up_to_48_pixels():
    """The network shifts the image: each pixel depends only on the pixel 42 rows and columns before."""
    model = compact_generator(1, filters=3, blocks=40)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = np.zeros((3, 3, 3, 3), np.float32)
            kernel[0, 0] = np.eye(3)
            layer.set_weights([kernel, np.zeros(3)])
    expected = whole(model, PHOTO // 2)
    np.testing.assert_array_equal(expected[42:, 42:], PHOTO[42:, 42:] // 2 + PHOTO[:-42, :-42] // 2)
    np.testing.assert_array_equal(upscale(PHOTO // 2, model, tile=176), expected)
    assert differences(upscale(PHOTO // 2, model, tile=176, overlap=24), expected).max() > 50


def test_smaller_tiles_after_memory_ran_out_have_smaller_overlaps():
    model = randomise(compact_generator(2, filters=4, blocks=40))
    upscaler = Upscaler(model, 256)
    runner = upscaler._runner

    def exhausted(batch, full_precision):
        if max(batch.shape[1:3]) > 64:
            raise MemoryError
        return runner(batch, full_precision)

    upscaler._runner = Replaced(runner, exhausted)
    assert upscaler(PHOTO[:140, :136]).shape == (280, 272, 3)
    assert upscaler.tile == 64


@pytest.fixture(scope="module")
def lively_rrdb():
    """An RRDB network with the long dependencies of a trained network, and its output for all of `PHOTO`.

    The output fills the range.
    """
    keras.utils.set_random_seed(0)
    model, rng = rrdb_generator(filters=16, blocks=4, growth=8), np.random.default_rng(0)
    for weight in model.weights:
        fan_in = np.prod(weight.shape[:-1])
        weight.assign(rng.normal(0, (2 / fan_in) ** 0.5, weight.shape) if len(weight.shape) == 4 else weight)
    output = np.asarray(model(PHOTO[np.newaxis].astype(np.float32) / 255))
    last = model.get_layer("conv_last")
    kernel, _ = last.get_weights()
    last.set_weights([kernel / (5 * output.std()), np.full(3, 0.5) - output.mean(axis=(0, 1, 2)) / (5 * output.std())])
    return model, whole(model, PHOTO)


@pytest.mark.shared
def test_published_network_in_tiles():
    """The compact network with 32 blocks has a receptive field of 34 pixels on every side."""
    model = load_model(needs_shared("realesrgan_compact", "realesr-general-x4v3.safetensors"))
    photo = PHOTO[:160, :156]
    expected = whole(model, photo)
    exact = differences(upscale(photo, model, tile=104, overlap=34), expected)  # 3x3 tiles
    assert exact.max() <= 1
    assert (exact > 0).mean() < 1e-4
    by_default = differences(upscale(photo, model, tile=152), expected)  # 2x2 tiles
    assert by_default.max() <= 1
    assert (by_default > 0).mean() < 1e-4
    # No seam is visible with less overlap, which is a quarter of a small tile.
    upscaler = Upscaler(model, 100)
    tiled = upscaler(photo)
    assert psnr(tiled, expected) >= 50
    assert_no_seams(upscaler, photo, tiled, expected)


def test_rrdb_in_tiles_of_the_default_overlap(lively_rrdb):
    model, expected = lively_rrdb
    upscaler = Upscaler(model, 100)
    tiled = upscaler(PHOTO)
    assert 50 <= psnr(tiled, expected) < np.inf
    assert_no_seams(upscaler, PHOTO, tiled, expected)


class Replaced:
    """A runner with another computation."""

    def __init__(self, runner, compute):
        self.__dict__ |= {"runner": runner, "compute": compute}

    def __getattr__(self, name):
        return getattr(self.runner, name)

    def __call__(self, images, full_precision=False):
        return self.compute(images, full_precision)


def assert_no_seams(upscaler, photo, tiled, expected):
    """Compares the mean step across each tile border with the whole image, to a twentieth of a grey level."""
    scale = upscaler.scale
    repeated = lambda batch, _: batch.repeat(scale, axis=1).repeat(scale, axis=2)  # noqa: E731  (borders alone matter)
    upscaler._runner = Replaced(upscaler._runner, repeated)
    places = [(row, column) for row, column, _ in upscaler.tiles(photo)]
    for axis in (0, 1):
        seams = {place[axis] for place in places} - {0}
        assert len(seams) >= 2
        for at in seams:
            assert step(tiled, at, axis) - step(expected, at, axis) < 0.05


def test_a_seam_is_detected(lively_rrdb):
    """The measures of the tests above detect tiles without any overlap."""
    model, expected = lively_rrdb
    upscaler = Upscaler(model, 52, 0)
    tiled = upscaler(PHOTO)
    assert psnr(tiled, expected) < 50
    with pytest.raises(AssertionError):
        assert_no_seams(upscaler, PHOTO, tiled, expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (300, 1), (5, 3), (48, 48), (49, 47), (97, 210)])
def test_every_size_comes_out_complete(shape):
    model = compact_generator(2, filters=4, blocks=1)
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert differences(upscale(image, model, tile=48, overlap=4), whole(model, image)).max() <= 1


def test_one_compiled_function_serves_every_tile_and_image():
    model = compact_generator(2, filters=4, blocks=1)
    upscaler = Upscaler(model, tile=48, overlap=4)
    for shape in ((100, 130, 3), (47, 61, 3), (300, 20, 3)):
        upscaler(np.zeros(shape, np.uint8))
    assert upscaler._runner._float32.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("batch", [2, 3, 100])
def test_batches_of_tiles_are_the_same(batch):
    model = randomise(compact_generator(2, filters=4, blocks=1))
    one, many = Upscaler(model, 48, 8), Upscaler(model, 48, 8, batch=batch)
    assert differences(one(PHOTO), many(PHOTO)).max() <= 1


def test_no_tile_is_larger_than_asked():
    sizes = []
    upscaler = Upscaler(compact_generator(2, filters=4, blocks=1), tile=50, overlap=7)
    runner = upscaler._runner
    upscaler._runner = Replaced(runner, lambda batch, full: sizes.append(batch.shape[1:3]) or runner(batch, full))
    upscaler(PHOTO)
    assert max(max(size) for size in sizes) <= 50


def test_sixteen_bits_keep_their_depth():
    model = compact_generator(1, filters=4, blocks=0)
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))  # the remaining network is the nearest neighbour: the image itself
    image = np.random.default_rng(0).integers(0, 65536, (60, 70, 3), dtype=np.uint16)
    result = upscale(image, model, tile=32, overlap=4)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, image)


def test_ensemble_is_the_average_of_eight():
    model = randomise(compact_generator(2, filters=4, blocks=1))
    image = PHOTO[:40, :50].astype(np.float32) / 255
    total = np.zeros((80, 100, 3))
    for turns in range(4):
        for flipped in (False, True):
            turned = np.rot90(image, turns)
            turned = np.fliplr(turned) if flipped else turned
            result = np.asarray(model(turned[np.newaxis].copy()))[0]
            result = np.fliplr(result) if flipped else result
            total += np.rot90(result, -turns)
    expected = quantise(total / 8, np.uint8)
    assert differences(upscale(PHOTO[:40, :50], model, ensemble=True), expected).max() <= 1


def test_default_tile_follows_memory():
    """Last layers at 16 times the pixels lead to smaller tiles than last layers at the input's size."""
    compact, rrdb = Upscaler(compact_generator(blocks=1)).tile, Upscaler(rrdb_generator(blocks=1)).tile
    assert 64 < rrdb < compact <= 448
    # x2 packs its input: its last layers have only 4 times the pixels, and a tile twice the side costs the same.
    assert Upscaler(rrdb_generator(2, blocks=1)).tile == pytest.approx(min(448, 2 * rrdb), abs=8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tile": 60, "overlap": 24}, "tile 60 is too small for an overlap of 24 on each side; the least is 64"),
        ({"tile": 12}, "tile 12 is too small for an overlap of"),
        ({"overlap": -1}, "overlap -1: the least is 0"),
        ({"batch": 0}, "batch 0: the least is 1"),
    ],
)
def test_impossible_tiles_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Upscaler(compact_generator(2, filters=4, blocks=1), **arguments)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "expected uint8 or uint16"),
        (np.zeros((4, 4), np.uint8), "expected uint8 or uint16"),
        (np.zeros((4, 4, 4), np.uint8), "the image has 4 channels and the generator takes 3"),
    ],
)
def test_impossible_images_are_refused(image, message):
    with pytest.raises(UserError, match=message):
        upscale(image, compact_generator(2, filters=4, blocks=1))


# The network creates a large tensor and downscales it again, without convolutions. On a CPU, libraries request the
# scratch memory of convolutions, and end the process if none is left.
EXHAUSTING = """
import resource
import keras
import numpy as np
from esrgan_tf.inference.tiles import Upscaler
image = keras.Input((None, None, 3))
x = keras.layers.UpSampling2D(16, interpolation="nearest")(image)
model = keras.Model(image, keras.layers.MaxPooling2D(16)(x))
pixels = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
upscaler = Upscaler(model, 600)
upscaler(pixels[:64, :64])
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 900 * 2**20, resource.RLIM_INFINITY))  # the first tile takes 1,055
result = upscaler(pixels)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert upscaler.tile < 600
np.testing.assert_array_equal(result, pixels)
"""


@pytest.fixture(scope="module", autouse=True)
def exhausting():
    """Runs next to the other tests, because TensorFlow waits ten seconds for memory before it reports an error."""
    command = [sys.executable, "-c", EXHAUSTING]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def test_exhausted_memory_halves_the_tile(exhausting):
    """Memory is exhausted in reality: the process gets less address space than its first tile needs."""
    _, err = exhausting.communicate(timeout=500)
    assert exhausting.returncode == 0, err
    assert "memory ran out; continuing with one tile of 300 pixels at a time" in err


def test_threads_that_run_out_of_memory_together_shrink_the_tiles_once():
    model = randomise(compact_generator(2, filters=4, blocks=1))
    upscaler, together = Upscaler(model, 64, 4, batch=4, notice=lambda line: None), threading.Barrier(2, timeout=60)
    runner = upscaler._runner

    def exhausted(batch, full_precision):
        if batch.shape[0] > 1:
            together.wait()  # both have begun their rows
            raise MemoryError
        return runner(batch, full_precision)

    upscaler._runner = Replaced(runner, exhausted)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(upscaler, [PHOTO, PHOTO]))
    assert upscaler.tile == 64
    for result in results:
        assert differences(result, whole(model, PHOTO)).max() <= 1


def test_memory_that_is_never_enough_is_reported():
    model = compact_generator(2, filters=4, blocks=1)
    upscaler = Upscaler(model, 48, 8)
    runner = upscaler._runner

    def exhausted(batch, full_precision):
        raise MemoryError

    upscaler._runner = Replaced(runner, exhausted)
    with pytest.raises(UserError, match="memory ran out even for tiles of 32 pixels"):
        upscaler(PHOTO)


@pytest.mark.parametrize(
    ("build", "most"),
    [
        (lambda: rrdb_generator(4, filters=8, blocks=1, growth=4), 16 * 8),
        (lambda: rrdb_generator(2, filters=8, blocks=1, growth=4), 4 * 8),  # at half the rows and columns, 4 times each
        (lambda: srresnet_generator(4, filters=8, blocks=1), 4 * 4 * 8),  # before the second pixel shuffle, and after
        (lambda: srresnet_generator(3, filters=8, blocks=1, batch_norm=False), 9 * 8),
        (lambda: compact_generator(4, filters=8, blocks=1), 16 * 3),  # the pixel shuffle's result; no convolution
        (lambda: compact_resnet_generator(8, filters=8, blocks=1), 64 * 3),
    ],
)
def test_the_largest_activations_are_counted(build, most):
    """Counts `[H, W, C]` of every tensor that a network of the real sizes computes for 8x8 pixels."""
    model = build()
    images = [
        tensor for operation in model.operations for tensor in listed_outputs(operation) if len(tensor.shape) == 4
    ]
    values = keras.Model(model.input, images)(np.zeros((1, 8, 8, 3), np.float32))
    assert max(value.shape[1] * value.shape[2] * value.shape[3] for value in values) == 64 * most
    assert network_facts(model).peak_channels == pytest.approx(most)


def listed_outputs(operation):
    return operation.output if isinstance(operation.output, list) else [operation.output]
