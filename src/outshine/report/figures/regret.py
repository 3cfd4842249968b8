"""Figure of regret: choosing on n trusted labels as a curve, label-free rules as lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from outshine.report.figures.layout import label_panels, panel_grid
from outshine.report.figures.style import (
    INK,
    SOFT,
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

_NAMED = "trusted labels"
_ROOM = 2.5  # times the greatest value: what limits may take of a panel
_DASHES = ("--", "-.", (0, (6, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 3)))


class Line(NamedTuple):
    """How the line of a rule looks."""

    colour: str
    dashes: Any


@house_style()
def regret_by_labels(frame: pd.DataFrame, floor: str, note: str = "", name: str = "regret") -> Figure:
    """Regret in test ROC AUC by number of trusted labels; a panel a dataset, in the order of the rows.

    `frame`: columns dataset (the panel's title), label (of a label-free rule; empty: trusted labels), n (how many;
    ignored for rules), regret, regret_low, regret_high. The limits of trusted labels are a band, those of rules bars
    to the right, where no budget is; unknown limits are not drawn. The rule called `floor` is grey and dotted. `note`:
    what the limits are. Raises DataError on no rows or two for one dataset, label and n.
    """
    once_each(frame, ["dataset", "label", "n"])
    datasets = frame["dataset"].unique().tolist()
    rules = [label for label in frame["label"].unique() if label]
    looks = _looks(rules, floor)
    figure, panels = panel_grid(name, datasets, 3 if len(datasets) <= 9 else 5, 1.8)
    budgets = sorted(frame.loc[frame["label"] == "", "n"].unique())
    for dataset, axes in zip(datasets, panels, strict=True):
        own = frame[frame["dataset"] == dataset]
        _draw_budgets(axes, own[own["label"] == ""].sort_values("n"))
        rows = own[own["label"] != ""].to_dict("records")
        _draw_rules(axes, {row["label"]: row for row in rows}, looks, budgets[-1] if budgets else 1)
        axes.set_ylim(0, _top(own))
        axes.locator_params(axis="y", nbins=4)
    _log_axis(panels, budgets)
    label_panels(figure, panels, "trusted labels (log scale)", "regret: oracle − choice, test ROC AUC")
    lines = [handle(label, Series(look.colour, ""), linestyle=look.dashes) for label, look in looks.items()]
    add_legend(figure, [handle(_NAMED, Series(INK, "o"), markersize=3), *lines])
    if note:
        add_note(figure, note)
    return figure


def _looks(rules: list[str], floor: str) -> dict[str, Line]:
    """A colour and dashes for each rule, in order; the floor's own."""
    colours = series_styles([label for label in rules if label != floor])
    dashed = {
        label: Line(look.colour, _DASHES[number % len(_DASHES)]) for number, (label, look) in enumerate(colours.items())
    }
    return {label: dashed.get(label, Line(SOFT, ":")) for label in rules}


def _top(own: pd.DataFrame) -> float:
    """High enough for all values and most limits; those over two seeds may be anywhere."""
    most, limit = own["regret"].max(), own["regret_high"].max()
    return 1.05 * max(most, min(limit, _ROOM * most) if math.isfinite(limit) else most) or 0.01


def _draw_budgets(axes: Axes, own: pd.DataFrame) -> None:
    axes.plot(own["n"], own["regret"], "o-", color=INK, markersize=3, label=_NAMED, zorder=3)
    axes.fill_between(own["n"], own["regret_low"], own["regret_high"], color=INK, alpha=0.12, linewidth=0)


def _draw_rules(axes: Axes, own: dict[str, dict[Any, Any]], looks: dict[str, Line], most: float) -> None:
    """A line across the panel for each rule, its limits as a bar behind the greatest budget."""
    for number, (label, look) in enumerate(looks.items()):
        if label not in own:
            continue
        row = own[label]
        axes.axhline(row["regret"], color=look.colour, linestyle=look.dashes, linewidth=1.0, label=label)
        if math.isfinite(row["regret_high"]):
            place = most * 1.35 ** (number + 1)
            axes.plot([place] * 2, [row["regret_low"], row["regret_high"]], "-", color=look.colour, linewidth=1.6)


def _log_axis(panels: list[Axes], budgets: list[float]) -> None:
    from matplotlib.ticker import NullLocator

    shown = budgets[:: -(-len(budgets) // 5)] if budgets else [1]
    for axes in panels:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(shown, [f"{n:g}" for n in shown])
