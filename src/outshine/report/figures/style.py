"""The style of all figures: colours with markers, sizes, axes, legends, notes, and names that wrap.

Figures are as wide as the text of a printed page, so that the smallest type, 7 pt, stays 7 pt in print.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from outshine.engine.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

WIDTH = 7.0  # inches
SMALL = 7.0  # points
INK = "#262626"
SOFT = "#5f5f5f"
BAND = "#f3f3f3"

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
"""Okabe and Ito's colours (black and the yellow that white paper swallows left out)."""

_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
_MARKERS = ("o", "s", "^", "v", "P", "X", "p")  # one more than colours: 42 pairs before one returns

_RC: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.0,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8.0,
    "figure.constrained_layout.w_pad": 0.08,  # inches; browsers may set type a little wider
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.0,
    "grid.color": "#dedede",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "legend.title_fontsize": 8.0,
    "lines.linewidth": 1.2,
    "svg.fonttype": "none",
    "svg.hashsalt": "outshine",
    "text.color": INK,
    "text.parse_math": False,  # a `$` in a name is a dollar
    "xtick.color": SOFT,
    "xtick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.color": SOFT,
    "ytick.labelcolor": INK,
    "ytick.labelsize": SMALL,
}


VANILLA = "vanilla student"
"""The label of the reference, wherever it is shown."""


class Series(NamedTuple):
    """How the marks of one series look."""

    colour: str
    marker: str


REFERENCE = Series(INK, "D")
"""What others are compared with: nearly black, a diamond."""


@contextmanager
def house_style() -> Iterator[None]:
    """matplotlib's own defaults and this module's, whatever the user's matplotlibrc says; undone at the end.

    Figures are made and rendered within it; also a decorator.
    """
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def series_styles(labels: Sequence[str], reference: str = "") -> dict[str, Series]:
    """A style for each label, in order; the label `reference` looks like one everywhere."""
    others = [label for label in labels if label != reference]
    cycle = {
        label: Series(_COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)])
        for number, label in enumerate(others)
    }
    return {label: cycle.get(label, REFERENCE) for label in labels}


def ordered_styles(labels: Sequence[str]) -> dict[str, Series]:
    """A style for each label of an ordered kind, such as layers: from dark to light, in grey too."""
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    dark_to_light = mpl.colormaps["viridis"]
    step = 0.8 / max(1, len(labels) - 1)  # the last fifth is too light for paper
    return {
        label: Series(to_hex(dark_to_light(step * number)), _MARKERS[number % len(_MARKERS)])
        for number, label in enumerate(labels)
    }


def once_each(frame: pd.DataFrame, keys: Sequence[str]) -> None:
    """Raises DataError where the frame has no rows, or two with the same keys: one would hide the other."""
    if frame.empty:
        raise DataError("a figure needs rows; the frame has none")
    twice = frame[frame.duplicated(list(keys))]
    if len(twice):
        repeated = ", ".join(f"{key} {twice.iloc[0][key]}" for key in keys)
        raise DataError(f"a figure needs one row for each {' and '.join(keys)}; there are two for {repeated}")


def handle(name: str, look: Series, **options: Any) -> Line2D:
    """A legend's entry for a series of marks."""
    from matplotlib.lines import Line2D

    fields: dict[str, Any] = {"linestyle": "-", "markersize": 5, **options}
    return Line2D([], [], color=look.colour, marker=look.marker, label=name, **fields)


def add_legend(
    figure: Figure, handles: Sequence[Line2D], title: str = "", place: Literal["upper", "lower"] = "upper"
) -> None:
    """A legend above the axes (`lower`: below), in as many columns as fit."""
    names = [str(entry.get_label()) for entry in handles]
    longest = max(map(len, names)) + 7  # the mark and the space between columns, in letters
    columns = max(1, min(len(names), int(figure.get_figwidth() * 15 // longest)))
    location = "outside upper center" if place == "upper" else "outside lower center"
    figure.legend(handles, names, loc=location, ncols=columns, title=title or None)


def add_note(figure: Figure, text: str) -> None:
    """Small print below the axes."""
    figure.supxlabel(text, x=0.01, ha="left", fontsize=SMALL, color=SOFT)


def wrapped(name: str, width: int, max_lines: int = 3) -> str:
    """A name on lines of at most `width` letters, broken after `_ - / . :` or a space; its middle goes if need be.

    Control characters become spaces.
    """
    name = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    lines, room = _broken(name, width), width * max_lines
    while len(lines) > max_lines:  # lines that break early may leave too little room
        lines = _broken(f"{name[: room // 2]}…{name[len(name) - room // 2 + 1 :]}", width)
        room -= 2
    return "\n".join(lines)


def _broken(name: str, width: int) -> list[str]:
    lines = [""]
    for piece in re.findall(r"[^ _\-/.:]*[ _\-/.:]?", name):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1].rstrip()) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return [line.strip() for line in lines if line.strip()]
