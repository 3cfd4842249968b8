"""Layouts of figures: a row a dataset, in two columns where one would be too tall; or a grid of small panels."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from outshine.report.figures.style import BAND, SMALL, WIDTH, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TALLEST = 8.5  # inches that the rows of one column may take
MARK = "†"

_ROWS_PADDING = 1.1  # inches for legend and axis label
_NAME_WIDTHS = {1: 30, 2: 17}  # letters of a dataset's name on a line, by number of columns
_LABEL_WIDTHS = {1: 90, 2: 36}
_PANELS_PADDING = 0.9  # inches for legend and notes


class RowLayout(NamedTuple):
    """A figure, and its axes from left to right with the datasets of each from the top: row i is at y = i."""

    figure: Figure
    columns: list[tuple[Axes, list[str]]]


def row_chart(name: str, datasets: Sequence[str], row_height: float, marked: Collection[str] = ()) -> RowLayout:
    """Empty axes with a row, `row_height` inches high, for each dataset; names in `marked` carry a dagger."""
    from matplotlib.figure import Figure

    num_columns = 1 if len(datasets) * row_height <= TALLEST or len(datasets) < 4 else 2
    num_rows = math.ceil(len(datasets) / num_columns)
    figure = Figure(figsize=(WIDTH, _ROWS_PADDING + row_height * num_rows), layout="constrained", label=name)
    grid = figure.subplots(1, num_columns, squeeze=False, sharex=True)[0]
    columns = [
        (axes, list(datasets[start : start + num_rows]))
        for axes, start in zip(grid, range(0, len(datasets), num_rows), strict=True)
    ]
    for axes, names in columns:
        shown = [
            wrapped(dataset, _NAME_WIDTHS[num_columns]) + (f" {MARK}" if dataset in marked else "") for dataset in names
        ]
        _finish(axes, shown, num_rows)
    return RowLayout(figure, columns)


def label_x(rows: RowLayout, text: str) -> None:
    """The label of the x axis below each column, on two lines where columns are narrow."""
    width = _LABEL_WIDTHS[len(rows.columns)]
    for axes, _ in rows.columns:
        axes.set_xlabel(textwrap.fill(text, width))


def offsets(num_series: int, share: float = 0.8) -> list[float]:
    """Where the series of a row lie, from the top, in heights of a row around its middle."""
    return [share * ((number + 0.5) / num_series - 0.5) for number in range(num_series)]


def _finish(axes: Axes, names: list[str], num_rows: int) -> None:
    axes.set_ylim(num_rows - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    for row in range(0, len(names), 2):
        axes.axhspan(row - 0.5, row + 0.5, color=BAND, linewidth=0, zorder=0)


def panel_grid(
    name: str, titles: Sequence[str], most_columns: int, height: float, *, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with a titled panel for each title, `height` inches high; x is shared."""
    from matplotlib.figure import Figure

    num_columns = _num_columns(len(titles), most_columns)
    num_rows = math.ceil(len(titles) / num_columns)
    figure = Figure(figsize=(WIDTH, _PANELS_PADDING + height * num_rows), layout="constrained", label=name)
    grid = figure.subplots(num_rows, num_columns, squeeze=False, sharex=True, sharey=sharey)
    panels = list(grid.flat)
    for left_over in panels[len(titles) :]:
        left_over.remove()
    letters = int(WIDTH * 15 / num_columns)
    for axes, title in zip(panels, titles, strict=False):
        axes.set_title(wrapped(title, letters, max_lines=2), loc="left", fontsize=SMALL)
        axes.grid()
    return figure, panels[: len(titles)]


def label_panels(figure: Figure, panels: Sequence[Axes], x: str, y: str) -> None:
    """A label for x below the last row, one for all y axes, and numbers below the lowest panel of each column."""
    lowest = {axes.get_position().x0: axes for axes in panels}
    for axes in lowest.values():
        axes.tick_params(labelbottom=True)
    last_row = min(axes.get_position().y0 for axes in panels)
    for axes in panels:
        if axes.get_position().y0 == last_row:
            axes.set_xlabel(x)
    figure.supylabel(y, fontsize=8)


def _num_columns(count: int, most: int) -> int:
    """As many columns as allowed, or fewer where that leaves as few rows: 4 panels in 3 columns become 2 × 2."""
    num_rows = math.ceil(count / min(count, most))
    return math.ceil(count / num_rows)
