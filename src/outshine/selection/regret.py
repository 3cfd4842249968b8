"""Regret of each choice against the oracle that knows test, and its means over seeds and datasets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from outshine.engine.rng import numpy_rng
from outshine.results.names import IDENTITY_COLUMNS
from outshine.selection.candidates import CandidateSet, Kind, shares
from outshine.selection.rules import DRAWS, RANDOM, RULES, budgets, orders, trusted_shares
from outshine.stats.auroc import Floats, auroc
from outshine.stats.intervals import Interval
from outshine.stats.paired_differences import mean_interval

SPLITS = 10
"""Random halvings of test."""

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
_NAMES = ("study", "kind", "dataset", "rule", "n", "num_datasets", "num_seeds", "num_choices", "over")
_NESTED = ("nested_regret", "nested_regret_low", "nested_regret_high")
POOLED_COLUMNS = (*_NAMES, "regret", "regret_low", "regret_high", *_NESTED, "auroc", "hit")
"""`dataset` empty: over all unsaturated datasets. `over`: what the 95 % intervals are over, datasets or seeds; empty:
there is one of them only, and the limits are NaN. The other columns are means of those of REGRET_COLUMNS."""


class Oracle(NamedTuple):
    """`aurocs` [m] on all of test; `half_aurocs` [m] means over halves of test; `nested`: the mean AUROC, on one half
    of test, of the candidate that was best on the other. The last two are NaN where a half lacks a class."""

    aurocs: Floats
    half_aurocs: Floats
    nested: float


def ask_oracle(choice: CandidateSet) -> Oracle:
    """Return the test AUROCs of the candidates, and the oracle with and without its own flattery.

    The highest of m AUROCs measured on the same rows lies, on average, above the AUROC of the best candidate (winner's
    curse). One chosen on half of the rows and measured on the other lies, on average, not above it. So the truth is
    between the two. Rows that share a group stay in one half.
    """
    y, scores = choice.test.y, choice.on_test
    aurocs = np.array([auroc(y, own) for own in scores])
    pairs = [pair for half in _halves(choice) for pair in _both_ways(choice, half)]
    if not pairs:
        return Oracle(aurocs, np.full(len(aurocs), math.nan), math.nan)
    halves = np.stack([measured for _, measured in pairs])
    nested = float(np.mean([shares(seen) @ measured for seen, measured in pairs]))
    return Oracle(aurocs, halves.mean(axis=0), nested)


def _halves(choice: CandidateSet) -> list[np.ndarray]:
    """Return rows [t] of one half each: groups in random order, the first half of them."""
    _, group = np.unique(np.asarray(choice.test.groups, dtype=str), return_inverse=True)
    rng = numpy_rng("halves of test", choice.about["dataset"], choice.about["data_seed"])
    num_groups = int(group.max()) + 1
    return [rng.permutation(num_groups)[group] < num_groups // 2 for _ in range(SPLITS)]


def _both_ways(choice: CandidateSet, half: np.ndarray) -> Sequence[tuple[Floats, Floats]]:
    """(AUROCs that the oracle sees [m], AUROCs that are measured [m]), each half once in each part."""
    parts = []
    for rows in (half, ~half):
        y = choice.test.y[rows]
        if y.all() or not y.any():
            return []
        parts.append(np.array([auroc(y, own[rows]) for own in choice.on_test]))
    return [(parts[0], parts[1]), (parts[1], parts[0])]


def regrets(study: str, choices: Iterable[CandidateSet], num_draws: int = DRAWS) -> pd.DataFrame:
    """Return the regret of every rule and budget at every choice, columns REGRET_COLUMNS. Deterministic.

    AUROCs are of test against ground truth. Where a rule draws lots among equals, and over the `num_draws` random sets
    of trusted rows, values are means. A choice among fewer than two candidates is none and is left out.
    """
    rows = [
        {"study": study, **row} for choice in choices if len(choice.names) > 1 for row in _of_choice(choice, num_draws)
    ]
    return pd.DataFrame(rows, columns=list(REGRET_COLUMNS))


def _of_choice(choice: CandidateSet, num_draws: int) -> Iterator[dict[str, Any]]:
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
    counts = budgets(len(choice.val.ids))
    drawn = orders(len(choice.val.ids), num_draws, choice.about["dataset"], choice.about["data_seed"])
    for n, picked in zip(counts, trusted_shares(choice.val.y, choice.on_val, drawn, counts), strict=True):
        yield {**facts, "rule": TRUSTED, "n": n, **_worth(choice, oracle, picked)}


def _worth(choice: CandidateSet, oracle: Oracle, picked: Floats) -> dict[str, Any]:
    """Return what picks with these shares [m] have on test, on average."""
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
    """Return means over choices of each rule and budget on each dataset and seed (each student has its checkpoints).

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


def pooled_regrets(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each kind, rule and budget over all datasets, then on each dataset; columns POOLED_COLUMNS.

    `frame`: rows of REGRET_COLUMNS. Means over the runs of a seed, then over seeds, then over datasets that are not
    saturated, each dataset counting once. Intervals are Student's, over datasets or, of a single dataset, over seeds;
    that of the regret is cut at 0. Budgets that a dataset is too small for are left out of the rows over all.
    """
    study = str(frame["study"].iloc[0]) if len(frame) else ""
    by_seed = mean_regrets(frame)
    rows = []
    for kind, own in by_seed.groupby("kind", sort=False):
        everywhere = _over_datasets(own[~own["saturated"].astype(bool)])
        single = [_over_seeds(part, str(name)) for name, part in own.groupby("dataset", sort=False)]
        rows += [{"study": study, "kind": kind, **row} for part in (everywhere, *single) for row in part]
    return pd.DataFrame(rows, columns=list(POOLED_COLUMNS))


class EquivalentLabels(NamedTuple):
    """How many trusted labels the best label-free rule is worth, by mean regret over datasets.

    `rule`: the label-free rule with the lowest regret, a random choice aside. `fewer`: the greatest budget below
    `enough` (they lose more; None: `enough` is the smallest tried); `enough`: the smallest budget that loses no more
    than the rule; None: none does. `surely_fewer`, `surely_enough`: the greatest budget that loses more, the smallest
    that loses less, where the 95 % interval of the paired differences says so; None: it never does. `over`: of what
    the interval is, as in POOLED_COLUMNS.
    """

    kind: Kind
    rule: str
    fewer: int | None
    enough: int | None
    surely_fewer: int | None
    surely_enough: int | None
    over: str


def equal_labels(frame: pd.DataFrame, kind: Kind) -> EquivalentLabels | None:
    """Compare budgets of trusted labels with the best label-free rule; `frame`: rows of REGRET_COLUMNS.

    None where nothing of that kind is chosen on an unsaturated dataset, or no budget can be tried on all of them.
    """
    by_seed = mean_regrets(frame[(frame["kind"] == kind) & ~frame["saturated"].astype(bool)])
    units, over = _units(by_seed)
    counts = sorted(int(n) for rule, n in units.columns if rule == TRUSTED)
    free = [rule for rule, _ in units.columns if rule not in (TRUSTED, RANDOM)]
    if not counts or not free:
        return None
    best = min(free, key=lambda rule: units[rule, 0].mean())
    budget = {n: _interval(rounded((units[TRUSTED, n] - units[best, 0]).to_numpy())) for n in counts}
    enough = next((n for n, interval in budget.items() if interval.value <= 0), None)
    below = [n for n in budget if enough is None or n < enough]
    worse = [n for n, interval in budget.items() if interval.low > 0]
    better = [n for n, interval in budget.items() if interval.high < 0]
    return EquivalentLabels(
        kind, best, max(below, default=None), enough, max(worse, default=None), min(better, default=None), over
    )


def _units(by_seed: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return regrets (a row a dataset, or a seed of the only one; a column a (rule, n) of all), and over what."""
    datasets = by_seed["dataset"].nunique()
    index = "dataset" if datasets > 1 else "seed"
    units = by_seed.pivot_table(index=index, columns=["rule", "n"], values="regret", sort=False).dropna(axis=1)
    over = "" if len(units) < 2 else f"{index}s"
    return units, over


def _over_datasets(own: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows over all datasets."""
    if own["dataset"].nunique() < 2:
        return _over_seeds(own, "")
    names = own["dataset"].unique()
    by_dataset = own.groupby(["rule", "n", "dataset"], sort=False)[list(MEASURES)].mean()
    rows = []
    for (rule, n), part in by_dataset.groupby(["rule", "n"], sort=False):
        if len(part) == len(names):
            runs = own[(own["rule"] == rule) & (own["n"] == n)]
            rows.append({"dataset": "", "over": "datasets", **_facts(rule, n, runs), **_means(part)})
    return rows


def _over_seeds(own: pd.DataFrame, dataset: str) -> list[dict[str, Any]]:
    """Return the rows of one dataset, over its seeds."""
    rows = []
    for (rule, n), part in own.groupby(["rule", "n"], sort=False):
        over = "seeds" if len(part) > 1 else ""
        rows.append({"dataset": dataset, "over": over, **_facts(rule, n, part), **_means(part)})
    return rows


def _facts(rule: Any, n: Any, runs: pd.DataFrame) -> dict[str, Any]:
    return {
        "rule": rule,
        "n": int(n),
        "num_datasets": runs["dataset"].nunique(),
        "num_seeds": len(runs[["data_seed", "seed"]].drop_duplicates()),
        "num_choices": int(runs["num_choices"].sum()),
    }


def _means(part: pd.DataFrame) -> dict[str, float]:
    regret, nested = (_interval(rounded(part[name].to_numpy())) for name in ("regret", "nested_regret"))
    return {
        "regret": regret.value,
        "regret_low": float(np.maximum(0.0, regret.low)),  # unknown stays unknown
        "regret_high": regret.high,
        "nested_regret": nested.value,
        "nested_regret_low": nested.low,
        "nested_regret_high": nested.high,
        "auroc": float(part["auroc"].mean()),
        "hit": float(part["hit"].mean()),
    }


def _interval(values: Sequence[float] | np.ndarray) -> Interval:
    """Return the mean with Student's interval; of a single value, or where one is unknown, without limits."""
    mean = float(np.mean(values)) if len(values) else math.nan
    if len(values) < 2 or math.isnan(mean):
        return Interval(mean, math.nan, math.nan)
    return mean_interval(values)
