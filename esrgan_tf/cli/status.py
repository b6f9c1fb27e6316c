"""`esrgan-tf status`: prints the state of a training run, also during training, and draws its curves."""

import re
import time
from pathlib import Path

import yaml
from absl import flags
from tabulate import tabulate

from esrgan_tf.cli.common import parse
from esrgan_tf.config import Config
from esrgan_tf.errors import UserError, as_typed
from esrgan_tf.files import check_folder
from esrgan_tf.runs.folder import (
    HISTORY,
    METRICS,
    PHASES,
    checkpoint_config,
    checkpoint_path,
    checkpoint_steps,
    is_phase_locked,
    read_metrics,
    run_config,
)
from esrgan_tf.training.curves import Rows, draw_curves, series

FLAGS = flags.FlagValues()
flags.DEFINE_string("output", None, "PNG file of the curves. Default: curves.png in the run folder.", flag_values=FLAGS)
GROUPS = {"output": ("output",)}

_SPEED_ROWS = 100  # the last records, from which the speed is computed; enough to include validations


def main(argv: list[str]) -> None:
    """Prints the state of a run with the given flags. See `esrgan-tf status --help`."""
    names = parse(FLAGS, GROUPS, argv, "status D [--output F.png]")
    if len(names) != 1:
        raise UserError(
            f"status takes one run folder, not {len(names)} names; for instance {as_typed('status', 'runs/esrgan')}"
        )
    run_dir = Path(names[0])
    output = run_dir / "curves.png" if FLAGS.output is None else Path(FLAGS.output)
    if not run_dir.is_dir():
        raise UserError(f"no folder {run_dir}; name the --run_dir of the training")
    if output.suffix.lower() != ".png":
        raise UserError(f"--output {output}: must end in .png")
    check_folder(output)
    rows = {phase: _read_rows(run_dir / phase) for phase in PHASES}
    started = [phase for phase in PHASES if rows[phase] or _has_started(run_dir / phase)]
    if not started:
        raise UserError(
            f"no run in {run_dir}; name the --run_dir of the training, a folder with a subfolder psnr or gan"
        )

    table = [_facts(run_dir, phase, rows[phase]) for phase in started]
    columns = [name for name in table[0] if name != "skipped" or any(facts[name] != "0" for facts in table)]
    print(tabulate([[facts[name] for name in columns] for facts in table], columns, disable_numparse=True))
    print("".join(f"\n{line}" for line in _describe_starts(run_dir / HISTORY)))
    drawn = draw_curves(rows, output)
    print(f"curves: {output if drawn else 'none yet'}")


def _read_rows(folder: Path) -> Rows:
    return [row for row in read_metrics(folder) if row.get("step", "").isdecimal()]


def _has_started(folder: Path) -> bool:
    return bool(checkpoint_steps(folder / "checkpoints")) or is_phase_locked(folder)


def _facts(run_dir: Path, phase: str, rows: Rows) -> dict[str, str]:
    """The table row of a phase, by column."""
    folder = run_dir / phase
    checkpoint = max(checkpoint_steps(folder / "checkpoints"), default=0)
    config = _config(run_dir, folder)
    steps = None if config is None else getattr(config, phase).steps
    step = max([checkpoint, *series(rows, "step")[0].tolist()])
    complete = steps is not None and checkpoint >= steps
    seconds = _seconds_per_step(rows)
    measured_at, psnr = series(rows, "psnr")
    skipped = series(rows, "skipped")[1]
    return {
        "phase": phase,
        "state": "complete" if complete else _state(folder, rows),
        "step": f"{step}" if steps is None else f"{step} of {steps}",
        "speed": _speed(seconds),
        "time left": "-" if complete or None in (steps, seconds) else _duration(max(0, steps - step) * seconds),
        "PSNR": f"{psnr[-1]:.2f} dB" if len(psnr) else "-",
        "best": f"{psnr.max():.2f} dB at {measured_at[psnr.argmax()]}" if len(psnr) else "-",
        "skipped": f"{skipped[-1]:.0f}" if len(skipped) else "0",
        "last checkpoint": f"ckpt-{checkpoint}, {_age(checkpoint_path(folder / 'checkpoints', checkpoint))}"
        if checkpoint
        else "-",
    }


def _config(run_dir: Path, folder: Path) -> Config | None:
    """The run's configuration; None before a new run has written it."""
    return run_config(run_dir) or checkpoint_config(folder / "checkpoints")


def _state(folder: Path, rows: Rows) -> str:
    if not is_phase_locked(folder):
        return "stopped"
    return f"running, last record {_age(folder / METRICS)}" if rows else "running, no record yet"


def _seconds_per_step(rows: Rows) -> float | None:
    """Recent wall-clock seconds per step, including validation but not pauses; None without enough records."""
    steps, seconds = series(rows[-_SPEED_ROWS:], "seconds")
    if len(steps) < 2 or seconds[-1] <= seconds[0]:
        return None
    return float(seconds[-1] - seconds[0]) / int(steps[-1] - steps[0])


def _speed(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{1 / seconds:.1f} steps/s" if seconds <= 1 else f"{seconds:.1f} s/step"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02}:{minutes:02}" if days else f"{hours:02}:{minutes:02}:{seconds:02}"


def _age(path: Path) -> str:
    """Age of a file or folder in the largest whole unit."""
    seconds = max(0, int(time.time() - path.stat().st_mtime))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _describe_starts(history: Path) -> list[str]:
    """Lines on the first and the latest readable start."""
    if not history.is_file():
        return []
    entries = re.split(r"^(?=- )", history.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE)
    # A run may have hundreds of starts, each with a whole configuration. Only the first and the last are parsed.
    first, latest = (next(filter(None, map(_read_start, order)), None) for order in (entries, reversed(entries)))
    if first == latest:
        return [f"started: {first}"] if first else []
    return [f"first start: {first}", f"latest start: {latest}"]


def _read_start(entry: str) -> str | None:
    """Time and command of an entry of the history; None if the entry is incomplete."""
    try:
        facts = yaml.safe_load(entry)
    except yaml.YAMLError:
        return None
    facts = facts[0] if isinstance(facts, list) else None
    # The key after the command shows that the command is complete.
    if not isinstance(facts, dict) or not {"time", "command", "version"} <= facts.keys():
        return None
    return f"{facts['time']}, {facts['command']}".replace("T", " ", 1).replace("+00:00", " UTC", 1)
