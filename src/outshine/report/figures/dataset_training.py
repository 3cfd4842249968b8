"""Figure of one dataset: loss and ROC AUC along the training of supervisor, student and ceiling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from outshine.report.figures.auroc import ROLE_NAMES, ROLES
from outshine.report.figures.grid import panel_grid
from outshine.report.figures.style import INK, SOFT, Series, add_legend, handle, house_style, once_each

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 40  # of a loss curve: means over as many stretches of updates


@house_style()
def curves_of_dataset(curves: pd.DataFrame, tests: pd.DataFrame, name: str = "dataset-training") -> Figure:
    """Training loss, and ROC AUC on val and test, by optimizer update; means over seeds.

    `curves`: columns role (weak, student, ceiling), seed, step, loss, val_auroc (NaN where not validated), chosen (the
    update whose weights are kept: an open mark a seed). `tests`: the student's test AUC looked at afterwards, columns
    seed, step, test_auroc; no rows where it was not. `name`: of the figure.
    Raises DataError on no rows or two for one role, seed and step.
    """
    once_each(curves, ["role", "seed", "step"])
    figure, (losses, aucs) = panel_grid(name, ["Training loss", "ROC AUC"], 2, 1.6)
    looks = {role: look for role, look in ROLES.items() if (curves["role"] == role).any()}
    for role, look in looks.items():
        own = curves[curves["role"] == role]
        _draw_loss(losses, own, role, look)
        _draw_val(aucs, own, role, look)
    if len(tests):
        mean = tests.groupby("step")["test_auroc"].mean()
        aucs.plot(mean.index, mean, "-", color=ROLES["student"].colour, linewidth=1.8, label="student test")
    aucs.axhline(0.5, color=SOFT, linewidth=0.8, linestyle=":")
    for axes in (losses, aucs):
        axes.set_xlabel("optimizer updates")
        axes.locator_params(nbins=5)
    marks = [handle(ROLE_NAMES[role], look, markerfacecolor="none") for role, look in looks.items()]
    marks.append(handle("val", Series(INK, ""), linestyle="--", linewidth=0.9))
    if len(tests):
        marks.append(handle("test", Series(INK, ""), linewidth=1.8))
    add_legend(figure, marks)
    return figure


def _draw_loss(axes: Axes, own: pd.DataFrame, role: str, look: Series) -> None:
    mean = own.groupby("step")["loss"].mean().reset_index()
    stretch = math.ceil(len(mean) / MOST_POINTS)
    points = mean.groupby(mean.index // stretch).mean()
    axes.plot(points["step"], points["loss"], "-", color=look.colour, label=f"{role} loss")


def _draw_val(axes: Axes, own: pd.DataFrame, role: str, look: Series) -> None:
    validated = own[own["val_auroc"].notna()]
    mean = validated.groupby("step")["val_auroc"].mean()
    axes.plot(mean.index, mean, "--", color=look.colour, linewidth=0.9, label=f"{role} val")
    chosen = validated[validated["chosen"].astype(bool)]
    open_mark = {"markersize": 5, "markerfacecolor": "none", "color": look.colour, "zorder": 4}
    axes.plot(chosen["step"], chosen["val_auroc"], look.marker, label=f"{role} chosen", **open_mark)
