"""What `outshine score` shows: tables and sentences, the same in the terminal, in JSON and on disk, and a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from outshine.engine.messages import counted
from outshine.report.text import amount_text, decimal_text, interval_text, signed_text
from outshine.stats.pgr import ROLES

if TYPE_CHECKING:
    import pandas as pd

    from outshine.results.score.measure import PooledScore, ScoreResults
    from outshine.stats.pgr import PGR


class ScoreTable(NamedTuple):
    """A table: its title, the names of its columns, and rows of text."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def tables(results: ScoreResults) -> list[ScoreTable]:
    """The values with PGRs, the paired comparisons, and the pooled PGRs, as far as there are any."""
    found = [_values_table(results.summary)]
    if len(results.comparisons):
        found.append(_comparisons_table(results.comparisons))
    if results.pooled:
        found.append(_pooled_table(results.pooled))
    return found


def _values_table(summary: pd.DataFrame) -> ScoreTable:
    named = _naming(summary)
    seeds = sorted(set(summary["num_seeds"]))
    rows = []
    for row in summary.to_dict("records"):
        values = [amount_text(*(row[f"{role}_{end}"] for end in ("value", "low", "high"))) for role in ROLES]
        gain = _signed(row, "student_minus_weak")
        rows.append([*(_cell(row, name) for name in named), *values, gain, _pgr(row)])
    meaning = "one seed: test rows only, these trained models" if seeds[-1] == 1 else "test rows and seeds"
    columns = [*named, *ROLES, "student − weak", "PGR [95 %]"]
    return ScoreTable(f"On the test rows [95 % interval] ({meaning})", columns, rows)


def _comparisons_table(comparisons: pd.DataFrame) -> ScoreTable:
    named = [name for name in _naming(comparisons) if name not in ("purpose", "method")]
    rows = [
        [
            *(_cell(row, name) for name in named),
            f"{'control ' if row['purpose'] == 'control' else ''}{row['method']} − {row['than']}",
            _signed(row, "difference"),
        ]
        for row in comparisons.to_dict("records")
    ]
    return ScoreTable("Paired on the same rows [95 % interval]", [*named, "what", "difference"], rows)


def _pooled_table(pooled: list[PooledScore]) -> ScoreTable:
    rows = []
    for one in pooled:
        these, others = one.pooled.these_datasets, one.pooled.any_datasets
        named = [one.test, one.method or "student", one.metric, str(one.pooled.num_datasets)]
        rows.append([*named, _pgr_of(these), _pgr_of(others)])
    exploratory = any(one.pooled.exploratory for one in pooled)
    population = "such datasets, exploratory [95 %]" if exploratory else "such datasets [95 %]"
    columns = ["test", "method", "metric", "datasets", "these datasets [95 %]", population]
    return ScoreTable("Pooled PGR, Σ (student − weak) / Σ (ceiling − weak)", columns, rows)


def _naming(table: pd.DataFrame) -> list[str]:
    """The columns that tell rows apart: those that vary, and the metric."""
    return [*(name for name in ("dataset", "test", "purpose", "method") if table[name].nunique() > 1), "metric"]


def _cell(row: Mapping[Any, Any], name: str) -> str:
    return str(row[name]) or {"method": "student"}.get(name, "")


def _signed(row: Mapping[Any, Any], name: str) -> str:
    """`+.031 [.012, .050]`; unknown: a dash."""
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    limits = f" [{decimal_text(low)}, {decimal_text(high)}]" if abs(low) < float("inf") else ""
    return signed_text(value) if value != value else f"{signed_text(value)}{limits}"  # NaN


def _pgr(row: Mapping[Any, Any]) -> str:
    mark = " (saturated)" if row["saturated"] else ""
    if row["defined"]:
        return f"{row['pgr']:z.2f} [{row['pgr_low']:z.2f}, {row['pgr_high']:z.2f}]{mark}"
    lacking = any(row[f"{role}_value"] != row[f"{role}_value"] for role in ROLES)
    return "–" if lacking else f"undefined{mark}"


def _pgr_of(pgr: PGR) -> str:
    return interval_text(pgr) if pgr.defined else "undefined"


# --- sentences ----------------------------------------------------------------------------------------------------


def sentences(results: ScoreResults) -> list[str]:
    """What the numbers say, one sentence for each method and test set, and where test sets or controls disagree."""
    own = results.summary[results.summary["purpose"] == "method"]
    lines = [_verdict(row, results.summary) for row in own.to_dict("records")]
    lines += [_pooled_sentence(one) for one in results.pooled]
    for _, several in own.groupby(["dataset", "method", "metric"], sort=False):
        lines += _other_tests(several)
    for row in results.comparisons.to_dict("records"):
        lines += _control_sentence(row)
    return lines


def _verdict(row: Mapping[Any, Any], summary: pd.DataFrame) -> str:
    """Whether the student outshines its supervisor, and by which share of the gap; or why that cannot be said."""
    method = str(row["method"]) or "the student"
    where = " ".join(str(row[name]) for name in ("dataset", "test") if row[name] and summary[name].nunique() > 1)
    models = "with these trained models" if row["num_seeds"] == 1 else ""
    context = ", ".join(part for part in (f"on {where}" if where else "", models) if part)
    start = f"In {row['metric']}{f', {context},' if context else ''}"
    if row["n"] == 0:
        return f"{start} nothing can be measured: {row['reason']}."
    if row["student_minus_weak"] != row["student_minus_weak"]:
        value = amount_text(row["student_value"], row["student_low"], row["student_high"])
        return f"{start} {method} has {value}; {row['reason']}, so that no gain is known."
    gain = _signed(row, "student_minus_weak")
    beats = f"{start} {method} {_stands(row)} its supervisor ({gain})"
    if not row["defined"]:
        return f"{beats}; there is no PGR: {row['reason']}."
    if row["student_minus_weak_low"] > 0:
        low, value, high = (f"{100 * row[name]:z.0f} %" for name in ("pgr_low", "pgr", "pgr_high"))
        return f"{beats} and recovers {value} of the gap to the ceiling (95 % interval {low} to {high})."
    return f"{beats}; its PGR is {_pgr(row)}."


def _stands(row: Mapping[Any, Any]) -> str:
    """Where the student stands by the interval of its gain."""
    if row["student_minus_weak_low"] > 0:
        return "is above"
    return "is below" if row["student_minus_weak_high"] < 0 else "cannot be told from"


def _pooled_sentence(one: PooledScore) -> str:
    these, datasets = one.pooled.these_datasets, counted(one.pooled.num_datasets, "dataset")
    name = one.method or "the student"
    if not these.defined:
        return f"Over {datasets}, {one.test}, {one.metric}: the pooled PGR of {name} is undefined, {these.reason}."
    return f"Over {datasets}, {one.test}, {one.metric}: the pooled PGR of {name} is {interval_text(these)}."


def _other_tests(several: pd.DataFrame) -> list[str]:
    """Where a student is above its supervisor on one test set and is not on another."""
    rows = several[several["student_minus_weak"].notna()].to_dict("records")
    above = [row for row in rows if row["student_minus_weak_low"] > 0]
    others = [row for row in rows if not row["student_minus_weak_low"] > 0]
    if not above or not others:
        return []
    told, not_told = (
        ", ".join(f"{row['test']} ({_signed(row, 'student_minus_weak')})" for row in part) for part in (above, others)
    )
    name = rows[0]["method"] or "the student"
    dataset = f" of {rows[0]['dataset']}" if rows[0]["dataset"] else ""
    return [
        f"In {rows[0]['metric']} the gain of {name}{dataset} is shown on {told} and not on {not_told}; that alone does "
        "not show that the gains differ."
    ]


def _control_sentence(row: Mapping[Any, Any]) -> list[str]:
    """A control that is not shown to be worse than the student."""
    if row["purpose"] != "control" or row["difference_high"] < 0:
        return []
    where = " ".join(str(row[name]) for name in ("dataset", "test") if row[name])
    return [
        f"In {row['metric']} on {where} {row['than']} is not shown to be better than its control {row['method']} "
        f"({row['method']} − {row['than']} {_signed(row, 'difference')})."
    ]
