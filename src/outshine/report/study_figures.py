"""The figures of a study with their captions, by its methods, sweeps and trajectories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from outshine.report import figures
from outshine.report.figures import series
from outshine.report.text import contender_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from outshine.results.results import Results

_PGR = (
    "PGR = (student − weak) / (ceiling − weak) in test ROC AUC with 95 % intervals. 0: no better than the supervisor, "
    "1: as good as the ceiling. A PGR outside the window is drawn at its edge with a large arrow and its value, an "
    "interval that reaches beyond it ends there in a small arrow."
)

PROBE_WORDS = {"knn": "kNN", "logistic": "Logistic regression"}
"""Probes whose usual names differ from those that they are registered under."""

MOST_CURVES = 4  # students whose curves stand in one figure


class StudyFigure(NamedTuple):
    """A figure, the name of its files, its heading and its caption."""

    name: str
    title: str
    caption: str
    figure: Figure


def study_figures(results: Results, loss: str) -> list[StudyFigure]:
    """All figures of a study in the order of the page; `loss`: the study's own, which the reference student has."""
    summary = results.summary[results.summary["purpose"] == "method"]
    return [
        *_of_aurocs(summary, loss),
        *_of_pgrs(summary, loss),
        *_of_filters(results.filters),
        *_of_sweeps(results.sweeps),
        *_of_training(results.trajectories),
    ]


def _of_aurocs(summary: pd.DataFrame, loss: str) -> Iterator[StudyFigure]:
    seeds = int(summary["num_seeds"].iloc[0])
    meaning = (
        "One seed: intervals cover the choice of test rows for these trained models."
        if seeds == 1
        else f"Means over {seeds} seeds; intervals cover the choice of test rows and of seeds."
    )
    caption = (
        f"Test ROC AUC against ground truth; grey: the gap between supervisor and ceiling. {meaning} Rows that share a "
        "passage or question count as one group."
    )
    chosen = series.reference(summary, loss)
    yield StudyFigure("auroc", "Weak supervisor, student and ceiling", caption, figures.auroc_by_dataset(chosen))


def _of_pgrs(summary: pd.DataFrame, loss: str) -> Iterator[StudyFigure]:
    figures_of = {
        "rounds": ("Strong-to-strong training", series.rounds(summary, loss), figures.pgr_by_round),
        "losses": ("Losses", series.losses(summary), figures.pgr_by_loss),
        "probes": ("Probes", series.probes(summary, loss), figures.pgr_of_probes),
        "filters-and-probe-labels": (
            "Filters and probe-to-strong training",
            series.changed_data(summary, loss),
            figures.pgr_of_changed_data,
        ),
        "other-methods": ("Other methods", series.other_methods(summary, loss), figures.pgr_by_method),
    }
    for name, (title, chosen, draw) in figures_of.items():
        if chosen is not None and chosen["label"].nunique() > 1:
            yield StudyFigure(name, title, _PGR, draw(chosen))


def _of_filters(filters: pd.DataFrame) -> Iterator[StudyFigure]:
    topo = filters[filters["removed_by_components"].notna() & (filters["split"] == "strong_train")]
    if len(topo):
        first = topo[topo["key"].isin(topo.drop_duplicates(["dataset", "seed"])["key"])]
        first = first.drop_duplicates(["dataset", "seed"]).rename(columns={"removed_by_components": "fraction"})
        quota = float(first["quota"].iloc[0])
        caption = (
            "What TopoFilter's first step (TopoCC: all but the largest connected component of each class) removes. "
            f"Where that is more than the quota of {quota:.0%}, nothing further is dropped."
        )
        yield StudyFigure(
            "topocc", "What TopoFilter's components remove", caption, figures.removed_by_components(first, quota)
        )


def _of_sweeps(sweeps: pd.DataFrame) -> Iterator[StudyFigure]:
    """One for each probe that a method sweeps over a number, whoever registered them."""
    caption = (
        "Test ROC AUC of the probe less that of the weak labels it was fitted to, by layer. Above 0 it is the higher."
    )
    known = sweeps[(sweeps["probe"] != "") & sweeps["setting"].notna()]
    count: Counter[str] = Counter()
    for (probe, _, setting), own in known.groupby(["probe", "method", "setting_name"]):
        if own["setting"].nunique() > 1:
            count[str(probe)] += 1
            name = f"sweep-{probe}" + (f"-{count[str(probe)]}" if count[str(probe)] > 1 else "")
            drawn = figures.probe_sweep(str(probe), str(setting), own.assign(layer=own["layer_name"]))
            yield StudyFigure(name, f"{PROBE_WORDS.get(str(probe), probe)} sweep", caption, drawn)


def _of_training(trajectories: pd.DataFrame) -> Iterator[StudyFigure]:
    if len(trajectories):
        caption = (
            "Solid: test ROC AUC against ground truth, looked at afterwards and never used for selection. Dashed: "
            "ROC AUC on val against the labels that the student was given. Open mark: the update whose weights are "
            "kept."
        )
        named = trajectories.assign(label=[contender_name(row) for row in trajectories.to_dict("records")])
        labels = list(dict.fromkeys(named["label"]))
        for number, start in enumerate(range(0, len(labels), MOST_CURVES), 1):
            own = named[named["label"].isin(labels[start : start + MOST_CURVES])]
            name = "training" if number == 1 else f"training-{number}"
            yield StudyFigure(name, "Along training", caption, figures.training_curves(own, name))
