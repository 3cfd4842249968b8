"""The comparison of methods with a baseline: its tables and sentences, for terminal and page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outshine.engine.errors import DataError
from outshine.engine.messages import counted, decimals
from outshine.report.tables import TextTable
from outshine.results.compare import compare
from outshine.results.compare_text import (
    UNITS,
    caveats,
    left_out_text,
    noise_sentence,
    p_cell,
    shown,
    too_few_datasets,
    verdict,
)
from outshine.stats.power_analysis import ALPHA

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from outshine.results.compare import ComparisonResult, PValues
    from outshine.stats.intervals import Interval


def compare_both(
    scores: pd.DataFrame,
    pgr: pd.DataFrame | None,
    baseline: str,
    metric: str = "auroc",
    rope: float | None = None,
    declared: Sequence[str | None] = (),
) -> tuple[ComparisonResult, ComparisonResult | None, list[str]]:
    """The comparison, the same on PGR as a secondary one, and notes where that cannot be made.

    `declared` and what is raised: as `compare` has it.
    """
    compared = compare(scores, pgr, baseline=baseline, metric=metric, rope=rope, declared=declared)
    if metric != "auroc":
        return compared, None, []
    try:
        return compared, compare(scores, pgr, baseline=baseline, metric="pgr", declared=declared), []
    except DataError as error:
        return compared, None, [f"not compared on PGR: {error}"]


def comparison_tables(compared: ComparisonResult) -> list[TextTable]:
    """Tests, then estimates with their intervals, and posterior probabilities where a rope was given."""
    rank = "primary" if compared.metric == "auroc" else "secondary"
    tests, estimates = [], []
    for method in compared.methods:
        record = f"{method.wins} of {method.num_datasets}" + (f", {method.ties} tied" if method.ties else "")
        wilcoxon, t, sign = (_both_p(test, compared.one_sided) for test in (method.wilcoxon, method.t, method.sign))
        tests.append([method.method, record, wilcoxon, p_cell(method.holm), p_cell(method.least_p), t, sign])
        posterior = [] if method.posterior is None else [decimals(part) for part in method.posterior]
        estimates.append(
            [method.method, *map(_interval, (method.mean, method.hodges_lehmann, method.median)), *posterior]
        )
    unit = UNITS[compared.metric]
    sides, other = ("one-sided", "two-sided") if compared.one_sided else ("two-sided", "one-sided for better")
    why = ", as the study declared" if compared.one_sided else ""
    title = f"Student's test {unit}, method less {compared.baseline}, a dataset a unit; p {sides}{why} ({other})"
    columns = ["method", "wins", f"Wilcoxon p, {rank}", f"after Holm, {sides}", "least possible after Holm"]
    columns += ["t-test p, secondary", "sign test p, secondary"]
    tables = [TextTable(title, columns, tests, right=columns[1:])]
    columns = ["method", "mean [95 %, t]", "Hodges-Lehmann [95 %]", "median [95 %]"]
    if compared.rope is not None:
        columns += ["P(worse)", f"P(within ±{compared.rope:g})", "P(better)"]
    return [*tables, TextTable(f"Difference in {unit}", columns, estimates, right=columns[1:])]


def comparison_sentences(compared: ComparisonResult, on_pgr: ComparisonResult | None) -> list[str]:
    """That the datasets are too few, where they are; then one plain verdict a method."""
    few = too_few_datasets(compared)
    return [*([few] if few else []), *(verdict(compared, method.method, on_pgr) for method in compared.methods)]


def conclusion(compared: ComparisonResult) -> str:
    """Over all methods in one sentence, by the primary test: which help, which hurt, or that none is shown to."""
    verbs = {method.method: shown(method, one_sided=compared.one_sided) for method in compared.methods}
    count = counted(len(verbs), "method")
    sides = "one-sided as the study declared" if compared.one_sided else "two-sided"
    after = "" if len(verbs) == 1 else " after Holm's correction"
    rule = f"Wilcoxon's test over datasets, {sides}, p < {decimals(ALPHA)[:3]}{after}"
    verbs_told = [
        f"{', '.join(names)} {verb}"
        for verb in ("helps", "hurts")
        if (names := [name for name, own in verbs.items() if own == verb])
    ]
    if verbs_told:
        evidence = "; ".join(verbs_told)
        return (
            f"Of {count} compared with {compared.baseline}, by the evidence {evidence} on a typical dataset ({rule})."
        )
    does = "to help" if compared.one_sided else "to help or to hurt"
    none = f"Of {count} compared with {compared.baseline}, none is shown {does} on a typical dataset ({rule})."
    return f"{none} {too_few_datasets(compared)}".rstrip()


def comparison_notes(compared: ComparisonResult, on_pgr: ComparisonResult | None) -> list[str]:
    """Caveats, and datasets that were left out, of both comparisons."""
    notes = [*caveats(compared), *left_out_text(compared)]
    return notes + ([f"PGR: {line}" for line in [*caveats(on_pgr), *left_out_text(on_pgr)]] if on_pgr else [])


def noise_sentences(compared: ComparisonResult) -> list[str]:
    """The noise floor of each comparison."""
    return [noise_sentence(compared, method) for method in compared.methods]


def _both_p(values: PValues, one_sided: bool) -> str:
    """The p of the comparison and, in brackets, that of the other kind."""
    return f"{p_cell(values.p(one_sided=one_sided))} ({p_cell(values.p(one_sided=not one_sided))})"


def _interval(interval: Interval) -> str:
    return f"{decimals(interval.value)} [{decimals(interval.low)}, {decimals(interval.high)}]"
