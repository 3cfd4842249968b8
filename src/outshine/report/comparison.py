"""The comparison of methods with a baseline: tables and sentences, the same in the terminal and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outshine.analysis.compare import compare
from outshine.analysis.compare_words import (
    ALPHA,
    UNITS,
    caveats,
    decimals,
    left_out_text,
    noise_sentence,
    p_cell,
    verdict,
)
from outshine.core.errors import DataError
from outshine.core.messages import counted
from outshine.report.sheets import Sheet

if TYPE_CHECKING:
    import pandas as pd

    from outshine.analysis.compare import Compared
    from outshine.metrics.intervals import Interval


def compare_both(
    scores: pd.DataFrame, pgr: pd.DataFrame | None, baseline: str, metric: str = "auroc", rope: float | None = None
) -> tuple[Compared, Compared | None, list[str]]:
    """The comparison, the same on PGR as a secondary one, and notes where that cannot be made.

    Raises as `compare` does for the first.
    """
    compared = compare(scores, pgr, baseline=baseline, metric=metric, rope=rope)
    if metric != "auroc":
        return compared, None, []
    try:
        return compared, compare(scores, pgr, baseline=baseline, metric="pgr"), []
    except DataError as error:
        return compared, None, [f"not compared on PGR: {error}"]


def comparison_sheets(compared: Compared) -> list[Sheet]:
    """Tests, then estimates with their intervals, and posterior probabilities where a rope was given."""
    rank = "primary" if compared.metric == "auroc" else "secondary"
    tests, estimates = [], []
    for one in compared.methods:
        record = f"{one.wins} of {one.num_datasets}" + (f", {one.ties} tied" if one.ties else "")
        wilcoxon, t, sign = (
            f"{p_cell(found.better)} ({p_cell(found.two_sided)})" for found in (one.wilcoxon, one.t, one.sign)
        )
        tests.append([one.method, record, wilcoxon, p_cell(one.holm), t, sign])
        posterior = [] if one.posterior is None else [decimals(part) for part in one.posterior]
        estimates.append([one.method, *map(_interval, (one.mean, one.hodges_lehmann, one.median)), *posterior])
    unit = UNITS[compared.metric]
    title = f"Student's test {unit}, method less {compared.baseline}, a dataset a unit; p one-sided (two-sided)"
    columns = ["method", "wins", f"Wilcoxon p, {rank}", "after Holm", "t-test p, secondary", "sign test p, secondary"]
    sheets = [Sheet(title, columns, tests, right=columns[1:])]
    columns = ["method", "mean [95 %, t]", "Hodges-Lehmann [95 %]", "median [95 %]"]
    if compared.rope is not None:
        columns += ["P(worse)", f"P(within ±{compared.rope:g})", "P(better)"]
    return [*sheets, Sheet(f"Difference in {unit}", columns, estimates, right=columns[1:])]


def comparison_sentences(compared: Compared, on_pgr: Compared | None) -> list[str]:
    """One plain verdict a method."""
    return [verdict(compared, one.method, on_pgr) for one in compared.methods]


def conclusion(compared: Compared) -> str:
    """Over all methods in one sentence, by the primary test: which help, which hurt, or that none is shown to."""
    found = {
        "helps": [one.method for one in compared.methods if one.holm < ALPHA],
        "hurts": [one.method for one in compared.methods if one.holm_worse < ALPHA],
    }
    num = len(compared.methods)
    count = counted(num, "method")
    rule = f"Wilcoxon's test over datasets, {'one-sided' if num == 1 else 'Holm-corrected'} p < {decimals(ALPHA)[:3]}"
    told = [f"{', '.join(names)} {verb}" for verb, names in found.items() if names]
    if not told:
        none = f"Of {count} compared with {compared.baseline}, none is shown to help or to hurt on average ({rule})."
        return none + _could_not(compared)
    return f"Of {count} compared with {compared.baseline}, by the evidence {'; '.join(told)} on average ({rule})."


def _could_not(compared: Compared) -> str:
    """That so few datasets could not have shown it: n differences of one sign have p = 2^-n, times the methods."""
    datasets, methods = max(one.num_datasets for one in compared.methods), len(compared.methods)
    least = methods * 2.0**-datasets
    if least < ALPHA:
        return ""
    after = f" after Holm's correction over {methods} methods" if methods > 1 else ""
    smallest = f"the smallest p that they can give is {p_cell(min(1.0, least))}{after}"
    return f" {datasets} datasets could not have shown it: {smallest}."


def comparison_notes(compared: Compared, on_pgr: Compared | None) -> list[str]:
    """Caveats, and datasets that were left out, of both comparisons."""
    notes = [*caveats(compared), *left_out_text(compared)]
    return notes + ([f"PGR: {line}" for line in [*caveats(on_pgr), *left_out_text(on_pgr)]] if on_pgr else [])


def noise_sentences(compared: Compared) -> list[str]:
    """The noise floor of each comparison."""
    return [noise_sentence(compared, one) for one in compared.methods]


def _interval(found: Interval) -> str:
    return f"{decimals(found.value)} [{decimals(found.low)}, {decimals(found.high)}]"
