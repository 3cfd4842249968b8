"""Figure (f): what TopoFilter's first step removes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outshine.report.figures.layout import label_x, row_chart
from outshine.report.figures.style import (
    BLUE,
    INK,
    VERMILION,
    Series,
    add_legend,
    handle,
    house_style,
    once_each,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MEAN = Series(BLUE, "o")


@house_style()
def removed_by_components(frame: pd.DataFrame, quota: float = 0.1) -> Figure:
    """Share of strong_train, in percent, that TopoFilter's first step (TopoCC) removes, a row a dataset.

    `frame`: columns dataset, seed, fraction in [0, 1]. Marks: the mean over seeds, and with several seeds each of
    them as a small tick. The line is the drop quota: right of it the components alone remove more than the filter was
    asked to, and nothing further goes. Raises DataError on no rows or two for one dataset and seed.
    """
    once_each(frame, ["dataset", "seed"])
    percent = frame.assign(fraction=100 * frame["fraction"])
    rows = row_chart("removed-by-components", frame["dataset"].unique().tolist(), 0.24)
    means = percent.groupby("dataset", sort=False)["fraction"].mean()
    several = bool(frame.duplicated("dataset").any())
    for axes, datasets in rows.columns:
        height = {dataset: row for row, dataset in enumerate(datasets)}
        own, mean = percent[percent["dataset"].isin(datasets)], means[datasets]
        axes.hlines(range(len(mean)), 0, mean, color=BLUE, linewidth=1.2, alpha=0.5)
        axes.plot(mean, range(len(mean)), "o", color=BLUE, markersize=5, label="mean")
        if several:
            places = own["dataset"].map(height)
            axes.plot(own["fraction"], places, "|", color=INK, markersize=6, markeredgewidth=0.8, label="seeds")
        axes.axvline(100 * quota, color=VERMILION, linestyle="--", label="quota")
        axes.set_xlim(0, 1.06 * max(percent["fraction"].max(), 130 * quota))
    label_x(rows, "strong_train removed by TopoFilter's first step (% of rows)")
    marks = [handle("mean over seeds" if several else "fraction removed", _MEAN, linestyle="")]
    if several:
        marks.append(handle("one seed", Series(INK, "|"), linestyle="", markersize=6))
    marks.append(handle(f"drop quota ({100 * quota:g} %)", Series(VERMILION, ""), linestyle="--"))
    add_legend(rows.figure, marks)
    return rows.figure
