"""A table of training plans: existing files, requested settings, and the plan. TensorFlow is not imported."""

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from esrgan_tf.config import Config, load_config, save_config
from esrgan_tf.errors import UserError
from esrgan_tf.models import FAMILIES
from esrgan_tf.models.rrdb import RRDB
from esrgan_tf.models.vgg_style import VGG
from esrgan_tf.runs.starts import record_start
from esrgan_tf.workflows.plan import plan_training
from tests.conftest import run_process

GENERATOR = RRDB(filters=8, blocks=1, growth=4)
SMALL = ("generator.filters=8", "psnr.learning_rate=1e-3")


def write_networks(place):
    """The names and shapes of weights of 8 filters; no network is built."""
    for name, options in (("start.pth", GENERATOR), ("other.pth", GENERATOR), ("netD.pth", VGG(filters=4))):
        family = FAMILIES[options.name]
        tensors = family.mapping.torch_tensors(options, family.mapping.style_to_write(options))
        save_file({name: np.zeros(shape, np.float32) for name, (_, shape) in tensors.items()}, place / name)


def checkpointed(phase, step, *overrides):
    """Writes the files of a run that trained `phase` up to `step`."""

    def write(run):
        config = load_config(None, overrides)
        folder = run / phase / "checkpoints" / f"ckpt-{step}"
        folder.mkdir(parents=True)
        save_config(config, folder / "config.yaml")
        save_config(config, run / "config.yaml")
        (run / phase / "generator.keras").touch()

    return write


def begun_from(name):
    """Records that phase psnr started from the file `name` next to the run."""
    return lambda run: record_start(run / "psnr", "init_from", str(run.parent / name))


TRAINED, BOTH = checkpointed("psnr", 6, *SMALL), checkpointed("gan", 4, *SMALL)

DECIDED = {
    # name: (files in the run folder, phase, keys that are set, other arguments, plan)
    "a new run": ((), "psnr", (), {}, {"resumes": False, "given": False, "generator": None, "discriminator": None}),
    "it goes on": ((TRAINED,), "psnr", SMALL, {}, {"resumes": True, "given": False, "generator": None}),
    "further than it was to go": ((TRAINED,), "psnr", (*SMALL, "psnr.steps=9"), {}, {"resumes": True}),
    "the second phase": ((TRAINED,), "gan", SMALL, {}, {"resumes": False, "generator": "run/psnr/generator.keras"}),
    "the second phase goes on": ((TRAINED, BOTH), "gan", SMALL, {}, {"resumes": True, "generator": None}),
    "from a file": (
        (), "psnr", (), {"init_from": "start.pth"}, {"resumes": False, "given": True, "generator": "start.pth"},
    ),
    "the second phase from a file": (
        (), "gan", (), {"init_from": "start.pth"}, {"given": True, "generator": "start.pth", "discriminator": None},
    ),
    "both networks from files": (
        (), "gan", (), {"init_from": "start.pth", "discriminator_from": "netD.pth"},
        {"given": True, "generator": "start.pth", "discriminator": "netD.pth"},
    ),
    "a discriminator alone": (
        (TRAINED,), "gan", SMALL, {"discriminator_from": "netD.pth"},
        {"given": True, "generator": "run/psnr/generator.keras", "discriminator": "netD.pth"},
    ),
    "the command that began it, again": (
        (TRAINED, begun_from("start.pth")), "psnr", SMALL, {"init_from": "start.pth"},
        {"resumes": True, "given": False},
    ),
    "other settings, allowed": (
        (TRAINED,), "psnr", (*SMALL, "runtime.seed=5"), {"allow_changes": True}, {"resumes": True},
    ),
    "what no number depends on": ((TRAINED,), "psnr", (*SMALL, "runtime.log_every=7"), {}, {"resumes": True}),
    "settings of the other phase": ((TRAINED,), "psnr", (*SMALL, "gan.learning_rate=1"), {}, {"resumes": True}),
}  # fmt: skip

REFUSED = {
    "the second phase without the first": ((), "gan", (), {}, "phase gan needs a trained generator"),
    "a file that is not there": ((), "psnr", (), {"init_from": "absent.pth"}, "--init_from: "),
    "no file": ((), "psnr", (), {"init_from": ""}, "--init_from is empty"),
    "a discriminator that is not there": (
        (TRAINED,), "gan", SMALL, {"discriminator_from": "absent.pth"}, "--discriminator_from: no file",
    ),
    "a discriminator for the first phase": (
        (), "psnr", (), {"discriminator_from": "netD.pth"}, "phase psnr has no discriminator",
    ),
    "another start than before": (
        (TRAINED, begun_from("other.pth")), "psnr", SMALL, {"init_from": "start.pth"}, "has started from ",
    ),
    "a start for what began without": (
        (TRAINED,), "psnr", SMALL, {"init_from": "start.pth"}, "has started from no file; remove the flag",
    ),
    "another seed": (
        (TRAINED,), "psnr", (*SMALL, "runtime.seed=5"), {}, "was trained with runtime.seed 0, not 5",
    ),
    "another rate": (
        (TRAINED,), "psnr", SMALL[:1], {}, "was trained with psnr.learning_rate 0.001, not 0.0002",
    ),
    "another network": (
        (TRAINED,), "psnr", ("generator.filters=12",), {"allow_changes": True},
        "generator.filters: {run} was started with 8, not 12; choose another --run_dir",
    ),
    "fewer steps under a cosine": (
        (checkpointed("psnr", 6, "psnr.schedule=cosine"),), "psnr", ("psnr.schedule=cosine", "psnr.steps=9"), {},
        "was trained with psnr.steps 1000000, not 9",
    ),
    "a patch that does not suit the scale": ((), "psnr", ("data.hr_patch=33",), {}, "not divisible by generator.scale"),
    "a patch that does not suit the discriminator": (
        (TRAINED,), "gan", (*SMALL, "data.hr_patch=48"), {"allow_changes": True}, "it needs a multiple of 32",
    ),
}  # fmt: skip


def asked(there, phase, overrides, arguments, place):
    write_networks(place)
    for write in there:
        write(place / "run")
    arguments = {
        key: str(place / value) if key.endswith("_from") and value else value for key, value in arguments.items()
    }
    return plan_training(phase, place / "run", load_config(None, overrides), overrides, **arguments)


@pytest.mark.parametrize("name", DECIDED)
def test_plans(name, tmp_path):
    *situation, expected = DECIDED[name]
    plan = asked(*situation, tmp_path)
    for attribute, value in expected.items():
        wanted = tmp_path / value if isinstance(value, str) else value
        found = bool(plan.given_networks()) if attribute == "given" else getattr(plan, attribute)
        assert found == wanted, attribute


@pytest.mark.parametrize("name", REFUSED)
def test_refused_plans(name, tmp_path):
    *situation, message = REFUSED[name]
    with pytest.raises(UserError) as error:
        asked(*situation, tmp_path)
    assert message.format(run=tmp_path / "run") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_of_given_networks_keeps_them(tmp_path):
    """Only an explicit setting that contradicts the files is refused, whatever the configuration file contains."""
    there = (TRAINED, begun_from("start.pth"))
    run = tmp_path / "run"
    for write in there:
        write(run)
    write_networks(tmp_path)
    plan = plan_training("psnr", run, load_config(None, ["psnr.learning_rate=1e-3"]))
    assert plan.config.generator.filters == 8
    with pytest.raises(UserError, match=r"--set generator.filters=16: .* has 8; remove the --set"):
        plan_training("psnr", run, Config(), ["generator.filters=16"])


def test_the_architectures_of_given_files_are_planned(tmp_path):
    write_networks(tmp_path)
    arguments = {"init_from": str(tmp_path / "start.pth"), "discriminator_from": str(tmp_path / "netD.pth")}
    plan = plan_training("gan", tmp_path / "run", Config(), **arguments)
    assert plan.given_generator.options == GENERATOR
    assert (plan.config.generator.filters, plan.config.generator.growth, plan.config.generator.scale) == (8, 4, 4)
    assert plan.config.discriminator.filters == 4
    assert [line.partition(": ")[0] for line in plan.given_networks()] == list(arguments.values())
    rescaled = load_config(None, ["generator.scale=2"])
    plan = plan_training("gan", tmp_path / "run", rescaled, ["generator.scale=2"], **arguments)
    assert (plan.config.generator.filters, plan.config.generator.scale) == (8, 2)
    with pytest.raises(UserError, match=r"netD.pth: .* for 128x128 pixels; set data.hr_patch=128, not 64"):
        plan_training("gan", tmp_path / "run", load_config(None, ["data.hr_patch=64"]), **arguments)
    swapped = {"init_from": arguments["discriminator_from"], "discriminator_from": arguments["init_from"]}
    with pytest.raises(UserError, match="that is a discriminator, not a generator"):
        plan_training("gan", tmp_path / "run", Config(), **swapped)
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_is_a_file(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(UserError, match="is a file; name a folder"):
        plan_training("psnr", Path(tmp_path / "run"), Config())


def test_it_needs_no_tensorflow():
    program = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['keras'] = None; import esrgan_tf.workflows.plan"
    )
    assert run_process(sys.executable, "-c", program).returncode == 0
