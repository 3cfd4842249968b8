"""Figures (g) and (h): how a probe's test ROC AUC depends on its main setting and on the layer it looks at."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from outshine.report.figures.layout import label_panels, panel_grid
from outshine.report.figures.style import (
    INK,
    SMALL,
    SOFT,
    Series,
    add_legend,
    handle,
    house_style,
    once_each,
    ordered_styles,
    series_styles,
    wrapped,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 6
"""With more datasets than this, their lines are grey and only the highest and the lowest are named."""

_MEDIAN = "median over datasets"
_GREY = "#9a9a9a"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def knn_sweep(frame: pd.DataFrame) -> Figure:
    """(g) kNN probes by number of neighbours k and by layer. Frame, panels: see `logistic_sweep`."""
    return _sweep("knn-sweep", frame, "neighbours k (log scale)")


def logistic_sweep(frame: pd.DataFrame) -> Figure:
    """(h) Logistic probes by penalty λ and by layer: probe's test ROC AUC − that of the weak labels.

    `frame`: columns dataset, layer (text), setting (above 0), seed, difference; seeds are averaged.
    The first panel holds the median over datasets, a line a layer: the question of a sweep is which layer and setting
    to take, and one line a layer answers it where 25 × 4 lines would hide it. A panel a layer follows with a line a
    dataset and the median in black: whether the median speaks for most datasets, and where it does not. Panels by
    dataset would answer "which setting for this dataset", which nobody can choose without ground truth.
    Raises DataError on no rows or two for one dataset, layer, setting and seed.
    """
    return _sweep("logistic-sweep", frame, "penalty λ (log scale)")


def setting_text(setting: float) -> str:
    """`50`, `0.03`; powers of ten below .01 and above 1,000 as such: `10⁻⁴`."""
    mantissa, exponent = f"{setting:e}".split("e")
    if float(mantissa) == 1 and not -2 <= int(exponent) <= 3:
        return "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    return f"{setting:g}"


@house_style()
def _sweep(name: str, frame: pd.DataFrame, setting: str) -> Figure:
    once_each(frame, ["dataset", "layer", "setting", "seed"])
    layers, datasets = (frame[column].unique().tolist() for column in ("layer", "dataset"))
    by_layer, by_dataset = ordered_styles(layers), series_styles(datasets)
    titles = [_MEDIAN.capitalize() if len(datasets) > 1 else "All layers", *(f"Layer {layer}" for layer in layers)]
    figure, panels = panel_grid(name, titles, 3, 1.9, sharey=True)
    for axes, (layer, look) in zip(panels[1:], by_layer.items(), strict=True):
        lines = frame[frame["layer"] == layer].pivot_table(index="setting", columns="dataset", values="difference")
        median = lines.median(axis=1)
        panels[0].plot(median.index, median, look.marker + "-", color=look.colour, markersize=4, label=layer)
        _draw_datasets(axes, lines, by_dataset)
        if len(datasets) > 1:
            axes.plot(median.index, median, color=INK, linewidth=2.2, label=_MEDIAN)
    for axes in panels:
        axes.axhline(0, color=SOFT, linewidth=0.9, linestyle=":")
        axes.margins(y=0.12)
    _log_axis(panels, sorted(frame["setting"].unique()))
    label_panels(figure, panels, setting, "test ROC AUC, probe − weak labels")
    _add_legends(figure, by_layer, by_dataset)
    return figure


def _draw_datasets(axes: Axes, lines: pd.DataFrame, looks: dict[str, Series]) -> None:
    """A line a dataset (a column of `lines`; its rows are settings)."""
    many = len(looks) > MOST_NAMED
    for dataset in lines.columns:
        look, line = looks[dataset], lines[dataset]
        colour, marker, width = (_GREY, "", 0.6) if many else (look.colour, look.marker, 0.8)
        axes.plot(line.index, line, marker + "-", color=colour, linewidth=width, markersize=3, label=dataset)
    if many:
        _name_point(axes, lines, lines.max().idxmax(), lines.max(axis=1).idxmax(), above=True)
        _name_point(axes, lines, lines.min().idxmin(), lines.min(axis=1).idxmin(), above=False)


def _name_point(axes: Axes, lines: pd.DataFrame, dataset: Hashable, setting: Hashable, *, above: bool) -> None:
    """A dataset's name where its line reaches the highest or lowest point of all."""
    row, column = list(lines.index).index(setting), list(lines).index(dataset)
    place = row / max(1, len(lines) - 1)
    axes.annotate(
        wrapped(str(dataset), 22, max_lines=1),
        (lines.index.to_numpy()[row], lines.to_numpy()[row, column]),
        (0, 3 if above else -3),
        textcoords="offset points",
        fontsize=SMALL,
        va="bottom" if above else "top",
        ha="left" if place < 0.3 else "right" if place > 0.7 else "center",
    )


def _log_axis(panels: Sequence[Axes], settings: Sequence[float]) -> None:
    """A log scale whose ticks are settings of the sweep, thinned out where they are many."""
    from matplotlib.ticker import NullLocator

    shown = settings[:: -(-len(settings) // 6)]
    for axes in panels:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(shown, [setting_text(setting) for setting in shown])


def _add_legends(figure: Figure, by_layer: dict[str, Series], by_dataset: dict[str, Series]) -> None:
    """Layers above, for the first panel; datasets below, for the others."""
    add_legend(figure, [handle(layer, look) for layer, look in by_layer.items()], "layer")
    median = [handle(_MEDIAN, Series(INK, ""), linewidth=2.2)] if len(by_dataset) > 1 else []
    if len(by_dataset) > MOST_NAMED:
        thin = handle(f"one of {len(by_dataset)} datasets", Series(_GREY, ""), linewidth=0.6)
        add_legend(figure, [thin, *median], place="lower")
    else:
        named = [handle(wrapped(dataset, 40, max_lines=1), look) for dataset, look in by_dataset.items()]
        add_legend(figure, [*named, *median], place="lower")
