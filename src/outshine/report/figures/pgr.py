"""Figures (b) to (e): performance gap recovered, a row a dataset, a mark a series."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from outshine.engine.errors import SettingsError
from outshine.report.figures.layout import MARK, RowLayout, label_x, offsets, row_chart
from outshine.report.figures.style import (
    SMALL,
    SOFT,
    VANILLA,
    Series,
    add_legend,
    add_note,
    handle,
    house_style,
    once_each,
    series_styles,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WINDOW = (-1.0, 2.0)
"""PGRs that are drawn at their place; beyond, they are drawn at the edge with their value beside."""

_LANE = 0.115  # inches for each series of a row: a line of the smallest type fits
_GUTTERS = {1: 0.085, 2: 0.24}  # strip for values beyond the window, as a share of it, by number of columns
_SATURATED = f"{MARK} saturated: weak supervisor and ceiling both above .999; left out of pooled PGRs"


def pgr_by_round(summary: pd.DataFrame, window: tuple[float, float] = WINDOW) -> Figure:
    """(b) PGR by round of strong-to-strong training. Frame and marks: see `pgr_by_method`."""
    return _pgr_figure("pgr-by-round", summary, window, "strong-to-strong training")


def pgr_by_loss(summary: pd.DataFrame, window: tuple[float, float] = WINDOW) -> Figure:
    """(c) PGR of vanilla students by loss. Frame and marks: see `pgr_by_method`."""
    return _pgr_figure("pgr-by-loss", summary, window, "vanilla students by loss")


def pgr_of_probes(summary: pd.DataFrame, window: tuple[float, float] = WINDOW) -> Figure:
    """(d) PGR of probes on the strong model, beside the vanilla student. Frame and marks: see `pgr_by_method`."""
    return _pgr_figure("pgr-of-probes", summary, window)


def pgr_of_changed_data(summary: pd.DataFrame, window: tuple[float, float] = WINDOW) -> Figure:
    """(e) PGR of students on filtered rows or on a probe's labels, beside vanilla. See `pgr_by_method`."""
    return _pgr_figure("pgr-of-changed-data", summary, window)


def pgr_by_method(summary: pd.DataFrame, window: tuple[float, float] = WINDOW) -> Figure:
    """PGR of any methods, with 95 % intervals, a row a dataset and a mark a series.

    `summary`: one row for each dataset and `label` (the series), with columns pgr, pgr_low, pgr_high, defined,
    saturated, as `select` gives. Drawn so that nothing is left out in silence: a PGR beyond `window` is an arrow at
    the edge with its value beside, an interval that goes beyond it ends at the edge in a small arrow, an undefined
    PGR is the word, a saturated dataset carries a dagger. Raises DataError on no rows, two for one mark, or a window
    that does not hold 0 and 1.
    """
    return _pgr_figure("pgr-by-method", summary, window)


@house_style()
def _pgr_figure(name: str, summary: pd.DataFrame, window: tuple[float, float], title: str = "") -> Figure:
    if not (window[0] < 0 and window[1] > 1):
        raise SettingsError(f"a window of PGRs holds 0 and 1 and more; given {window[0]:g} to {window[1]:g}")
    once_each(summary, ["dataset", "label"])
    labels = summary["label"].unique().tolist()
    looks = series_styles(labels, reference=VANILLA)
    saturated = summary.loc[summary["saturated"].astype(bool), "dataset"].unique().tolist()
    rows = row_chart(name, summary["dataset"].unique().tolist(), max(0.24, _LANE * (len(labels) + 1)), saturated)
    for axes, datasets in rows.columns:
        for (label, look), offset in zip(looks.items(), offsets(len(labels)), strict=True):
            own = summary[summary["label"] == label]
            heights = own["dataset"].map({dataset: row + offset for row, dataset in enumerate(datasets)})
            _draw_series(axes, own[heights.notna()].assign(height=heights), label, look, window)
        _name_undefined(axes, summary, datasets, labels)
    _finish(rows, _edges(summary, window, _GUTTERS[len(rows.columns)]), window)
    add_legend(rows.figure, [handle(label, look) for label, look in looks.items()], title)
    if saturated:
        add_note(rows.figure, _SATURATED)
    return rows.figure


def _draw_series(axes: Axes, own: pd.DataFrame, label: str, look: Series, window: tuple[float, float]) -> None:
    """One series on one axes; `own` has a column height. Artists are labelled after the series."""
    low, high = window
    defined = own[own["defined"].astype(bool)]
    ends = defined[["pgr_low", "pgr_high"]].clip(low, high)
    axes.hlines(defined["height"], ends["pgr_low"], ends["pgr_high"], color=look.colour, label=f"{label} interval")
    inside = defined[defined["pgr"].between(low, high)]
    axes.plot(inside["pgr"], inside["height"], look.marker, color=look.colour, markersize=4.5, label=label, zorder=4)
    sides = (
        (low, "<", defined["pgr"] < low, defined["pgr_low"] < low),
        (high, ">", defined["pgr"] > high, defined["pgr_high"] > high),
    )
    for edge, arrow, beyond, cut in sides:
        _mark_edge(axes, edge, defined.loc[beyond, "height"], arrow, look, 6, f"{label} beyond")
        _mark_edge(axes, edge, defined.loc[cut & ~beyond, "height"], arrow, look, 3, f"{label} cut")
        for value, height in defined.loc[beyond, ["pgr", "height"]].itertuples(index=False):
            _write_value(axes, value, edge, height)


def _name_undefined(axes: Axes, summary: pd.DataFrame, datasets: list[str], labels: list[str]) -> None:
    """The word in the place of each undefined PGR; once where a dataset has no other."""
    place = dict(zip(labels, offsets(len(labels)), strict=True))
    for row, dataset in enumerate(datasets):
        own = summary[summary["dataset"] == dataset]
        undefined = own.loc[~own["defined"].astype(bool), "label"]
        words = {row + place[label]: "undefined" for label in undefined}
        if len(own) > 1 and len(undefined) == len(own):
            words = {float(row): "all undefined"}
        for height, word in words.items():
            axes.text(0.02, height, word, fontsize=SMALL, color=SOFT, va="center_baseline")


def _mark_edge(axes: Axes, edge: float, heights: pd.Series, arrow: str, look: Series, size: float, label: str) -> None:
    if len(heights):  # the layout trips over empty artists that are not clipped
        at = [edge] * len(heights)
        axes.plot(at, heights, arrow, color=look.colour, markersize=size, clip_on=False, label=label, zorder=4)


def _write_value(axes: Axes, value: float, edge: float, height: float) -> None:
    """The true value of a PGR beside its arrow, outside the window."""
    side = 1 if value > edge else -1
    axes.annotate(
        value_text(value),
        (edge, height),
        (5 * side, 0),
        textcoords="offset points",
        fontsize=SMALL,
        ha="left" if side > 0 else "right",
        va="center_baseline",
    )


def value_text(value: float) -> str:
    """A PGR beyond the window: two decimals, none from 10 on, powers of ten from 10,000 on."""
    text = f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}" if abs(value) < 9999.5 else f"{value:.0e}"
    return text.replace("-", "−")


def _edges(summary: pd.DataFrame, window: tuple[float, float], share: float) -> tuple[float, float]:
    """The limits of the axis: the window, and a strip beside it where values must be written."""
    low, high = window
    strip = share * (high - low)
    defined = summary.loc[summary["defined"].astype(bool), "pgr"]
    return low - (strip if (defined < low).any() else 0.0), high + (strip if (defined > high).any() else 0.0)


def _finish(rows: RowLayout, edges: tuple[float, float], window: tuple[float, float]) -> None:
    low, high = window
    a_unit = 2 if len(rows.columns) == 1 and high - low < 5 else 1
    ticks = [tick / a_unit for tick in range(math.ceil(a_unit * low), math.floor(a_unit * high) + 1)]
    for axes, _ in rows.columns:
        axes.set_xlim(*edges)
        axes.set_xticks(ticks)
        for edge, outer in zip(window, edges, strict=True):
            if edge != outer:
                axes.axvspan(min(edge, outer), max(edge, outer), color="#e4e4e4", linewidth=0, zorder=0.5)
        for end, role in ((0.0, "weak"), (1.0, "ceiling")):
            axes.axvline(end, color=SOFT, linewidth=0.9, linestyle=":", zorder=1)
            above = {"xycoords": axes.get_xaxis_transform(), "xytext": (0, 2), "textcoords": "offset points"}
            axes.annotate(role, (end, 1), **above, fontsize=SMALL, color=SOFT, ha="center")
    label_x(rows, "performance gap recovered (PGR), with 95 % interval")
