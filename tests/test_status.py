"""`esrgan-tf status`: figures that were calculated manually for run folders that the tests write."""

import csv
import os
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from esrgan_tf.cli import status as command
from esrgan_tf.runs.folder import lock_phase, read_metrics
from esrgan_tf.runs.starts import append_history
from esrgan_tf.training import curves

LOSSES = {
    "psnr": ["pixel"],
    "gan": ["pixel", "perceptual", "adversarial", "discriminator", "logit_real", "logit_fake"],
}
MEASURES = ["skipped", "learning_rate", "images_per_second", "psnr", "ssim", "seconds"]


@pytest.fixture(autouse=True)
def same_beginning():
    """Replaces the fixture that loads TensorFlow, because no test in this file has a network."""


def write_metrics(run_dir, rows, phase="psnr"):
    """Rows contain differences to a row without PSNR and skipped steps, with learning rate 2e-4."""
    (run_dir / phase).mkdir(parents=True, exist_ok=True)
    with open(run_dir / phase / "metrics.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["step", *LOSSES[phase], *MEASURES])
        writer.writeheader()
        usual = dict.fromkeys(LOSSES[phase], 0.1) | {"skipped": 0, "learning_rate": 2e-4, "images_per_second": 32.5}
        writer.writerows(usual | row for row in rows)


def write_checkpoint(run_dir, step, phase="psnr", age=0.0):
    folder = run_dir / phase / "checkpoints" / f"ckpt-{step}"
    folder.mkdir(parents=True)
    os.utime(folder, (time.time() - age,) * 2)


def write_config(run_dir, **sections):
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "config.yaml").write_text(yaml.safe_dump(sections))


@pytest.fixture
def run_dir(tmp_path):
    """A run with 320 of 500 steps, half a second each, and a slow restart."""
    run_dir = tmp_path / "run"
    write_config(run_dir, psnr={"steps": 500}, gan={"steps": 200})
    starts = {200: 30.0}
    seconds, rows = 0.0, []
    for step in range(20, 321, 20):
        seconds += 10.0 + starts.get(step, 0.0)
        rows.append({"step": step, "seconds": seconds})
    rows[4] |= {"psnr": 26.5, "ssim": 0.7}
    rows[9] |= {"psnr": 28.125, "ssim": 0.8}
    rows[14] |= {"psnr": 27.25, "ssim": 0.75}
    write_metrics(run_dir, rows)
    write_checkpoint(run_dir, 200, age=3000)
    write_checkpoint(run_dir, 300, age=250)
    return run_dir


@pytest.fixture
def unrecorded(run_dir):
    """Leaves nothing to draw, because drawing takes a while."""
    (run_dir / "psnr" / "metrics.csv").unlink()


@pytest.fixture
def status(run_main, run_dir):
    """Runs the command; returns the table as `{phase: {column: cell}}` and the lines after the table."""

    def run(*flags):
        code, out, err = run_main("status", run_dir, *flags)
        assert (code, err) == (0, "")
        header, _, *rest = out.splitlines()
        end = rest.index("")
        names, *rows = (re.split(r"\s{2,}", line.strip()) for line in (header, *rest[:end]))
        return {row[0]: dict(zip(names, row, strict=True)) for row in rows}, rest[end + 1 :]

    return run


def test_a_stopped_run(status, run_dir):
    table, after = status()
    assert table == {
        "psnr": {
            "phase": "psnr",
            "state": "stopped",
            "step": "320 of 500",
            "speed": "1.7 steps/s",
            "time left": "00:01:48",
            "PSNR": "27.25 dB",
            "best": "28.12 dB at 200",
            "last checkpoint": "ckpt-300, 4 min ago",
        }
    }
    assert after == [f"curves: {run_dir / 'curves.png'}"]
    assert sorted(path.name for path in run_dir.iterdir()) == ["config.yaml", "curves.png", "psnr"]


def test_a_slow_phase_has_its_days(status, run_dir):
    write_config(run_dir, psnr={"steps": 100_000})
    write_metrics(run_dir, [{"step": 100, "seconds": 240.0}, {"step": 200, "seconds": 480.0}])
    table, _ = status()
    assert table["psnr"]["speed"] == "2.4 s/step"
    assert table["psnr"]["time left"] == "2 d 18:28"  # 99,700 steps, because the newest checkpoint has step 300


def test_the_speed_is_of_the_last_hundred_records(status, run_dir):
    """The records include a validation of 99 seconds, which counts."""
    slow = [{"step": i, "seconds": 100.0 * i} for i in range(1, 101)]
    fast = [{"step": 100 + i, "seconds": 10_000 + 4.0 * i + 99 * (i > 50)} for i in range(1, 101)]
    write_metrics(run_dir, slow + fast)
    assert status()[0]["psnr"]["speed"] == "5.0 s/step"


def test_steps_faster_than_the_clock_is_written(status, run_dir):
    write_metrics(run_dir, [{"step": i, "seconds": round(i / 40, 1)} for i in range(1, 21)])
    assert status()[0]["psnr"]["speed"] == "38.0 steps/s"  # 19 steps from 0.0 to 0.5 s


def test_both_phases_and_skipped_steps(status, run_dir):
    write_checkpoint(run_dir, 500)
    rows = [{"step": 10, "seconds": 5.0}, {"step": 20, "seconds": 10.0, "skipped": 3}]
    write_metrics(run_dir, rows, "gan")
    table, _ = status()
    psnr, gan = table["psnr"], table["gan"]
    assert (psnr["state"], psnr["step"], psnr["time left"]) == ("complete", "500 of 500", "-")
    assert (gan["state"], gan["step"], gan["time left"]) == ("stopped", "20 of 200", "00:01:30")
    assert (psnr["skipped"], gan["skipped"]) == ("0", "3")
    assert (gan["PSNR"], gan["best"], gan["last checkpoint"]) == ("-", "-", "-")


@pytest.mark.parametrize(
    ("age", "said"), [(12, "12 s"), (59.5, "59 s"), (60, "1 min"), (7200, "2 h"), (200_000, "2 d"), (-50, "0 s")]
)
def test_a_locked_run_is_running(age, said, status, run_dir, monkeypatch):
    written = (run_dir / "psnr" / "metrics.csv").stat().st_mtime
    monkeypatch.setattr(command, "time", SimpleNamespace(time=lambda: written + age))
    with lock_phase(run_dir / "psnr"):
        assert status()[0]["psnr"]["state"] == f"running, last record {said} ago"


def test_an_unlocked_run_is_stopped(status, run_dir):
    with lock_phase(run_dir / "psnr"):
        pass
    assert status()[0]["psnr"]["state"] == "stopped"


def test_a_run_that_has_just_begun(status, run_dir):
    with lock_phase(run_dir / "gan"):
        table, _ = status()
        assert (table["gan"]["state"], table["gan"]["step"]) == ("running, no record yet", "0 of 200")
    assert "gan" not in status()[0]


def test_a_run_before_its_configuration_is_written(run_main, tmp_path):
    with lock_phase(tmp_path / "psnr"):
        code, out, err = run_main("status", tmp_path)
    assert (code, err) == (0, "")
    assert re.search(r"^psnr +running, no record yet +0( +-){5}$", out, re.MULTILINE)
    assert out.endswith("curves: none yet\n")
    assert not (tmp_path / "curves.png").exists()


@pytest.mark.parametrize("torn", ["340,0.1,0,0.0002,32.5,2", "340,0.1,0,0.0002,32.5,29.0,0.8,2", "340,0.1", "34"])
def test_a_row_that_is_half_written(torn, status, run_dir):
    """Drops also a line that lacks only the end of its last number."""
    before, _ = status()
    with open(run_dir / "psnr" / "metrics.csv", "a", encoding="utf-8") as file:
        file.write(torn)
    after, _ = status()
    assert {**after["psnr"], "last checkpoint": ""} == {**before["psnr"], "last checkpoint": ""}


def test_cells_may_be_empty(status, run_dir):
    """A record has empty cells if all its steps were skipped."""
    rows = [{"step": i, "seconds": 2.0 * i, "pixel": "", "skipped": i} for i in (1, 2, 3)]
    write_metrics(run_dir, rows)
    facts = status()[0]["psnr"]
    assert (facts["speed"], facts["PSNR"], facts["skipped"]) == ("2.0 s/step", "-", "3")


def test_checkpoints_alone_are_a_run(unrecorded, status):
    table, after = status()
    assert [table["psnr"][name] for name in ("step", "speed", "time left", "PSNR")] == ["300 of 500", "-", "-", "-"]
    assert after == ["curves: none yet"]


def start(time="2026-11-21T16:41:40+00:00", command="esrgan-tf train --phase psnr", **more):
    return {"phase": "psnr", "time": time, "command": command, "version": "0.1.0", "devices": ["CPU:0"], **more}


def test_the_first_and_the_latest_start(unrecorded, status, run_dir):
    append_history(run_dir, start())
    assert status()[1][0] == "started: 2026-11-21 16:41:40 UTC, esrgan-tf train --phase psnr"
    append_history(run_dir, start("2026-11-22T07:00:00+00:00"))
    append_history(run_dir, start("2026-11-23T08:00:01+00:00", "esrgan-tf train --phase gan", config={"data": {}}))
    assert status()[1][:2] == [
        "first start: 2026-11-21 16:41:40 UTC, esrgan-tf train --phase psnr",
        "latest start: 2026-11-23 08:00:01 UTC, esrgan-tf train --phase gan",
    ]


@pytest.mark.parametrize("length", [1, 4, 15, 30, 60, 75])
def test_a_torn_tail_of_the_history(length, unrecorded, status, run_dir):
    """The rest of an entry may be valid YAML with an incomplete command."""
    append_history(run_dir, start())
    with open(run_dir / "history.yaml", "a", encoding="utf-8") as file:
        file.write(yaml.safe_dump([start("2026-11-22T07:00:00+00:00")], sort_keys=False)[:length])
    assert status()[1][0] == "started: 2026-11-21 16:41:40 UTC, esrgan-tf train --phase psnr"


@pytest.mark.parametrize("content", [b"", b"\0\0\0", b"- [", b"text", b"- \xff: {", b"- 3\n- null\n", b"psnr: 1\n"])
def test_a_history_that_cannot_be_read(content, unrecorded, status, run_dir):
    (run_dir / "history.yaml").write_bytes(content)
    assert status()[1] == ["curves: none yet"]


MISTAKES = {
    "no name": ((), "status takes one run folder, not 0 names; for instance esrgan-tf status runs/esrgan"),
    "two names": (("a", "b"), "status takes one run folder, not 2 names"),
    "no folder": (("{tmp}/absent",), "no folder {tmp}/absent; name the --run_dir"),
    "a file": (("{tmp}/file",), "no folder {tmp}/file"),
    "no run": (("{tmp}/empty",), "no run in {tmp}/empty; name the --run_dir"),
    "a phase": (("{run}/psnr",), "no run in {run}/psnr"),
    "another format": (("{run}", "--output", "{tmp}/curves.svg"), "--output {tmp}/curves.svg: must end in .png"),
    "empty output": (("{run}", "--output="), "must end in .png"),
    "below a file": (("{run}", "--output", "{tmp}/file/curves.png"), "{tmp}/file is a file, not a folder"),
    "a folder": (("{run}", "--output", "{tmp}/folder.png"), "Is a directory"),
    "a place that cannot be written": (("{run}", "--output", "/proc/curves.png"), "No such file or directory"),
    "unknown flag": (("{run}", "--outptu", "a.png"), "Unknown command line flag 'outptu'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(mistake, run_dir, tmp_path, run_main):
    for name in ("empty", "folder.png"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    argv, message = MISTAKES[mistake]
    names = {"tmp": tmp_path, "run": run_dir}
    before = sorted(tmp_path.rglob("*"))
    code, _, err = run_main("status", *(argument.format(**names) for argument in argv))
    assert code == 2
    assert message.format(**names) in err
    assert err.startswith("esrgan-tf: ")
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_another_output(status, run_dir, tmp_path):
    _, after = status("--output", tmp_path / "new" / "folder" / "run.PNG")
    assert after == [f"curves: {tmp_path / 'new' / 'folder' / 'run.PNG'}"]
    with Image.open(tmp_path / "new" / "folder" / "run.PNG") as picture:
        assert picture.format == "PNG"
    assert not (run_dir / "curves.png").exists()


def test_it_waits_for_no_tensorflow(run_dir):
    program = (
        "import sys; from esrgan_tf.cli.main import main; status = main(sys.argv[1:]); "
        "sys.exit(status or any(name in sys.modules for name in ('tensorflow', 'keras', 'matplotlib.pyplot')))"
    )
    subprocess.run([sys.executable, "-c", program, "status", str(run_dir)], check=True, capture_output=True)


def panels(figure, path):
    """`{(column of the figure, title of the panel): its pixels}`, uint8 `[H, W, 3]`, cut from the PNG."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    found = {}
    for column, part in enumerate(figure.subfigs):
        for axes in part.axes:
            left, bottom, right, top = axes.get_window_extent().extents.round().astype(int)
            found[column, axes.get_title("left")] = pixels[len(pixels) - top : len(pixels) - bottom, left:right]
    return found


def has(pixels, colour):
    """The number of pixel columns that contain a colour, `#rrggbb`."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.any(np.all(abs(pixels.astype(int) - wanted) < 12, axis=-1), axis=0).sum()


@pytest.mark.parametrize("count", [1, 10, 200])
def test_every_curve_is_drawn(count, tmp_path):
    steps = np.arange(1, count + 1) * 100
    for phase, losses in LOSSES.items():
        rows = []
        for step in steps.tolist():
            values = {loss: (i + 1) * (1 + 0.1 * np.sin(step)) for i, loss in enumerate(losses)}
            rows.append({"step": step, **values, "psnr": 20 + step / 1000})
        write_metrics(tmp_path, rows, phase)
    rows_by_phase = {phase: read_metrics(tmp_path / phase) for phase in LOSSES}
    path = tmp_path / "curves.png"
    assert curves.draw_curves(rows_by_phase, path)
    with curves.matplotlib.rc_context(curves._STYLE):
        figure = curves._figure({phase: curves._curves(rows) for phase, rows in rows_by_phase.items()})
        found = panels(figure, path)
    assert list(found) == [
        (0, "PSNR of validation"),
        (0, "pixel loss"),
        (0, "learning rate"),
        (1, "PSNR of validation"),
        (1, "pixel loss"),
        (1, "perceptual loss"),
        (1, "adversarial losses"),
        (1, "mean logits of the discriminator"),
        (1, "learning rate"),
    ]
    first, second = curves._COLOURS
    for (_, title), pixels in found.items():
        # A single point is a small disc, and the mark of the best PSNR hides it.
        enough = 3 if count == 1 else 0.8 * pixels.shape[1]
        assert has(pixels, first) >= enough or (count == 1 and title == "PSNR of validation"), title
        if title in ("adversarial losses", "mean logits of the discriminator"):
            assert has(pixels, second) >= enough, title
        elif title == "PSNR of validation":
            assert 3 <= has(pixels, second) < 20
        else:
            assert has(pixels, second) == 0, title


def test_absent_values_have_no_panel(tmp_path):
    """A loss with weight 0, PSNR without validation images, and a phase without a row have no panel."""
    rows = [{"step": i, "perceptual": 0.0, "seconds": i} for i in (1, 2, 3)]
    write_metrics(tmp_path, rows, "gan")
    assert curves.draw_curves({"psnr": [], "gan": read_metrics(tmp_path / "gan")}, tmp_path / "curves.png")
    figure = curves._figure({"gan": curves._curves(read_metrics(tmp_path / "gan"))})
    assert [axes.get_title("left") for axes in figure.subfigs[0].axes] == [
        "pixel loss",
        "adversarial losses",
        "mean logits of the discriminator",
        "learning rate",
    ]
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width < 700  # one phase, one column
    assert not curves.draw_curves({"psnr": []}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_series():
    rows = [{"step": "5", "psnr": ""}, {"step": "10", "psnr": "inf"}, {"step": "15", "psnr": "21.5"}, {"step": "2x"}]
    steps, values = curves.series(rows, "psnr")
    assert (steps.tolist(), values.tolist()) == ([15], [21.5])
    assert (steps.dtype, values.dtype) == (np.int64, np.float64)
