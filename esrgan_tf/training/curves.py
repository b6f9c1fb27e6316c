"""The curves of a training run, in one PNG. Imports no TensorFlow."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from esrgan_tf.files import replacing
from esrgan_tf.training.loss_terms import Curve, loss_curves

Rows = Sequence[Mapping[str, str]]

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM, _BETWEEN = 5.6, 0.75, 0.2, 0.75, 0.5, 0.45  # inches
_HEIGHTS = {"dB": 1.4, "rate": 0.7}  # of panels, relative
_COLOURS = ("#1f6fb4", "#d9661f")
_SMOOTHED_FROM, _SMOOTHED_OVER = 60, 20  # points; the running mean covers 1/20 of the points
_DOTS_BELOW = 40  # points
_STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.solid_capstyle": "round",
}


def series(rows: Rows, column: str) -> tuple[np.ndarray, np.ndarray]:
    """The measured values of a column of `metrics.csv`: steps, int64 `[N]`, and finite values, float64 `[N]`."""
    pairs = [(int(row["step"]), _number(row.get(column))) for row in rows if row.get("step", "").isdecimal()]
    pairs = [(step, value) for step, value in pairs if math.isfinite(value)]
    return np.array([step for step, _ in pairs], np.int64), np.array([value for _, value in pairs], np.float64)


def draw_curves(rows_by_phase: Mapping[str, Rows], path: Path) -> bool:
    """Writes a PNG with a column of panels per phase: validation PSNR, losses and learning rate over steps.

    Columns without values, or with zeros only, have no panel. Many points are drawn pale under their running mean. The
    file is replaced atomically.

    Args:
        rows_by_phase: the rows of each phase's `metrics.csv`, oldest first, from `read_metrics`.
        path: the PNG; its folder is created.

    Returns:
        Whether a file was written; without values there is none.

    Raises:
        OSError: the file cannot be written.
    """
    curves = {phase: _curves(rows) for phase, rows in rows_by_phase.items()}
    curves = {phase: columns for phase, columns in curves.items() if columns}
    if not curves:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(_STYLE), replacing(path) as staging:
        FigureCanvasAgg(_figure(curves)).print_png(staging)
    return True


def _panels():
    """Panels as `(title, unit, {column: name in the legend})`."""
    columns = [
        Curve("psnr", "PSNR of validation", unit="dB"),
        *loss_curves(),
        Curve("learning_rate", "learning rate", unit="rate"),
    ]
    panels: dict[str, tuple[str, dict[str, str]]] = {}
    for curve in columns:
        panels.setdefault(curve.panel, (curve.unit, {}))[1][curve.column] = curve.legend
    return [(title, unit, names) for title, (unit, names) in panels.items()]


def _figure(curves):
    panels = {phase: [panel for panel in _panels() if panel[2].keys() & curves[phase]] for phase in curves}
    height = max(5.5, 1.75 * max(map(len, panels.values())))
    figure = Figure(figsize=(_WIDTH * len(panels), height), dpi=120)
    parts = figure.subfigures(1, len(panels), squeeze=False)[0]
    for part, (phase, shown) in zip(parts, panels.items(), strict=True):
        free = height - _TOP - _BOTTOM - _BETWEEN * (len(shown) - 1)
        column = part.subplots(
            len(shown), 1, sharex=True, squeeze=False,
            height_ratios=[_HEIGHTS.get(unit, 1.0) for _, unit, _ in shown],
            gridspec_kw={
                "left": _LEFT / _WIDTH, "right": 1 - _RIGHT / _WIDTH, "top": 1 - _TOP / height,
                "bottom": _BOTTOM / height, "hspace": _BETWEEN * len(shown) / free,
            },
        )[:, 0]  # fmt: skip
        column[0].annotate(
            f"phase {phase}", (0, 1), (0, 32), "axes fraction", "offset points", fontsize=13, fontweight="bold"
        )
        for axes, panel in zip(column, shown, strict=True):
            _draw(axes, curves[phase], panel)
        part.align_ylabels()
        column[-1].set_xlabel("step")
        column[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=(1, 2, 5, 10)))
        column[-1].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure


def _curves(rows):
    """The columns with values other than 0, as `series` returns them."""
    columns = {column: series(rows, column) for _, _, names in _panels() for column in names}
    return {column: (steps, values) for column, (steps, values) in columns.items() if values.any()}


def _draw(axes: Axes, curves: dict[str, tuple[np.ndarray, np.ndarray]], panel) -> None:
    title, unit, names = panel
    axes.set_title(title, loc="left")
    axes.set_ylabel(unit)
    drawn = []
    for column, colour in zip(names, _COLOURS, strict=False):
        if column not in curves:
            continue
        steps, values = curves[column]
        drawn.append(values)
        smoothed = len(steps) >= _SMOOTHED_FROM and unit in ("loss", "logit")
        style = {"alpha": 0.35, "linewidth": 0.7} if smoothed else {"linewidth": 1.4, "label": names[column]}
        if len(steps) < _DOTS_BELOW:
            style |= {"marker": "o", "markersize": 3}
        axes.plot(steps, values, color=colour, **style)
        if smoothed:
            means = (_running_mean(array, len(steps) // _SMOOTHED_OVER) for array in (steps, values))
            axes.plot(*means, color=colour, linewidth=1.6, label=names[column])
    lowest, highest = min(map(np.min, drawn)), max(map(np.max, drawn))
    if len(names) > 1:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderpad=0.1, borderaxespad=0.4)
    if unit == "dB":
        steps, values = curves["psnr"]
        best = values.argmax()
        axes.plot(steps[best], values[best], "o", color=_COLOURS[1], markersize=6)
        axes.set_title(f"best {values[best]:.2f} dB at step {steps[best]:,}", loc="right", color=_COLOURS[1])
    if unit == "loss" and 0 < 5 * lowest < highest:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if unit == "rate":
        power = math.floor(math.log10(highest) + 1e-6)  # float32 has no exact 1e-4
        axes.set_ylabel(f"× 1e{power}")
        axes.set_ylim(0, 1.1 * highest)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value / 10**power:g}")


def _running_mean(values, window):
    return np.convolve(values, np.full(window, 1 / window), "valid")


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):  # a missing column of an older run, or an empty or incomplete cell
        return math.nan
