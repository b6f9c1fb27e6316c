"""`esrgan-tf status`: where a training run stands, also while it trains, and its curves."""

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
flags.DEFINE_string("output", None, "PNG of the curves; else curves.png in the run folder.", flag_values=FLAGS)

_SPEED_ROWS = 100  # the last records, which the speed is taken from: some with a validation among them


def main(argv: list[str]) -> None:
    """Tells as the flags say. See `esrgan-tf status --help`."""
    names = parse(FLAGS, argv, "status D [--output F.png]")
    if len(names) != 1:
        raise UserError(
            f"status takes one run folder, not {len(names)} names; for instance: {as_typed('status', 'runs/esrgan')}"
        )
    run_dir = Path(names[0])
    output = run_dir / "curves.png" if FLAGS.output is None else Path(FLAGS.output)
    if not run_dir.is_dir():
        raise UserError(f"no folder {run_dir}; name what was --run_dir in training")
    if output.suffix.lower() != ".png":
        raise UserError(f"--output {output}: must end in .png")
    check_folder(output)
    rows = {phase: _rows(run_dir / phase) for phase in PHASES}
    begun = [phase for phase in PHASES if rows[phase] or _begun(run_dir / phase)]
    if not begun:
        raise UserError(f"no run in {run_dir}; name what was --run_dir in training: it holds a folder psnr or gan")

    table = [_facts(run_dir, phase, rows[phase]) for phase in begun]
    columns = [name for name in table[0] if name != "skipped" or any(facts[name] != "0" for facts in table)]
    print(tabulate([[facts[name] for name in columns] for facts in table], columns, disable_numparse=True))
    print("".join(f"\n{line}" for line in _starts(run_dir / HISTORY)))
    drawn = draw_curves(rows, output)
    print(f"curves: {output if drawn else 'none yet'}")


def _rows(folder: Path) -> Rows:
    return [row for row in read_metrics(folder) if row.get("step", "").isdecimal()]


def _begun(folder: Path) -> bool:
    return bool(checkpoint_steps(folder / "checkpoints")) or is_phase_locked(folder)


def _facts(run_dir: Path, phase: str, rows: Rows) -> dict[str, str]:
    """What the table says of one phase, by column."""
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
    """The run's configuration; None in the moments before a new run has written it."""
    return run_config(run_dir) or checkpoint_config(folder / "checkpoints")


def _state(folder: Path, rows: Rows) -> str:
    if not is_phase_locked(folder):
        return "stopped"
    return f"running, last record {_age(folder / METRICS)}" if rows else "running, no record yet"


def _seconds_per_step(rows: Rows) -> float | None:
    """Wall-clock seconds of a step lately, all included but pauses; or None."""
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
    """How long ago the file or folder was written, in its largest whole unit."""
    seconds = max(0, int(time.time() - path.stat().st_mtime))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _starts(history: Path) -> list[str]:
    """Lines on the first and the latest start that can be read."""
    if not history.is_file():
        return []
    entries = re.split(r"^(?=- )", history.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE)
    # A run may have hundreds, each with a whole configuration: the two that are wanted are looked for from the ends.
    first, latest = (next(filter(None, map(_start, order)), None) for order in (entries, reversed(entries)))
    if first == latest:
        return [f"started: {first}"] if first else []
    return [f"first start: {first}", f"latest start: {latest}"]


def _start(entry: str) -> str | None:
    """Time and command of one entry of the history; None where it is torn."""
    try:
        facts = yaml.safe_load(entry)
    except yaml.YAMLError:
        return None
    facts = facts[0] if isinstance(facts, list) else None
    # The key that follows the command tells that the command is whole.
    if not isinstance(facts, dict) or not {"time", "command", "version"} <= facts.keys():
        return None
    return f"{facts['time']}, {facts['command']}".replace("T", " ", 1).replace("+00:00", " UTC", 1)
