"""How a phase starts, as a table: what is there, what is asked for, and what is decided. No TensorFlow in it."""

import sys
from pathlib import Path

import pytest

from esrgan_tf.config import Config, load_config, save_config
from esrgan_tf.errors import UserError
from esrgan_tf.runs.starts import record_start
from esrgan_tf.workflows.plan import decide
from tests.conftest import run_process

SMALL = ("generator.filters=8", "psnr.learning_rate=1e-3")


def checkpointed(phase, step, *overrides):
    """Writes what a run leaves that has trained `phase` to `step`."""

    def write(run):
        config = load_config(None, overrides)
        folder = run / phase / "checkpoints" / f"ckpt-{step}"
        folder.mkdir(parents=True)
        save_config(config, folder / "config.yaml")
        save_config(config, run / "config.yaml")
        (run / phase / "generator.keras").touch()

    return write


def begun_from(name):
    """Notes that phase psnr began from the file `name` beside the run."""
    return lambda run: record_start(run / "psnr", "init_from", str(run.parent / name))


TRAINED, BOTH = checkpointed("psnr", 6, *SMALL), checkpointed("gan", 4, *SMALL)

DECIDED = {
    # name: (what is in the run's folder, phase, keys that are set, other arguments, what is decided)
    "a new run": ((), "psnr", (), {}, {"begun": False, "given": False, "generator": None, "discriminator": None}),
    "it goes on": ((TRAINED,), "psnr", SMALL, {}, {"begun": True, "given": False, "generator": None}),
    "further than it was to go": ((TRAINED,), "psnr", (*SMALL, "psnr.steps=9"), {}, {"begun": True}),
    "the second phase": ((TRAINED,), "gan", SMALL, {}, {"begun": False, "generator": "run/psnr/generator.keras"}),
    "the second phase goes on": ((TRAINED, BOTH), "gan", SMALL, {}, {"begun": True, "generator": None}),
    "from a file": (
        (), "psnr", (), {"init_from": "start.pth"}, {"begun": False, "given": True, "generator": "start.pth"},
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
        (TRAINED, begun_from("start.pth")), "psnr", SMALL, {"init_from": "start.pth"}, {"begun": True, "given": False},
    ),
    "other settings, allowed": (
        (TRAINED,), "psnr", (*SMALL, "runtime.seed=5"), {"allow_changes": True}, {"begun": True},
    ),
    "what no number depends on": ((TRAINED,), "psnr", (*SMALL, "runtime.log_every=7"), {}, {"begun": True}),
    "settings of the other phase": ((TRAINED,), "psnr", (*SMALL, "gan.learning_rate=1"), {}, {"begun": True}),
}  # fmt: skip

REFUSED = {
    "the second phase without the first": ((), "gan", (), {}, "phase gan starts from a trained generator"),
    "a file that is not there": ((), "psnr", (), {"init_from": "absent.pth"}, "--init_from: "),
    "no file": ((), "psnr", (), {"init_from": ""}, "--init_from is empty"),
    "a discriminator that is not there": (
        (TRAINED,), "gan", SMALL, {"discriminator_from": "absent.pth"}, "--discriminator_from: no file",
    ),
    "a discriminator for the first phase": (
        (), "psnr", (), {"discriminator_from": "netD.pth"}, "phase psnr has no discriminator",
    ),
    "another start than before": (
        (TRAINED, begun_from("other.pth")), "psnr", SMALL, {"init_from": "start.pth"}, "has begun, from ",
    ),
    "a start for what began without": (
        (TRAINED,), "psnr", SMALL, {"init_from": "start.pth"}, "has begun, from no file; leave the flag out",
    ),
    "another seed": (
        (TRAINED,), "psnr", (*SMALL, "runtime.seed=5"), {}, "was trained with runtime.seed 0, not 5",
    ),
    "another rate": (
        (TRAINED,), "psnr", SMALL[:1], {}, "was trained with psnr.learning_rate 0.001, not 0.0002",
    ),
    "another network": (
        (TRAINED,), "psnr", ("generator.filters=12",), {"allow_changes": True},
        "generator.filters: {run} was begun with 8, not 12; choose another --run_dir",
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
    for name in ("start.pth", "other.pth", "netD.pth"):
        (place / name).touch()
    for write in there:
        write(place / "run")
    arguments = {
        key: str(place / value) if key.endswith("_from") and value else value for key, value in arguments.items()
    }
    return decide(phase, place / "run", load_config(None, overrides), overrides, **arguments)


@pytest.mark.parametrize("name", DECIDED)
def test_what_is_decided(name, tmp_path):
    *situation, expected = DECIDED[name]
    start = asked(*situation, tmp_path)
    for attribute, value in expected.items():
        wanted = tmp_path / value if isinstance(value, str) else value
        assert getattr(start, attribute) == wanted, attribute


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name, tmp_path):
    *situation, message = REFUSED[name]
    with pytest.raises(UserError) as error:
        asked(*situation, tmp_path)
    assert message.format(run=tmp_path / "run") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_of_given_networks_keeps_them(tmp_path):
    """Whatever a configuration says: only an explicit setting that contradicts them is refused."""
    there = (TRAINED, begun_from("start.pth"))
    run = tmp_path / "run"
    for write in there:
        write(run)
    (tmp_path / "start.pth").touch()
    start = decide("psnr", run, load_config(None, ["psnr.learning_rate=1e-3"]))
    assert start.config.generator.filters == 8
    with pytest.raises(UserError, match=r"--set generator.filters=16: .* has 8; leave the --set out"):
        decide("psnr", run, Config(), ["generator.filters=16"])


def test_a_run_folder_that_is_a_file(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(UserError, match="is a file; name a folder"):
        decide("psnr", Path(tmp_path / "run"), Config())


def test_it_needs_no_tensorflow():
    program = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['keras'] = None; import esrgan_tf.workflows.plan"
    )
    assert run_process(sys.executable, "-c", program).returncode == 0
