"""Figures along training: students' ROC AUC by dataset, and loss and ROC AUC of all models of one dataset."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from outshine.report.figures.auroc import ROLE_NAMES, ROLES
from outshine.report.figures.layout import label_panels, panel_grid
from outshine.report.figures.style import (
    INK,
    SOFT,
    Series,
    add_legend,
    handle,
    house_style,
    once_each,
    series_styles,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MOST_POINTS = 40  # of a loss curve: means over as many stretches of updates
_LEAST_SPAN = 0.04  # of the y axis: noise must not look like a story


@house_style()
def training_curves(frame: pd.DataFrame, name: str = "training-curves") -> Figure:
    """(i) Student's test ROC AUC, and val ROC AUC against its own labels, by optimizer update; a panel a dataset.

    `frame`: columns dataset, label (the series), seed, step (optimizer updates), test_auroc, val_auroc, chosen (the
    update whose weights the student keeps). Test is solid, val dashed. One seed: its curve. Several: the mean over
    those that were evaluated at an update, in bold, and each seed's test curve thin. An open mark is the chosen
    update of a seed. Panels have y axes of their own: a curve's shape is the story, and tasks differ in level.
    `name`: of the figure, where a page holds several. Raises DataError on no rows or two for one dataset, label, seed
    and step.
    """
    once_each(frame, ["dataset", "label", "seed", "step"])
    datasets, labels = (frame[column].unique().tolist() for column in ("dataset", "label"))
    figure, panels = panel_grid(name, datasets, 3 if len(datasets) <= 9 else 5, 1.5)
    looks = series_styles(labels)
    for dataset, axes in zip(datasets, panels, strict=True):
        for label, look in looks.items():
            own = frame[(frame["dataset"] == dataset) & (frame["label"] == label)]
            _draw_curves(axes, own, label, look)
        _widen(axes)
        axes.locator_params(nbins=4)
    label_panels(figure, panels, "optimizer updates", "ROC AUC")
    add_legend(figure, _handles(looks, several_seeds=bool(frame.duplicated(["dataset", "label", "step"]).any())))
    return figure


def _handles(looks: dict[str, Series], *, several_seeds: bool) -> list[Line2D]:
    """What the lines and rings mean; with several series their colours, and shapes for print without colour."""
    over = ", mean over seeds" if several_seeds else ""
    styles = [
        handle(f"test, ground truth{over}", Series(INK, "")),
        *([handle("one seed", Series(INK, ""), linewidth=0.5)] if several_seeds else []),
        handle(f"val, its own labels{over}", Series(INK, ""), linestyle="--", linewidth=0.8),
    ]
    rings = looks if len(looks) > 1 else {"": next(iter(looks.values()))}
    ring = {"linestyle": "", "markerfacecolor": "none", "markersize": 6}
    return [*styles, *(handle(f"{label}, chosen update".lstrip(", "), look, **ring) for label, look in rings.items())]


def _draw_curves(axes: Axes, own: pd.DataFrame, label: str, look: Series) -> None:
    if own.empty:
        return
    means = own.groupby("step")[["test_auroc", "val_auroc"]].mean()
    axes.plot(means.index, means["val_auroc"], "--", color=look.colour, linewidth=0.8, label=f"{label} val")
    axes.plot(means.index, means["test_auroc"], "-", color=look.colour, linewidth=1.6, label=label)
    seeds = own.groupby("seed", sort=False)
    if len(seeds) > 1:
        for _, run in seeds:
            curve = run.sort_values("step")
            steps, aucs = curve["step"], curve["test_auroc"]
            axes.plot(steps, aucs, color=look.colour, linewidth=0.5, alpha=0.6, label=f"{label} seed")
    chosen = own[own["chosen"].astype(bool)]
    open_mark = {"markersize": 6, "markerfacecolor": "none", "color": look.colour, "zorder": 4}
    axes.plot(chosen["step"], chosen["test_auroc"], look.marker, label=f"{label} chosen", **open_mark)


def _widen(axes: Axes) -> None:
    low, high = axes.get_ylim()
    short = _LEAST_SPAN - (high - low)
    if short > 0:
        axes.set_ylim(low - short / 2, high + short / 2)


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
