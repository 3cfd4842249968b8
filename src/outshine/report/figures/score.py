"""The figure of `outshine score`: what supervisor, student and ceiling reach, and beside it the PGR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outshine.report.figures.auroc import ROLE_NAMES, ROLES
from outshine.report.figures.layout import offsets
from outshine.report.figures.style import BAND, INK, SMALL, SOFT, WIDTH, add_legend, handle, house_style, wrapped

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PGR_WINDOW = (-1.0, 2.0)
_ROW, _PADDING, _MOST_ROWS = 0.34, 1.2, 60  # inches; rows beyond which a page would be too tall


@house_style()
def score_figure(summary: pd.DataFrame) -> Figure:
    """Values with 95 % intervals on the left, PGRs with theirs on the right, a row a method or control.

    `summary`: of `outshine.results.score.measure.ScoreResults`; its first metric is drawn, of the first 60 rows. A role
    that is not known has no mark; a PGR that is not defined is the word, and limits beyond −1 and 2 end there.
    """
    from matplotlib.figure import Figure

    metric = str(summary["metric"].iloc[0])
    rows = summary[summary["metric"] == metric].head(_MOST_ROWS)
    height = _PADDING + _ROW * len(rows)
    figure = Figure(figsize=(WIDTH, height), layout="constrained", label="score")
    values, pgr = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    _frame(values, _names(rows))
    for (role, look), offset in zip(ROLES.items(), offsets(len(ROLES)), strict=True):
        known = rows[f"{role}_value"].notna().to_numpy()
        at = [number + offset for number, here in enumerate(known) if here]
        there = rows[known]
        values.hlines(at, there[f"{role}_low"], there[f"{role}_high"], color=look.colour, zorder=2)
        values.plot(there[f"{role}_value"], at, look.marker, color=look.colour, markersize=4.5, label=role, zorder=3)
    values.set_xlabel(f"{metric.replace('_', ' ')}, with 95 % interval")
    _draw_pgr(pgr, rows)
    add_legend(figure, [handle(ROLE_NAMES[role], look) for role, look in ROLES.items()])
    return figure


def _names(rows: pd.DataFrame) -> list[str]:
    """What each row is called: what tells it from the others."""
    told = [name for name in ("dataset", "test") if rows[name].nunique() > 1]
    names = []
    for row in rows.to_dict("records"):
        method = str(row["method"]) or "student"
        parts = [*(str(row[name]) for name in told), f"control {method}" if row["purpose"] == "control" else method]
        names.append(wrapped(" ".join(part for part in parts if part), 26, max_lines=2))
    return names


def _frame(axes: Axes, names: list[str]) -> None:
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    for row in range(0, len(names), 2):
        axes.axhspan(row - 0.5, row + 0.5, color=BAND, linewidth=0, zorder=0)


def _draw_pgr(axes: Axes, rows: pd.DataFrame) -> None:
    low, high = PGR_WINDOW
    axes.set_xlim(low, high)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    for number, row in enumerate(rows.to_dict("records")):
        if number % 2 == 0:
            axes.axhspan(number - 0.5, number + 0.5, color=BAND, linewidth=0, zorder=0)
        if not row["defined"]:
            axes.text(0.02, number, "undefined", fontsize=SMALL, color=SOFT, va="center_baseline")
            continue
        ends = [min(max(row[name], low), high) for name in ("pgr_low", "pgr_high")]
        axes.hlines(number, *ends, color=INK, zorder=2)
        beyond = {-1: "<", 1: ">"}.get((row["pgr"] > high) - (row["pgr"] < low), "D")
        axes.plot(min(max(row["pgr"], low), high), number, beyond, color=INK, markersize=4.5, clip_on=False, zorder=3)
    for end, role in ((0.0, "weak"), (1.0, "ceiling")):
        axes.axvline(end, color=SOFT, linewidth=0.9, linestyle=":", zorder=1)
        above = {"xycoords": axes.get_xaxis_transform(), "xytext": (0, 2), "textcoords": "offset points"}
        axes.annotate(role, (end, 1), **above, fontsize=SMALL, color=SOFT, ha="center")
    axes.set_xlabel("PGR, with 95 % interval")
