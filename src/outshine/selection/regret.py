"""Regret of each choice against the oracle, one row a choice and rule, or number of trusted labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from outshine.results.names import IDENTITY_COLUMNS
from outshine.selection.candidates import Choice, shares
from outshine.selection.oracle import Oracle, ask_oracle
from outshine.selection.rules import RULES
from outshine.selection.trusted_labels import DRAWS, budgets, orders, trusted_shares
from outshine.stats.auroc import Floats

TRUSTED = "trusted"
"""The rule of rows about a budget of trusted labels, beside the names of RULES."""

REGRET_COLUMNS = (
    *("kind", *IDENTITY_COLUMNS),
    *("saturated", "num_candidates", "rule", "n", "choice", "hit", "auroc"),
    *("oracle", "oracle_auroc", "regret", "nested_auroc", "nested_regret"),
)
"""`kind`: method or checkpoint. `rule`: of RULES, or `trusted` with `n` labels (else 0). `choice`: the candidate that
is picked, empty where lots are drawn; `hit`: how often it is the oracle's; `auroc`: what it has on test, on average.
`oracle`, `oracle_auroc`: the highest on test; `regret` = oracle_auroc − auroc. `nested_auroc`: an oracle that is chosen
on one half of test and measured on the other; `nested_regret`: that less the choice's mean AUROC on halves (NaN: test
is too small to be halved).
"""

MEASURES = ("regret", "nested_regret", "auroc", "hit")
"""The columns whose means tables and figures show."""


def regrets(study: str, choices: Iterable[Choice], num_draws: int = DRAWS) -> pd.DataFrame:
    """The regret of every rule and budget at every choice, columns REGRET_COLUMNS. Deterministic.

    AUROCs are of test against ground truth. Where a rule draws lots among equals, and over the `num_draws` random sets
    of trusted rows, values are means. A choice among fewer than two candidates is none and is left out.
    """
    rows = [
        {"study": study, **row} for choice in choices if len(choice.names) > 1 for row in _of_choice(choice, num_draws)
    ]
    return pd.DataFrame(rows, columns=list(REGRET_COLUMNS))


def _of_choice(choice: Choice, num_draws: int) -> Iterator[dict[str, Any]]:
    oracle = ask_oracle(choice)
    facts = {
        "kind": choice.kind,
        **choice.about,
        "saturated": choice.saturated,
        "num_candidates": len(choice.names),
        "oracle": choice.names[int(oracle.aurocs.argmax())],
        "oracle_auroc": float(oracle.aurocs.max()),
        "nested_auroc": oracle.nested,
    }
    for rule in RULES:
        scores = rule.scores(choice) if choice.kind in rule.kinds else None
        if scores is not None:
            yield {**facts, "rule": rule.name, "n": 0, **_worth(choice, oracle, shares(scores))}
    asked = budgets(len(choice.val.ids))
    drawn = orders(len(choice.val.ids), num_draws, choice.about["dataset"], choice.about["data_seed"])
    for n, picked in zip(asked, trusted_shares(choice.val.y, choice.on_val, drawn, asked), strict=True):
        yield {**facts, "rule": TRUSTED, "n": n, **_worth(choice, oracle, picked)}


def _worth(choice: Choice, oracle: Oracle, picked: Floats) -> dict[str, Any]:
    """What picks with these shares [m] have on test, on average."""
    auroc = float(picked @ oracle.aurocs)
    best = oracle.aurocs == oracle.aurocs.max()
    return {
        "choice": choice.names[int(picked.argmax())] if picked.max() == 1 else "",
        "hit": float(picked @ best),
        "auroc": auroc,
        "regret": float(oracle.aurocs.max() - auroc),
        "nested_regret": float(oracle.nested - picked @ oracle.half_aurocs),
    }


def mean_regrets(frame: pd.DataFrame) -> pd.DataFrame:
    """Each rule and budget on each dataset and seed, the mean over its choices (each student has its checkpoints).

    `frame`: rows of REGRET_COLUMNS. Columns kind, dataset, saturated, data_seed, seed, rule, n, num_choices, MEASURES.
    """
    keys = ["kind", "dataset", "saturated", "data_seed", "seed", "rule", "n"]
    grouped = frame.groupby(keys, sort=False)
    means = grouped[list(MEASURES)].mean()
    means.insert(0, "num_choices", grouped.size())
    return means.reset_index()


def rounded(values: np.ndarray) -> np.ndarray:
    """Differences whose errors near 1e-16 are rounded off: equal ones are equal again."""
    return np.round(values, 12)
