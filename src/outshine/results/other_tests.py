"""A study's methods on several test sets: the same models, other rows; and sentences where these disagree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from outshine.data.splits import OTHER_TEST
from outshine.engine.messages import signed_decimals
from outshine.results.names import METHOD_COLUMNS
from outshine.results.scored_rows import PGR_FACTS, Outcome, interval_facts, pgr_facts
from outshine.stats.estimates import CovariancePart, Estimate
from outshine.stats.intervals import Interval, difference_interval
from outshine.stats.pgr import ROLES
from outshine.stats.role_values import over_rows_and_seeds
from outshine.w2s.method_identity import method_word

TEST_COLUMNS = (
    *METHOD_COLUMNS,
    *("test", "num_seeds", "n", "num_groups"),
    *(f"{role}{end}" for role in ROLES for end in ("_auroc", "_low", "_high")),
    *("gain", "gain_low", "gain_high"),
    *("gain_change", "gain_change_low", "gain_change_high"),
    *PGR_FACTS,
)
"""A row a dataset, method, round and test set; `gain`: student − weak with its interval; `gain_change`: the gain less
that on the dataset's own test rows (`gain_change`)."""


def test_name(split: str) -> str:
    """What a test set is called: the dataset's own `test`, others by their names."""
    return split.removeprefix(OTHER_TEST)


def gain_change(outcome: Outcome, own: Outcome) -> Interval:
    """Student − weak on a test set less student − weak on the dataset's own test rows, with its interval.

    The rows are others and independent, so that the variances of the two gains over rows add up; the trained models
    are the same, so that the variance between seeds is that of the change itself. NaN where there are no weak scores.
    """
    parts: list[CovariancePart] = []
    gains = []
    for number, one in enumerate((outcome, own)):
        if not {"student", "weak"} <= set(one.roles):
            return Interval(math.nan, math.nan, math.nan)
        weights = np.array([float(role == "student") - float(role == "weak") for role in one.roles])
        rows = one.values.estimate.parts[0]
        cov = np.zeros((2, 2))
        cov[number, number] = weights @ rows.cov @ weights
        parts.append(CovariancePart(cov, rows.df))
        gains.append(one.values.per_seed @ weights)
    per_seed = np.stack(gains, axis=1)
    seeds = over_rows_and_seeds(parts[0], per_seed)[1:]
    return difference_interval(Estimate(per_seed.mean(axis=0), (*parts, *seeds)), [1.0, -1.0])


def test_facts(split: str, outcome: Outcome, own: Outcome | None) -> dict[str, Any]:
    """The columns of one test set; `own`: the outcome on the dataset's own test rows, None where it is that."""
    gain = outcome.difference("student", "weak")
    change = gain_change(outcome, own) if own else Interval(math.nan, math.nan, math.nan)
    return {
        "test": test_name(split),
        **outcome.sizes,
        **interval_facts(outcome.intervals, "_auroc"),
        "gain": gain.value,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "gain_change": change.value,
        "gain_change_low": change.low,
        "gain_change_high": change.high,
        **pgr_facts(outcome.pgr),
        "saturated": outcome.saturated,
    }


def disagreements_of_tests(tests: pd.DataFrame) -> list[str]:
    """Sentences for each method and dataset whose gain over the supervisor seems to differ between test sets.

    Seems to: it is shown on one, and on another it is not, or the opposite is; or the change of the gain is shown. A
    gain that is shown beside one that is not is no evidence that the two differ: the change is told with its interval.

    `tests`: rows of TEST_COLUMNS. Each interval is by itself, at 95 %.
    """
    sentences = []
    methods = tests[(tests["purpose"] == "method") & tests["gain"].notna()]
    for _, own in methods.groupby(["dataset", "method_id", "round"], sort=False):
        rows: Sequence[Mapping[Any, Any]] = own.to_dict("records")
        verdicts = [_verdict(row) for row in rows]
        if len(set(verdicts)) < 2 and not any(_is_shown(row, "gain_change") for row in rows):
            continue
        parts = [
            f"{verdict} {row['test']} ({_amount(row, 'gain')})" for verdict, row in zip(verdicts, rows, strict=True)
        ]
        changes = filter(None, [_change(row, rows[0]) for row in rows[1:]])
        sentences.append(" ".join([f"{_who(rows[0])} on {rows[0]['dataset']}: {'; '.join(parts)}.", *changes]))
    return sentences


def _is_shown(row: Mapping[Any, Any], name: str) -> bool:
    """Whether an amount's interval has 0 outside."""
    return row[f"{name}_low"] > 0 or row[f"{name}_high"] < 0


def _change(row: Mapping[Any, Any], own: Mapping[Any, Any]) -> str:
    """Whether the gain on another test set is shown to be another than that on the dataset's own."""
    if row["gain_change"] != row["gain_change"]:
        return ""
    amount = _amount(row, "gain_change")
    if not _is_shown(row, "gain_change"):
        return f"The gain on {row['test']} is not shown to differ from that on {own['test']} ({amount})."
    larger = "larger" if row["gain_change"] > 0 else "smaller"
    return f"The gain on {row['test']} is {larger} than that on {own['test']} ({amount})."


def _verdict(row: Mapping[Any, Any]) -> str:
    if row["gain_low"] > 0:
        return "ahead of its supervisor on"
    return "behind its supervisor on" if row["gain_high"] < 0 else "not told apart from its supervisor on"


def _amount(row: Mapping[Any, Any], name: str) -> str:
    value, low, high = (signed_decimals(row[f"{name}{end}"], minus="−") for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def _who(row: Mapping[Any, Any]) -> str:
    method = method_word(str(row["method"]), str(row["variant"]))
    number = f"round {row['round']}" if row["round"] else ""
    return " ".join(part for part in (method, str(row["loss"]), str(row["variant"]), number) if part)
