"""What every cell of a report's tables must say, from recomputed numbers; and whether it does."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from recomputed import NAME, Artefacts, all_diagnostics, every_test, holm, means, pooled, students
from scipy import stats

from outshine.report.text import contender_name
from small_study import Ran

RUN = ["purpose", *NAME, "dataset"]
ROLES = (("weak", "weak_auroc"), ("student", "auroc"), ("ceiling", "ceiling_auroc"))

Cells = dict[tuple[str, ...], list[Sequence[float]]]
"""By what names a row: the numbers in each of its further cells. A name that is a digit is the row's number."""

NUMBER = re.compile(r"[-−+]?(?:\d+\.\d+|\.\d+|\d+|∞)|–")


class Recomputed(NamedTuple):
    """A study, its artefacts, and what was recomputed: students by seed, means over seeds, diagnostics by seed."""

    ran: Ran
    found: Artefacts
    own: pd.DataFrame
    by_dataset: pd.DataFrame
    diagnostics: pd.DataFrame

    @classmethod
    def of(cls, ran: Ran) -> Recomputed:
        found = Artefacts(ran.store)
        own = students(found, pd.read_parquet(ran.out / "scores.parquet"))
        return cls(ran, found, own, means(own), all_diagnostics(found, own))

    def table(self, name: str) -> pd.DataFrame:
        """One of the tables that the study left in its folder."""
        return pd.read_parquet(self.ran.out / f"{name}.parquet")

    def methods(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Name on the page and means by dataset, of the methods that are compared."""
        yield from by_method(self.by_dataset)

    def differences(self) -> dict[str, np.ndarray]:
        """Method less vanilla xent in AUROC on every dataset, by name."""
        return less_xent({name: rows["auroc"] for name, rows in self.methods()})


def by_method(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name on the page and rows of each method, of a frame indexed by RUN."""
    for which, rows in frame.loc["method"].groupby(NAME, sort=False):
        yield named(which), rows.droplevel(NAME)


def named(which: Any) -> str:
    return contender_name(dict(zip(NAME, which, strict=True)))


def less_xent(found: dict[str, pd.Series]) -> dict[str, np.ndarray]:
    """Each method less vanilla xent."""
    base = found.pop("vanilla xent")
    return {name: (values - base).dropna().to_numpy() for name, values in found.items()}


def expected_cells(study: Recomputed) -> dict[str, Cells]:
    """Every number of every table, by words of its caption. Limits of AUROCs and PGRs are taken from the frames."""
    return {
        "Pooled PGR": _pooled(study),
        "Gain over the supervisor": _gains(study),
        "Test ROC AUC [": _results(study),
        "On strong_train": _rounds(study),
        "p two-sided (": _tests(study),
        "Difference in AUROC": _estimates(study),
        "Controls": _controls(study.own),
        "update is kept": _selection(study),
        "Diagnostics": _diagnostics(study.diagnostics),
    }


def _results(study: Recomputed) -> Cells:
    summary = study.table("summary").set_index(RUN)
    cells: Cells = {}
    for which, mean in study.by_dataset.loc[["method"]].iterrows():
        limits = summary.loc[which]
        numbers = [[mean[column], limits[f"{role}_low"], limits[f"{role}_high"]] for role, column in ROLES]
        numbers.append([mean["pgr"], limits["pgr_low"], limits["pgr_high"]] if limits["defined"] else [])
        cells[which[-1], named(which[1:-1])] = numbers
    return cells


def _pooled(study: Recomputed) -> Cells:
    limits = {contender_name(one._asdict()): one.pooled for one in study.ran.results.pooled}
    cells: Cells = {}
    for name, rows in study.methods():
        both = (limits[name].these_datasets, limits[name].any_datasets)
        cells[(name,)] = [[3], *([pooled(rows), one.low, one.high] if one.defined else [] for one in both)]
    return cells


def _gains(study: Recomputed) -> Cells:
    """The reference first."""
    methods = dict(study.methods())
    reference = methods.pop("vanilla logconf")
    gains = [rows["auroc"] - rows["weak_auroc"] for rows in (reference, *methods.values())]
    return {
        (str(dataset),): [[ends["weak_auroc"]], [ends["ceiling_auroc"]], *([gain[dataset]] for gain in gains)]
        for dataset, ends in reference.iterrows()
    }


def _rounds(study: Recomputed) -> Cells:
    cells: Cells = {}
    vanilla = (study.own["method"] == "vanilla") & (study.own["loss"] == "logconf")  # its round 0
    rounds = study.own[(study.own["purpose"] == "method") & (vanilla | (study.own["method"] == "strong_to_strong"))]
    for which, rows in rounds.groupby(NAME, sort=False):
        keys = zip(rows["key"], rows["weak_key"], strict=True)
        gains = [study.found.auroc(own, "strong_train") - study.found.auroc(weak, "strong_train") for own, weak in keys]
        cells[(named(which),)] = [[sum(gain > 1e-12 for gain in gains), len(gains)], [np.mean(gains)]]
    return cells


def _tests(study: Recomputed) -> Cells:
    found = {name: every_test(d) for name, d in study.differences().items()}
    corrected = holm([one["wilcoxon_two_sided"] for one in found.values()])
    cells: Cells = {}
    for (name, one), p in zip(found.items(), corrected, strict=True):
        ties = 3 - one["wins"] - one["losses"]
        record = [one["wins"], 3, *([ties] if ties else [])]
        wilcoxon, t, sign = ([one[f"{test}_two_sided"], one[f"{test}_better"]] for test in ("wilcoxon", "t", "sign"))
        cells[(name,)] = [record, wilcoxon, [p], [1.0], t, sign]  # nine methods on three datasets: 9 · 2/2³
    return cells


def _estimates(study: Recomputed) -> Cells:
    cells: Cells = {}
    for name, d in study.differences().items():
        one, unbounded = every_test(d), [-math.inf, math.inf]  # three datasets: no rank can reach .05
        mean = [one["mean"], one["mean_low"], one["mean_high"]]
        cells[(name,)] = [mean, [one["hodges_lehmann"], *unbounded], [one["median"], *unbounded]]
    return cells


def _controls(own: pd.DataFrame) -> Cells:
    """Beside the vanilla student of the study's own loss."""
    run = ["dataset", "seed"]
    vanilla = own[(own["method"] == "vanilla") & (own["loss"] == "logconf")].set_index(run)["auroc"]
    cells: Cells = {}
    for number, (_, rows) in enumerate(own[own["purpose"] == "control"].groupby(NAME, sort=False)):
        one = rows.set_index(run)
        values = [one["auroc"], one["auroc"] - vanilla, one["auroc"] - one["weak_auroc"]]
        auroc, *less = (_with_limits(value.groupby("dataset").mean()) for value in values)
        cells[(str(number),)] = [[3], np.clip(auroc, 0, 1).tolist(), *less]
    return cells


def _with_limits(values: pd.Series) -> list[float]:
    limits = stats.ttest_1samp(values, 0).confidence_interval()
    return [float(values.mean()), limits.low, limits.high]


def _selection(study: Recomputed) -> Cells:
    cells: Cells = {}
    for which, rows in study.own[study.own["method"] == "vanilla"].groupby(["dataset", *NAME], sort=False):
        curves = pd.DataFrame([study.found.trajectory(key) for key in rows["key"]]).T  # update × seed
        last, best, where = curves.iloc[-1], curves.max(), curves.idxmax() / curves.index[-1]
        numbers = (rows["auroc"], last, best, best - last, where)
        cells[which[0], named(which[1:])] = [[one.mean()] for one in numbers]
    return cells


def _diagnostics(by_seed: pd.DataFrame) -> Cells:
    shown = ["student_brier", "student_ece", "imitation_wrong", "imitation_right", "capa_weak_student"]
    weak = by_seed.drop_duplicates(["dataset", "seed"])
    cells: Cells = {("weak supervisor",): [[weak["weak_brier"].mean()], [weak["weak_ece"].mean()], *([[]] * 5)]}
    for which, rows in by_seed.groupby(NAME, sort=False):  # as many seeds on each dataset: one mean of all
        cells[(named(which),)] = [[value] for value in rows[[*shown, "misfit", "misfit_gain"]].mean()]
    return cells


def numbers_in(cell: str) -> list[tuple[float, float]]:
    """The numbers of a cell, each with half a unit of its last digit. Unknown (a dash): NaN."""
    return [(value_of(text), 0.5 * 10.0 ** -len(text.partition(".")[2])) for text in NUMBER.findall(cell)]


def value_of(text: str) -> float:
    """`−.5`, `-∞`, `–`: a number as a page writes it."""
    plain = text.replace("−", "-").replace("∞", "inf")
    return math.nan if plain == "–" else float(plain)


def agrees(cell: str, numbers: Sequence[float]) -> bool:
    """Whether a cell shows these numbers, to the digits that it prints."""
    shown = numbers_in(cell)
    return len(shown) == len(numbers) and all(
        value == number or abs(value - number) <= half + 1e-9 or (math.isnan(value) and math.isnan(number))
        for (value, half), number in zip(shown, numbers, strict=True)
    )


def wrong_cells(rows: Sequence[Sequence[str]], expected: Cells) -> list[Any]:
    """What does not agree in a table; rows are expected in their order."""
    if len(rows) != len(expected):
        return [f"{len(rows)} rows, expected {len(expected)}"]
    wrong: list[Any] = []
    for row, (which, cells) in zip(rows, expected.items(), strict=True):
        told, numbers = tuple(row[: len(which)]), row[len(which) :]
        if (told != which and not which[0].isdigit()) or len(numbers) != len(cells):
            wrong.append((row, which, cells))
        wrong += [(row, cell, good) for cell, good in zip(numbers, cells, strict=False) if not agrees(cell, good)]
    return wrong
