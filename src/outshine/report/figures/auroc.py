"""Figure (a): test ROC AUC of weak supervisor, strong student and strong ceiling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outshine.report.figures.layout import label_x, offsets, row_chart
from outshine.report.figures.style import (
    BLUE,
    GREEN,
    SMALL,
    SOFT,
    VERMILION,
    Series,
    add_legend,
    handle,
    house_style,
    once_each,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROLES = {"weak": Series(BLUE, "o"), "student": Series(VERMILION, "D"), "ceiling": Series(GREEN, "s")}
ROLE_NAMES = {"weak": "weak supervisor", "student": "strong student", "ceiling": "strong ceiling"}


@house_style()
def auroc_by_dataset(summary: pd.DataFrame) -> Figure:
    """Test ROC AUC of weak supervisor, student and ceiling with 95 % intervals, a row a dataset; the gap in grey.

    `summary`: one row a dataset, as `select.reference` gives; columns dataset and {weak, student, ceiling}_{auroc,
    low, high}; where there is a column `label` of one value, it names the student. A role whose AUC is not known
    (weak labels that do not cover test) is named as text. Raises DataError on no rows or two for one dataset.
    """
    once_each(summary, ["dataset"])
    rows = row_chart("auroc", summary["dataset"].tolist(), 0.3)
    by_dataset = summary.set_index("dataset")
    for axes, datasets in rows.columns:
        part = by_dataset.loc[datasets]
        gaps = part.assign(row=range(len(part))).dropna(subset=["weak_auroc", "ceiling_auroc"])
        ends = gaps["weak_auroc"], gaps["ceiling_auroc"]
        axes.hlines(gaps["row"], *ends, color="#d0d0d0", linewidth=5, zorder=1, label="gap")
        for (role, look), offset in zip(ROLES.items(), offsets(len(ROLES)), strict=True):
            _draw_role(axes, part, role, look, offset)
        axes.axvline(0.5, color=SOFT, linewidth=0.8, linestyle=":")
    label_x(rows, "test ROC AUC (0.5 = chance), with 95 % interval")
    names = {**ROLE_NAMES, **_student_name(summary)}
    add_legend(rows.figure, [handle(names[role], look) for role, look in ROLES.items()])
    return rows.figure


def _student_name(summary: pd.DataFrame) -> dict[str, str]:
    known = summary["label"].unique().tolist() if "label" in summary else []
    return {"student": known[0]} if len(known) == 1 else {}


def _draw_role(axes: Axes, part: pd.DataFrame, role: str, look: Series, offset: float) -> None:
    known = part[f"{role}_auroc"].notna().to_numpy()
    heights = [row + offset for row in range(len(part))]
    at = [height for height, here in zip(heights, known, strict=True) if here]
    there = part[known]
    axes.hlines(at, there[f"{role}_low"], there[f"{role}_high"], color=look.colour, zorder=2)
    axes.plot(there[f"{role}_auroc"], at, look.marker, color=look.colour, markersize=4.5, label=role, zorder=3)
    for height, here in zip(heights, known, strict=True):
        if not here:
            axes.text(0.505, height, f"{ROLE_NAMES[role]}: not known", fontsize=SMALL, color=SOFT, va="center_baseline")
