"""Small multiples: a grid of panels, read from left to right and down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from outshine.report.figures.style import SMALL, WIDTH, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PADDING = 0.9  # inches for legend and notes


def panel_grid(
    name: str, titles: Sequence[str], most_columns: int, height: float, *, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with a titled panel for each title, `height` inches high; x is shared."""
    from matplotlib.figure import Figure

    num_columns = _num_columns(len(titles), most_columns)
    num_rows = math.ceil(len(titles) / num_columns)
    figure = Figure(figsize=(WIDTH, _PADDING + height * num_rows), layout="constrained", label=name)
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
