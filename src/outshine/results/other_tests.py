"""A study's methods on several test sets: the same models, other rows; and a sentence where these disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from outshine.data.splits import OTHER_TEST
from outshine.engine.messages import signed_decimals
from outshine.results.names import METHOD_COLUMNS
from outshine.results.scored_rows import PGR_FACTS, Outcome, interval_facts, pgr_facts
from outshine.stats.pgr import ROLES
from outshine.w2s.method_identity import method_word

TEST_COLUMNS = (
    *METHOD_COLUMNS,
    *("test", "num_seeds", "n", "num_groups"),
    *(f"{role}{end}" for role in ROLES for end in ("_auroc", "_low", "_high")),
    *("gain", "gain_low", "gain_high"),
    *PGR_FACTS,
)
"""A row a dataset, method, round and test set; `gain`: student − weak with its interval."""


def test_name(split: str) -> str:
    """What a test set is called: the dataset's own `test`, others by their names."""
    return split.removeprefix(OTHER_TEST)


def test_facts(split: str, outcome: Outcome) -> dict[str, Any]:
    """The columns of one test set."""
    gain = outcome.difference("student", "weak")
    return {
        "test": test_name(split),
        **outcome.sizes,
        **interval_facts(outcome.intervals, "_auroc"),
        "gain": gain.value,
        "gain_low": gain.low,
        "gain_high": gain.high,
        **pgr_facts(outcome.pgr),
        "saturated": outcome.saturated,
    }


def disagreements_of_tests(tests: pd.DataFrame) -> list[str]:
    """A sentence for each method and dataset whose gain over the supervisor differs between test sets.

    Differs: it is shown on one, and on another it is not, or the opposite is.

    `tests`: rows of TEST_COLUMNS. Each interval is of one test set by itself, at 95 %.
    """
    sentences = []
    methods = tests[tests["purpose"] == "method"]
    for _, own in methods.groupby(["dataset", "method_id", "round"], sort=False):
        rows: Sequence[Mapping[Any, Any]] = own.to_dict("records")
        verdicts = [_verdict(row) for row in rows]
        if len(set(verdicts)) < 2:
            continue
        parts = [f"{verdict} {row['test']} ({_gain(row)})" for verdict, row in zip(verdicts, rows, strict=True)]
        sentences.append(f"{_who(rows[0])} on {rows[0]['dataset']}: {'; '.join(parts)}.")
    return sentences


def _verdict(row: Mapping[Any, Any]) -> str:
    if row["gain_low"] > 0:
        return "ahead of its supervisor on"
    return "behind its supervisor on" if row["gain_high"] < 0 else "not told apart from its supervisor on"


def _gain(row: Mapping[Any, Any]) -> str:
    value, low, high = (signed_decimals(row[f"gain{end}"], minus="−") for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def _who(row: Mapping[Any, Any]) -> str:
    method = method_word(str(row["method"]), str(row["variant"]))
    number = f"round {row['round']}" if row["round"] else ""
    return " ".join(part for part in (method, str(row["loss"]), str(row["variant"]), number) if part)
