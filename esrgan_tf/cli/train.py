"""`esrgan-tf train`: trains one phase, resuming by itself."""

import contextlib
import dataclasses
import inspect
import math
import os
import sys
from pathlib import Path

from absl import flags

from esrgan_tf.cli.cluster import read_cluster
from esrgan_tf.cli.common import define_models_dir, find_config, named_model, parse, quiet_tensorflow
from esrgan_tf.cli.initial import (
    adopted,
    check_same_start,
    discriminator_section,
    generator_section,
    given_file,
    initial_weights,
    record_start,
    recorded_start,
)
from esrgan_tf.cli.provenance import device_names, facts
from esrgan_tf.config import KEYS, OF_A_MACHINE, Config, as_plain, load_config, same_value, value_of
from esrgan_tf.errors import UserError, as_typed, listed
from esrgan_tf.run_folder import PHASES, checkpoint_config, checkpoint_images, checkpoint_steps, held, note_start
from esrgan_tf.stopping import Failed, Stopped, StopRequest, stop_requests

FLAGS = flags.FlagValues()
flags.DEFINE_enum("phase", None, ["psnr", "gan"], "What to train: psnr first, then gan.", flag_values=FLAGS)
flags.DEFINE_string(
    "config", None, "YAML file; else the run's own, else ./config.yaml, else the defaults.", flag_values=FLAGS
)
flags.DEFINE_string("run_dir", "runs/esrgan", "Folder of the run; both phases share one.", flag_values=FLAGS)
flags.DEFINE_multi_string("set", [], "section.key=value, over the configuration. Repeat it.", flag_values=FLAGS)
flags.DEFINE_string(
    "init_from", None,
    "Generator to start from: .keras, PyTorch weights, SavedModel, or a name of `models`. Its architecture becomes the "
    "run's. Left out, psnr starts from random weights and gan from RUN_DIR/psnr/generator.keras.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "discriminator_from", None,
    "Discriminator to start phase gan from: .keras, PyTorch weights. Its architecture becomes the run's. Left out, it "
    "starts from random weights.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_float("max_hours", None, "Stop and save after so many hours.", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_boolean(
    "allow_changes", False, "Go on from a checkpoint that was made with other settings.", flag_values=FLAGS
)
define_models_dir(FLAGS)
flags.mark_flag_as_required("phase", flag_values=FLAGS)

# What may differ from the settings of the checkpoint that training goes on from: no number depends on it, or other
# images tell.
_FREE = {
    "data.data_dir", "data.cache_dir", "data.val_hr_dir", "data.val_lr_dir", "data.skip_unreadable",
    "psnr.steps", "gan.steps", "runtime.log_every", "runtime.validate_every", "runtime.checkpoint_every",
    "runtime.keep_checkpoints",
}  # fmt: skip

# A discriminator halves its image so often that the sides must be a multiple of this.
_HALVED = {"vgg": 32, "srgan": 16, "unet_sn": 8}


def main(argv: list[str]) -> None:
    """Trains as the flags say. See `esrgan-tf train --help`."""
    extra = parse(FLAGS, argv, "train --phase psnr|gan [--config F] [--run_dir D] [--set key=value]… [--init_from F]")
    if extra:
        raise UserError(f"train takes flags only; what is {extra[0]!r}?")
    try:
        with stop_requests(FLAGS.max_hours) as stop:
            _train(argv, stop)
    except Stopped as stopped:
        again = ["--phase", FLAGS.phase, "--run_dir", FLAGS.run_dir]  # the run knows the rest
        if not checkpoint_steps(Path(FLAGS.run_dir) / FLAGS.phase / "checkpoints"):
            again = argv[1:]
        print(f"{stopped}; to go on: {as_typed('train', *again)}", file=sys.stderr)
    except Failed as failed:
        print(f"esrgan-tf: {failed}", file=sys.stderr)
        raise SystemExit(1) from failed


def _train(argv: list[str], stop: StopRequest) -> None:
    phase_name, run_dir = FLAGS.phase, Path(FLAGS.run_dir)
    folder = run_dir / phase_name

    # 1. Everything that can be refused without TensorFlow is refused first, while nothing has been written.
    if run_dir.exists() and not run_dir.is_dir():
        raise UserError(f"--run_dir {run_dir} is a file; name a folder")
    cluster = read_cluster(os.environ)
    begun = bool(checkpoint_steps(folder / "checkpoints"))
    start = None if begun else initial_weights(phase_name, run_dir, FLAGS.init_from, FLAGS.models_dir)
    for flag in ("init_from", "discriminator_from"):
        if begun and FLAGS[flag].value:
            check_same_start(folder, flag, FLAGS[flag].value)
    if phase_name != "gan" and FLAGS.discriminator_from is not None:
        raise UserError(f"--discriminator_from is for phase gan; phase {phase_name} has no discriminator")
    critic = None
    if not begun and FLAGS.discriminator_from is not None:
        critic = given_file("discriminator_from", FLAGS.discriminator_from)
    # A run that began from a file has that file's generator, whatever a configuration says; a new one will have it.
    of_file = FLAGS.init_from is not None and not begun
    of_run = not of_file and (run_dir / "config.yaml").is_file()
    of_run = of_run and any(recorded_start(run_dir / phase) for phase in PHASES)
    config = find_config(FLAGS.config, run_dir, FLAGS.set, together=not (of_file or of_run))
    if of_run:
        generator_of_run = dataclasses.asdict(load_config(run_dir / "config.yaml").generator)
        config = adopted(config, "generator", generator_of_run, FLAGS.set, run_dir)
    if begun and recorded_start(folder, "discriminator_from"):
        discriminator_of_run = dataclasses.asdict(load_config(run_dir / "config.yaml").discriminator)
        config = adopted(config, "discriminator", discriminator_of_run, FLAGS.set, run_dir)
    if not of_file and critic is None:
        _check_run(config, run_dir, phase_name)
    if not FLAGS.allow_changes:
        _check_settings(config, folder)
    _say_what_has_no_use(config, phase_name)
    if of_file:
        start = named_model(FLAGS, "init_from")

    with quiet_tensorflow():
        import keras
        import tensorflow as tf

        from esrgan_tf.data import Degradation, DegradedStore, Patches, open_store
        from esrgan_tf.interop import recognise_model
        from esrgan_tf.loading import load_discriminator, load_model
        from esrgan_tf.models import DISCRIMINATORS, GENERATORS, vgg19_features
        from esrgan_tf.training import GanStep, Phase, PsnrStep, run_phase
        from esrgan_tf.training.distribution import (
            check_agreement,
            check_batch,
            one_machine,
            several_machines,
            until_training,
        )
        from esrgan_tf.training.validation import check_sizes

    # 2. Devices: several machines must find one another before TensorFlow computes anything.
    keras.utils.set_random_seed(config.runtime.seed)
    if config.runtime.deterministic:
        tf.config.experimental.enable_op_determinism()
    if cluster is None:
        strategy = one_machine()
    else:
        print(f"machine {cluster.index + 1} of {len(cluster.machines)}: waiting for the others …", flush=True)
        strategy = several_machines()
        stop.finish_step = True  # from here on they stop together, after a step
        settings = {key: value_of(config, key) for key in KEYS if key not in OF_A_MACHINE}
        settings["gan.vgg_weights"] = Path(config.gan.vgg_weights).name  # each machine may keep it elsewhere
        with until_training(len(cluster.machines)):
            check_agreement(
                strategy,
                (phase_name, settings, begun, FLAGS.init_from is None, FLAGS.discriminator_from is None),
                "do not have the same configuration; give all of them the same command, on a --run_dir that they share",
            )
    check_batch(config.data.batch_size, strategy.num_replicas_in_sync)
    devices = device_names(strategy)
    print(f"devices: {', '.join(devices)}")

    initial = None if start is None else load_model(start)
    initial_critic = None if critic is None else load_discriminator(critic)
    if of_file:
        architecture = recognise_model(initial)
        print(f"{start}: {architecture}")
        config = adopted(config, "generator", generator_section(architecture, start), FLAGS.set, start)
    if initial_critic is not None:
        architecture = recognise_model(initial_critic)
        print(f"{critic}: {architecture}")
        section = discriminator_section(architecture, critic, config.data.hr_patch)
        config = adopted(config, "discriminator", section, FLAGS.set, critic)
    if of_file or initial_critic is not None:
        _check_run(config, run_dir, phase_name)

    # 3. Networks. The moving average is float32 whatever the training precision, as it is what others will load.
    scale = config.generator.scale
    build, sizes = _builder(GENERATORS, config.generator)
    with until_training(1 if cluster is None else len(cluster.machines)), strategy.scope():
        average = build(**sizes)
        keras.config.set_dtype_policy(config.runtime.precision)
        generator = build(**sizes)
        if initial is not None:
            _copy_weights(initial, generator, start, "generator")
        average.set_weights(generator.get_weights())
        if phase_name == "psnr":
            phase_config = config.psnr
            step = PsnrStep(generator, phase_config)
        else:
            phase_config = config.gan
            features = None
            if phase_config.perceptual_weight > 0:
                features = vgg19_features(phase_config.perceptual_layers, phase_config.vgg_weights)
            build, sizes = _builder(DISCRIMINATORS, config.discriminator, image_size=config.data.hr_patch)
            discriminator = build(**sizes)
            if initial_critic is not None:
                _copy_weights(initial_critic, discriminator, critic, "discriminator")
            step = GanStep(generator, discriminator, features, phase_config)
        phase = Phase(phase_name, phase_config, step, generator, average, scale)

    with contextlib.ExitStack() as stack:
        stack.enter_context(until_training(1 if cluster is None else len(cluster.machines)))
        chief = cluster is None or cluster.chief
        if chief:
            stack.enter_context(held(folder))

        # 4. Data: decoded once, into the cache.
        train_source, validation_source = _sources(config)
        store = open_store(train_source, config.data.cache_dir)
        seed = config.runtime.seed
        degradation = None if config.degradation.kind == "none" else Degradation(config)
        margin = 0 if degradation is None else config.degradation.margin
        patches = Patches(store, scale, config.data.hr_patch, config.data.batch_size, seed, degradation, margin)
        if not FLAGS.allow_changes and checkpoint_images(folder / "checkpoints") not in (None, patches.digest):
            raise UserError(
                f"{folder} was trained on other images: some were added, removed, renamed or resized; bring them back, "
                "choose another --run_dir, or give --allow_changes too"
            )
        if patches.left_out:
            least = f"data.hr_patch {config.data.hr_patch}{f' with degradation.margin {margin}' if margin else ''}"
            print(f"left out, smaller than {least}: {listed(patches.left_out)}")
        validation = None
        if validation_source is None:
            print("no validation images: set data.val_hr_dir to see PSNR and SSIM while training")
        else:
            validation = open_store(validation_source, config.data.cache_dir)
            check_sizes(validation, scale)
        samples = validation or store
        if degradation is not None and config.data.val_lr_dir is None:
            samples = DegradedStore(samples, degradation, seed)
            validation = validation and samples
        print(f"data: {len(patches)} images to train on, {len(validation or ())} to validate on")

        # 5. Train.
        if chief:
            if not begun:
                record_start(folder, "init_from", FLAGS.init_from)
                record_start(folder, "discriminator_from", FLAGS.discriminator_from)
            if max(checkpoint_steps(folder / "checkpoints"), default=0) < phase_config.steps:
                note_start(run_dir, {"phase": phase_name, **facts(argv, devices), "config": as_plain(config)})
        run_phase(phase, patches, validation, samples, run_dir, config, strategy, stop)
        print(f"done: {folder / 'generator.keras'}")


def _say_what_has_no_use(config: Config, phase: str) -> None:
    """Settings that a training does not look at, or that the next will refuse."""
    unused = [
        key
        for key in KEYS
        if key.startswith("degradation")
        and key not in _used(config)
        and value_of(config, key) != value_of(Config(), key)
    ]
    if unused:
        print(f"note: no use with degradation.kind {config.degradation.kind}: {listed(unused)}")
    multiple = _multiple(config)
    if phase == "psnr" and config.data.hr_patch % multiple:
        name = config.discriminator.name
        print(f"note: phase gan needs data.hr_patch to be a multiple of {multiple} for the {name} discriminator")


def _used(config: Config) -> set[str]:
    """The keys of the degradation that its kind looks at."""
    if config.degradation.kind == "second_order":
        return {key for key in KEYS if key.startswith("degradation")}
    jpeg = (
        {"degradation.margin", "degradation.clean_probability", "degradation_2.jpeg_quality"}
        if config.degradation.kind == "jpeg"
        else set()
    )
    return {"degradation.kind"} | jpeg


def _multiple(config: Config) -> int:
    """What must divide data.hr_patch in phase gan."""
    return math.lcm(_HALVED[config.discriminator.name], config.generator.scale)


def _check_settings(config: Config, folder: Path) -> None:
    """A phase goes on with the settings that its newest checkpoint was made with."""
    before = checkpoint_config(folder / "checkpoints")
    if before is None:
        return
    free = _FREE if getattr(config, folder.name).schedule == "step" else _FREE - {f"{folder.name}.steps"}
    sections = {"data", "generator", "runtime", folder.name} | ({"discriminator"} if folder.name == "gan" else set())
    used = _used(config)
    differences = [
        f"{key} {value_of(before, key)}, not {value_of(config, key)}"
        for key in KEYS
        if (key in used or key.split(".")[0] in sections)
        and key not in free
        and not same_value(key, value_of(before, key), value_of(config, key))
    ]
    if differences:
        raise UserError(
            f"{folder} was trained with {'; '.join(differences)}: leave that as it was, choose another --run_dir, or "
            "give --allow_changes too"
        )


def _check_run(config: Config, run_dir: Path, phase: str) -> None:
    """The discriminator must suit the patches, and a run keeps its networks: others would not fit its checkpoints."""
    patch, name, multiple = config.data.hr_patch, config.discriminator.name, _multiple(config)
    if phase == "gan" and patch % multiple:
        raise UserError(
            f"data.hr_patch: {patch} does not suit the {name} discriminator; it needs a multiple of {multiple}"
        )
    trained = [phase for phase in PHASES if checkpoint_steps(run_dir / phase / "checkpoints")]
    if not trained or not (run_dir / "config.yaml").is_file():
        return
    before = load_config(run_dir / "config.yaml")
    for section in ("generator", "discriminator") if "gan" in trained else ("generator",):
        old, new = dataclasses.asdict(getattr(before, section)), dataclasses.asdict(getattr(config, section))
        for key in old:
            if key == "growth" and new["name"] != "rrdb":  # the others have none
                continue
            if old[key] != new[key]:
                raise UserError(
                    f"{section}.{key}: {run_dir} was begun with {old[key]}, not {new[key]}; choose another --run_dir"
                )


def _builder(builders, section, **others):
    """The function that builds what `section` names, and those of the section's values and of `others` that it takes:
    compact has no growth, for instance."""
    build = builders[section.name]
    values = dataclasses.asdict(section) | others
    return build, {key: values[key] for key in inspect.signature(build).parameters if key in values}


def _sources(config: Config):
    """The sources of training and validation images; the second may be None."""
    from esrgan_tf.data import div2k_source, folder_source, synthetic_source

    data, scale = config.data, config.generator.scale
    validation = None
    if data.val_hr_dir is not None:
        keys = ("data.val_hr_dir", "data.val_lr_dir")
        validation = folder_source(data.val_hr_dir, data.val_lr_dir, scale, keys, data.skip_unreadable)
    if data.source == "folder":
        return folder_source(data.hr_dir, data.lr_dir, scale, skip_unreadable=data.skip_unreadable), validation
    if data.source == "div2k":
        train, own = (div2k_source(split, data.data_dir, scale) for split in ("train", "validation"))
    else:
        train, own = (synthetic_source(split, config.runtime.seed, scale) for split in ("train", "validation"))
    return train, validation or own


def _copy_weights(source, target, path: Path, which: str) -> None:
    from esrgan_tf.interpolation import first_difference

    difference = first_difference(source, target)
    if difference:
        raise UserError(f"{path} is another network than the configuration's {which}: {difference}")
    target.set_weights(source.get_weights())
