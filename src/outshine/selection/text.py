"""Results of `outshine select` in sentences, tables and figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from outshine.report import figures
from outshine.report.study_figures import StudyFigure
from outshine.report.tables import TextTable
from outshine.report.text import amount_text, decimal_text
from outshine.selection.regret import TRUSTED, EquivalentLabels, equal_labels
from outshine.selection.rules import RANDOM, TITLES

if TYPE_CHECKING:
    import pandas as pd

    from outshine.selection.candidates import Kind

_CANDIDATES = {"method": "methods", "checkpoint": "checkpoints of a student"}
_FLATTERED = (
    "The oracle is chosen on test itself: its AUROC, and with it every regret, is too high on average. One that is "
    "chosen on one half of test and measured on the other is not too high on average; against it the rule loses "
    "{}. On average the truth lies in between."
)


def choosing_sentences(regrets: pd.DataFrame, pooled: pd.DataFrame, kind: Kind) -> list[str]:
    """Return how many trusted labels the best label-free rule is worth, what it loses, and how far to believe that.

    `regrets`: rows of REGRET_COLUMNS; `pooled`: what `pooled_regrets` made of them.
    """
    overall = pooled[(pooled["kind"] == kind) & (pooled["dataset"] == "")]
    worth = equal_labels(regrets, kind)
    if worth is None:
        return [f"Nothing can be said of choosing among {_CANDIDATES[kind]}: all datasets are saturated or too small."]
    rows = {(row["rule"], row["n"]): row for row in overall.to_dict("records")}
    rule, random = rows[worth.rule, 0], rows[RANDOM, 0]
    free = [name for name, n in rows if n == 0 and name != RANDOM]
    nested = "an unknown amount (test is too small to be halved)"
    if not math.isnan(rule["nested_regret"]):
        nested = amount_text(*(rule[f"nested_regret{end}"] for end in ("", "_low", "_high")))
    best = f"the best label-free rule, {TITLES[worth.rule]}"
    sentences = [
        f"To choose among {_CANDIDATES[kind]}, {best}, is by mean regret worth {_worth(worth)}.",
        _losses(worth, rows),
        _settled(worth),
        f"It is the best of {len(free)} rules on these same results, which flatters it." if len(free) > 1 else "",
        _FLATTERED.format(nested),
    ]
    if rule["regret"] >= random["regret"]:
        sentences.insert(2, "No label-free rule loses less on average than a random choice here.")
    return [sentence for sentence in sentences if sentence]


def _worth(worth: EquivalentLabels) -> str:
    if worth.enough is None:
        return f"more than {worth.fewer:,} trusted labels, the most that could be tried"
    if worth.fewer is None:
        return f"no more than {worth.enough:,} trusted labels, the fewest that were tried"
    return f"between {worth.fewer:,} and {worth.enough:,} trusted labels"


def _losses(worth: EquivalentLabels, rows: dict[tuple[str, int], dict]) -> str:
    """Return what the rule, the budgets on either side and a random choice lose."""
    rule = rows[worth.rule, 0]
    where = f"{rule['num_datasets']} dataset" + ("" if rule["num_datasets"] == 1 else "s")
    budgets = [n for n in (worth.fewer, worth.enough) if n is not None]
    others = [f"{n:,} trusted labels lose {_regret(rows[TRUSTED, n])}" for n in budgets]
    others.append(f"a random choice loses {_regret(rows[RANDOM, 0])}")
    return f"It loses {_regret(rule)} AUROC to the oracle over {where}; {', '.join(others)}."


def _settled(worth: EquivalentLabels) -> str:
    """Return what the intervals of the paired differences say."""
    if not worth.over:
        return "One dataset and one seed give no interval: run more of either."
    parts = [
        *([f"up to {worth.surely_fewer:,} labels lose more than the rule"] if worth.surely_fewer is not None else []),
        *([f"from {worth.surely_enough:,} on they lose less"] if worth.surely_enough is not None else []),
    ]
    intervals = f"By the 95 % intervals of paired differences over {worth.over}"
    unsettled = "no budget is told apart from the rule: the number is not settled"
    return f"{intervals}, {', '.join(parts) or unsettled}."


def regret_table(pooled: pd.DataFrame, kind: Kind) -> TextTable:
    """Tabulate every rule and budget over all datasets: regrets, and how often the oracle's pick is met."""
    overall = pooled[(pooled["kind"] == kind) & (pooled["dataset"] == "")]
    over = str(overall["over"].iloc[0]) if len(overall) else ""
    limits = f" [95 % over {over}]" if over else ""
    columns = ["chosen by", f"regret{limits}", f"regret to a nested oracle{limits}", "the oracle's pick"]
    rows = [
        [_chosen_by(row["rule"], int(row["n"])), _regret(row), _regret(row, "nested_regret"), f"{row['hit']:.0%}"]
        for row in overall.to_dict("records")
    ]
    title = f"Choosing among {_CANDIDATES[kind]}: test AUROC lost to the oracle, mean over unsaturated datasets"
    return TextTable(title, columns, rows, right=columns[1:])


def by_dataset_table(pooled: pd.DataFrame, kind: Kind) -> TextTable:
    """Return mean regret on each dataset, a column a rule and budget."""
    own = pooled[(pooled["kind"] == kind) & (pooled["dataset"] != "")]
    choosers = list(dict.fromkeys(zip(own["rule"], own["n"].astype(int), strict=True)))
    choosers.sort(key=lambda chooser: chooser[1])  # rules first, then budgets in order
    regrets = {(row["dataset"], row["rule"], int(row["n"])): row["regret"] for row in own.to_dict("records")}
    columns = ["dataset", *(f"n = {n:,}" if n else rule.replace("_", " ") for rule, n in choosers)]
    rows = [
        [str(name), *(decimal_text(regrets.get((name, *chooser), math.nan)) for chooser in choosers)]
        for name in own["dataset"].unique()
    ]
    return TextTable("The same by dataset, mean regret over seeds", columns, rows, right=columns[1:])


def regret_figures(pooled: pd.DataFrame) -> list[StudyFigure]:
    """Return a figure for each kind of choice: over all datasets in the first panel, then by dataset."""
    return [_figure(pooled[pooled["kind"] == kind], str(kind)) for kind in pooled["kind"].unique()]


def _figure(own: pd.DataFrame, kind: str) -> StudyFigure:
    single = own.loc[own["dataset"] != "", "dataset"].nunique() < 2
    shown = own[own["dataset"] != ""] if single else own
    over = {row["over"] for row in shown.to_dict("records")} - {""}
    everywhere = f"mean over {own['num_datasets'].max()} datasets"
    shown = shown.assign(
        dataset=shown["dataset"].where(shown["dataset"] != "", everywhere),
        label=["" if rule == TRUSTED else TITLES[rule] for rule in shown["rule"]],
    )
    where = " (first panel) or ".join(sorted(over))
    note = f"Band and bars: 95 % intervals over {where}; those that leave a panel are cut." if over else ""
    name = f"regret-{kind}s"
    drawn = figures.regret_by_labels(shown, TITLES[RANDOM], note, name)
    caption = (
        "Test ROC AUC of the best candidate on test (oracle) less that of the chosen one. Points: chosen by AUROC on n "
        "random rows of val with ground truth, mean over draws. Lines: label-free rules."
    )
    return StudyFigure(name, f"Choosing among {_CANDIDATES[kind]}", caption, drawn)


def _chosen_by(rule: str, n: int) -> str:
    return f"{n:,} trusted labels" if rule == TRUSTED else TITLES[rule]


def _regret(row: dict, name: str = "regret") -> str:
    return amount_text(row[name], row[f"{name}_low"], row[f"{name}_high"])
