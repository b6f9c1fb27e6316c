"""Steps, schedules, EMA, checkpoints, resuming, replicas: compared with NumPy and with one another."""

import csv
import io
import math
import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from esrgan_tf.config import Config, GanConfig, PhaseConfig
from esrgan_tf.data import Patches
from esrgan_tf.models import compact_generator, compact_resnet_generator
from esrgan_tf.runs.folder import checkpoint_steps
from esrgan_tf.training.gan_step import GanStep
from esrgan_tf.training.loop import run_phase
from esrgan_tf.training.losses import checkerboard_loss, relativistic_discriminator_loss
from esrgan_tf.training.monitor import Monitor, warn_of_duration
from esrgan_tf.training.optimizers import PhaseSchedule, optimizer
from esrgan_tf.training.stopping import StopRequest
from tests import reference
from tests.conftest import REPOSITORY
from tests.small_training import CONFIG, Store, make_phase, small_generator, train, with_runtime


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_schedule(schedule):
    config = PhaseConfig(
        steps=100, learning_rate=2e-4, schedule=schedule, warmup_steps=9, decay_steps=(30, 60), decay_rate=0.5
    )
    rates = [float(PhaseSchedule(config)(step)) for step in range(100)]
    for step, rate in enumerate(rates):
        warmup = min(1, (step + 1) / 10)
        decay = 0.5 ** ((step >= 30) + (step >= 60)) if schedule == "step" else (1 + math.cos(math.pi * step / 100)) / 2
        assert rate == pytest.approx(2e-4 * warmup * decay, rel=0, abs=1e-9)  # float32


def test_psnr_step_is_adam_on_the_pixel_loss(tmp_path):
    """Two steps against an explicit Adam, with TensorFlow's gradients of an explicit loss."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    before = make_phase("psnr", strategy).generator
    phase = train("psnr", tmp_path, strategy, steps=2)
    model = keras.models.clone_model(before)
    model.set_weights(before.get_weights())
    first = [np.zeros(w.shape) for w in model.get_weights()]
    second = [np.zeros(w.shape) for w in model.get_weights()]
    for t in (1, 2):
        lr, hr = (x / np.float32(255) for x in Patches(Store(), 4, 32, 4, 0).batch(t - 1))
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.abs(model(lr) - hr)) / hr.size
        weights = []
        for i, gradient in enumerate(tape.gradient(loss, model.trainable_variables)):
            first[i] = 0.9 * first[i] + 0.1 * gradient.numpy()
            second[i] = 0.99 * second[i] + 0.01 * gradient.numpy() ** 2
            # Kingma and Ba's second form (end of section 2), where epsilon is not corrected for bias.
            update = np.sqrt(1 - 0.99**t) / (1 - 0.9**t) * first[i] / (np.sqrt(second[i]) + 1e-8)
            weights.append(model.get_weights()[i] - 1e-2 * update)
        model.set_weights(weights)
    expected, found = (np.concatenate([w.ravel() for w in m.get_weights()]) for m in (model, phase.generator))
    # The tolerance is 1 % of the learning rate, except where Adam amplifies the rounding of small gradients.
    assert np.isclose(found, expected, rtol=0, atol=1e-4).mean() > 0.99
    assert np.abs(found - expected).max() < 1e-2


def test_adam_is_keras_own():
    """Five steps with random gradients of very different sizes."""
    ours, theirs = (compact_resnet_generator(4, filters=4, blocks=1) for _ in range(2))
    theirs.set_weights(ours.get_weights())
    config = PhaseConfig(learning_rate=1e-3, decay_steps=())
    adam = optimizer(config, ours)
    keras_adam = keras.optimizers.Adam(1e-3, config.beta_1, config.beta_2, epsilon=1e-8, name="adam")
    rng = np.random.default_rng(0)
    for _ in range(5):
        gradients = [10 ** rng.uniform(-6, 2) * rng.standard_normal(v.shape) for v in ours.trainable_variables]
        gradients = [tf.constant(g, tf.float32) for g in gradients]
        size = adam.step_size()
        for variable, gradient in zip(ours.trainable_variables, gradients, strict=True):
            adam.update(variable.value, gradient, size)
        adam.iterations.assign_add(1)
        keras_adam.apply(gradients, theirs.trainable_variables)
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
    slots = dict(zip([v.path for v in keras_adam.variables], keras_adam.variables, strict=True))
    assert len(adam.variables) == 1 + 2 * len(ours.trainable_variables)
    for a in adam.variables[1:]:
        b = np.asarray(slots[a.path])
        np.testing.assert_allclose(a, b, rtol=0, atol=3e-6 * np.abs(b).max(), err_msg=a.path)


def test_muon_makes_the_inner_kernels_updates_orthogonal():
    """Three steps with random gradients against the explicit update; another test covers Adam's variables."""
    network = compact_resnet_generator(2, filters=6, blocks=1)
    muon = optimizer(PhaseConfig(learning_rate=1e-2), network, "muon")
    variables = network.trainable_variables
    inner = [v.path for v in variables if len(v.shape) == 4][1:-1]
    assert inner == ["body_0_0/kernel", "body_0_2/kernel", "conv_body/kernel"]
    rng, momentum = np.random.default_rng(0), {path: 0.0 for path in inner}
    for step in range(3):
        before = {v.path: np.array(v) for v in variables}
        gradients = [rng.normal(size=v.shape).astype(np.float32) for v in variables]
        for variable, gradient in zip(variables, gradients, strict=True):
            muon.update_step(tf.constant(gradient), variable, tf.constant(1e-2))
        muon.iterations.assign_add(1)
        for variable, gradient in zip(variables, gradients, strict=True):
            update = (before[variable.path] - np.array(variable)) / 1e-2
            if variable.path not in inner:
                # Adam's first step is the gradient's sign.
                assert step > 0 or np.allclose(update, np.sign(gradient), atol=1e-2)
                continue
            momentum[variable.path] = 0.95 * momentum[variable.path] + gradient
            matrix = (gradient + 0.95 * momentum[variable.path]).reshape(-1, 6)
            x = matrix.T / np.linalg.norm(matrix)
            for _ in range(5):
                square = x @ x.T
                x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
            expected = 0.2 * np.sqrt(54) * x.T.reshape(variable.shape)
            np.testing.assert_allclose(update, expected, atol=2e-3)
            # The aim of Muon: all singular values are approximately equal.
            lengths = np.linalg.svd(update.reshape(-1, 6), compute_uv=False) / (0.2 * np.sqrt(54))
            assert lengths.min() > 0.5
            assert lengths.max() < 1.3


def test_moving_average_warms_up(tmp_path, monkeypatch):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    expected = make_phase("psnr", strategy).generator.get_weights()
    phase = make_phase("psnr", strategy, steps=3, ema_decay=0.15)
    weights = []
    record = Monitor.record

    def record_weights(self, *arguments):
        weights.append(phase.generator.get_weights())
        record(self, *arguments)

    monkeypatch.setattr(Monitor, "record", record_weights)
    run_phase(phase, Patches(Store(), 4, 32, 4, 0), None, Store(), tmp_path, CONFIG, strategy, StopRequest())
    assert len(weights) == 3
    for t, now in enumerate(weights):
        decay = min(0.15, (1 + t) / (10 + t))  # 0.1, then 0.15
        expected = [decay * a + (1 - decay) * w for a, w in zip(expected, now, strict=True)]
    for a, b in zip(phase.average.get_weights(), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_checkerboard_term_is_weighed_and_reported():
    """Twice the weight adds the same gradient once more; a weight of 0 has no column."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    lr, hr = (tf.constant(x / np.float32(255)) for x in Patches(Store(), 4, 32, 4, 0).batch(0))
    gradients = {}
    for weight in (0.0, 1.0, 2.0):
        step = make_phase("gan", strategy, checkerboard_weight=weight, adversarial_weight=0.0).step
        losses, both = step(lr, hr, tf.ones(()))
        assert tuple(losses) == step.losses
        assert ("checkerboard" in losses) == (weight > 0)
        gradients[weight] = np.concatenate([np.ravel(g) for g in both["generator"]])
    assert float(losses["checkerboard"]) == pytest.approx(float(checkerboard_loss(hr, step.generator(lr), 4)), rel=1e-5)
    added = gradients[1.0] - gradients[0.0]
    assert np.abs(added).max() > 1e-4
    np.testing.assert_allclose(gradients[2.0] - gradients[0.0], 2 * added, rtol=1e-3, atol=1e-6)


def test_real_and_generated_images_have_the_same_random_shift():
    """The discriminator uses the first pixel only; the value of this pixel identifies its position in the image."""
    size, shift = 16, 7
    image = keras.Input((size, size, 3))
    corner = keras.layers.Cropping2D(((0, size - 1), (0, size - 1)))(image)
    discriminator = keras.Model(image, keras.layers.Dense(1, kernel_initializer="ones", use_bias=False)(corner))
    lr = keras.Input((None, None, 3))
    generator = keras.Model(lr, keras.layers.UpSampling2D(4)(keras.layers.Dense(3)(lr)))
    config = GanConfig(random_shift=shift, adversarial_loss="plain", perceptual_weight=0)
    step = GanStep(generator, discriminator, None, config)
    hr = np.arange(size * size, dtype=np.float32).reshape(1, size, size, 1).repeat(3, axis=3) / 3
    small = np.random.default_rng(0).random((1, 4, 4, 3), dtype=np.float32)
    fake = np.sum(generator(small), axis=3)[0]
    seen = []
    compiled = tf.function(step.__call__, autograph=False)
    for iteration in range(100):
        step.trained["generator"][1].iterations.assign(iteration % 80)
        losses, _ = compiled(tf.constant(small), tf.constant(hr), tf.ones(()))
        y, x = divmod(round(float(losses["logit_real"])), size)
        assert float(losses["logit_fake"]) == pytest.approx(fake[y, x], abs=1e-6)
        seen.append((-y % size, -x % size))
    assert {y for y, _ in seen} == {x for _, x in seen} == set(range(shift + 1))
    assert len(set(seen)) > 30  # rows and columns are drawn independently
    assert seen[80:] == seen[:20]  # a resumed run draws them again


def test_discriminator_learns_from_the_generator_before_its_update(tmp_path, eagerly):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    before = make_phase("gan", strategy)
    lr, hr = (x / np.float32(255) for x in Patches(Store(), 4, 32, 4, 0).batch(0))
    discriminator = before.step.discriminator
    with tf.GradientTape() as tape:
        logits = discriminator(hr, training=True), discriminator(before.generator(lr), training=True)
        loss = relativistic_discriminator_loss(*logits)
    gradients = tape.gradient(loss, discriminator.trainable_variables)
    # Adam's first step is the learning rate times the sign of the gradient.
    expected = [v - 1e-3 * np.sign(g) for v, g in zip(discriminator.trainable_variables, gradients, strict=True)]
    phase = train("gan", tmp_path, strategy, steps=1)
    after = phase.step.discriminator.trainable_variables
    clear = [np.abs(g) > 1e-5 for g in gradients]  # rounding cannot change the sign
    assert sum(c.sum() for c in clear) > 1000
    for a, b, where in zip(after, expected, clear, strict=True):
        np.testing.assert_allclose(np.asarray(a)[where], np.asarray(b)[where], atol=2e-5)
    with open(tmp_path / "gan" / "metrics.csv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["discriminator"]) == pytest.approx(float(loss), rel=1e-4)


def test_generator_follows_the_weighted_sum_of_its_losses(tmp_path, eagerly):
    weights = {"pixel_weight": 0.7, "adversarial_weight": 0.3, "perceptual_weight": 0.0}
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    before = make_phase("gan", strategy)
    lr, hr = (x / np.float32(255) for x in Patches(Store(), 4, 32, 4, 0).batch(0))
    discriminator, generator = before.step.discriminator, before.generator
    with tf.GradientTape() as tape:
        sr = generator(lr)
        real, fake = discriminator(hr, training=True), discriminator(sr, training=True)
        a, b = real - tf.reduce_mean(fake), fake - tf.reduce_mean(real)
        adversarial = tf.reduce_mean(tf.math.softplus(a)) / 2 + tf.reduce_mean(tf.math.softplus(-b)) / 2
        loss = 0.7 * tf.reduce_mean(tf.abs(hr - sr)) + 0.3 * adversarial
    gradients = tape.gradient(loss, generator.trainable_variables)
    expected = [v - 1e-3 * np.sign(g) for v, g in zip(generator.trainable_variables, gradients, strict=True)]
    after = train("gan", tmp_path, strategy, steps=1, **weights).generator.trainable_variables
    clear = [np.abs(g) > 1e-5 for g in gradients]  # rounding cannot change the sign
    assert sum(c.sum() for c in clear) > 1000
    for a, b, where in zip(after, expected, clear, strict=True):
        np.testing.assert_allclose(np.asarray(a)[where], np.asarray(b)[where], atol=2e-5)


def test_perceptual_term_is_weighed_and_reported(tmp_path, eagerly):
    """A feature extractor with one known convolution replaces VGG19."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        image = keras.Input((None, None, 3))
        features = keras.Model(image, {"conv5_4": keras.layers.Conv2D(2, 3, padding="same", name="conv")(image)})
        features.trainable = False
        phase = make_phase("gan", strategy, steps=1)
        phase.step.features = features
    before = phase.generator.get_weights()
    lr, hr = (x / np.float32(255) for x in Patches(Store(), 4, 32, 4, 0).batch(0))
    kernel, bias = (np.asarray(w) for w in features.weights)
    sr = np.asarray(phase.generator(lr))
    expected = np.abs(reference.conv2d(hr, kernel, bias) - reference.conv2d(sr, kernel, bias)).mean()
    run_phase(phase, Patches(Store(), 4, 32, 4, 0), None, Store(), tmp_path, CONFIG, strategy, StopRequest())
    with open(tmp_path / "gan" / "metrics.csv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["perceptual"]) == pytest.approx(expected, rel=1e-4)
    assert any((a != b).any() for a, b in zip(before, phase.generator.get_weights(), strict=True))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", ["psnr", "gan"])
def test_mixed_precision_trains_and_saves_float32(tmp_path, precision, name, eagerly):
    keras.config.set_dtype_policy(precision)
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    phase = make_phase(name, strategy)
    keras.config.set_dtype_policy("float32")
    with strategy.scope():
        phase.average = small_generator()
    phase.average.set_weights(phase.generator.get_weights())
    before = phase.generator.get_weights()
    run_phase(phase, Patches(Store(), 4, 32, 4, 0), None, Store(), tmp_path, CONFIG, strategy, StopRequest())
    assert any((a != b).any() for a, b in zip(before, phase.generator.get_weights(), strict=True))
    saved = keras.models.load_model(tmp_path / name / "generator.keras")
    assert {layer.dtype_policy.name for layer in saved.layers} == {"float32"}


def test_xla_computes_the_same_step(tmp_path, request):
    """Compares with TensorFlow's separate operations, in the phase with the larger step and with a small generator."""
    config = {"generators": lambda: compact_generator(4, 4, 1), "steps": 1}
    compiled = train("gan", tmp_path / "on", whole=with_runtime(jit_compile="on"), **config).generator
    request.getfixturevalue("eagerly")
    plain = train("gan", tmp_path / "off", **config).generator
    for a, b in zip(compiled.get_weights(), plain.get_weights(), strict=True):
        assert np.isclose(a, b, atol=1e-4).mean() > 0.98


def test_run_folder_holds_what_is_promised(trained_run):
    for phase in ("psnr", "gan"):
        folder = trained_run / phase
        assert (folder / "generator.keras").is_file()
        assert checkpoint_steps(folder / "checkpoints")
        assert list((folder / "logs").glob("events*"))
        assert list((folder / "samples").glob("step_*.png"))
        with open(folder / "metrics.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert all(math.isfinite(float(value)) for row in rows for value in row.values() if value)
        assert rows[-1]["psnr"]
        assert float(rows[-1]["ssim"]) < 1
    assert (trained_run / "config.yaml").is_file()


def test_tensorboard_has_every_loss(trained_run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained_run / "gan" / "logs")).Reload()
    tags = set(events.Tags()["tensors"])
    losses = {"pixel", "perceptual", "adversarial", "discriminator", "logit_real", "logit_fake"}
    assert {*losses, "learning_rate", "images_per_second", "psnr", "ssim"} <= tags
    assert "LR, bicubic, SR, HR" in tags


@pytest.mark.parametrize(
    ("phase", "steps", "seconds", "expected"),
    [
        ("psnr", 1_000_000, 62.0, "the 1,000,000 steps left take about 2.0 years, at 62.0 s per step"),  # 717.6 days
        ("gan", 400_000, 1.5, "the 400,000 steps left take about 6.9 days, at 1.5 s per step"),
        ("psnr", 86_400, 1.0, None),
        ("psnr", 20_000, 1.4, None),
    ],
)
def test_a_training_of_days_is_reported_with_a_remedy(phase, steps, seconds, expected):
    line = warn_of_duration(phase, steps, seconds)
    if expected is None:
        assert line is None
        return
    for part in (expected, "--config configs/small.yaml", "configs/bundled_faithful.yaml", f"--set {phase}.steps=…"):
        assert part in line
    assert "\n" not in line
    for recipe in re.findall(r"configs/\w+\.yaml", line):
        assert (REPOSITORY / recipe).is_file()


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize(
    ("without_gpu", "seconds", "reported"),
    [
        (True, 10.0, ["the 999,991 steps left take about 115.7 days, at 10.0 s per step"]),
        (True, 0.01, []),
        (False, 10.0, []),
    ],
)
def test_a_training_of_days_on_a_processor_is_reported_once(
    stream, without_gpu, seconds, reported, tmp_path, monkeypatch
):
    now, said = [0.0], stream()
    monkeypatch.setattr("esrgan_tf.training.monitor.time.monotonic", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", said)
    monitor = Monitor(tmp_path / "psnr", ("pixel",), 3, 1_000_000, without_gpu)
    for step in range(4, 20):
        now[0] += 500.0 if step == 4 else seconds  # the first step compiles, so its time is not representative
        monitor.advance(step)
        assert ("without a GPU" in said.getvalue()) == (bool(reported) and step >= 9)
    monitor.close()
    assert re.findall(r"the [\d,]+ steps left .* per step", said.getvalue()) == reported


def test_training_on_a_processor_is_measured(tmp_path, monkeypatch, capfd, eagerly):
    monkeypatch.setattr("esrgan_tf.training.monitor._DAY", 1e-6)  # no run is shorter
    train("psnr", tmp_path, steps=8)
    assert re.findall(r"without a GPU the \d steps left", capfd.readouterr().err) == ["without a GPU the 2 steps left"]


def test_defaults_are_the_papers():
    """Section 4.1 of arXiv 1809.00219."""
    config = Config()
    assert (config.psnr.learning_rate, config.gan.learning_rate) == (2e-4, 1e-4)
    assert (config.gan.pixel_weight, config.gan.adversarial_weight) == (1e-2, 5e-3)
    assert (config.data.batch_size, config.data.hr_patch) == (16, 128)
    assert config.gan.decay_steps == (50_000, 100_000, 200_000, 300_000)
