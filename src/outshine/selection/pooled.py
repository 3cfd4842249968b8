"""Regrets averaged over seeds and datasets, and how many trusted labels equal the best label-free rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from outshine.selection.candidates import Kind
from outshine.selection.regret import MEASURES, TRUSTED, mean_regrets, rounded
from outshine.selection.rules import RANDOM
from outshine.stats.intervals import Interval
from outshine.stats.paired_differences import mean_interval

_NAMES = ("study", "kind", "dataset", "rule", "n", "num_datasets", "num_seeds", "num_choices", "over")
_NESTED = ("nested_regret", "nested_regret_low", "nested_regret_high")
POOLED_COLUMNS = (*_NAMES, "regret", "regret_low", "regret_high", *_NESTED, "auroc", "hit")
"""`dataset` empty: over all unsaturated datasets. `over`: what the 95 % intervals are over, datasets or seeds; empty:
there is one of them only, and the limits are NaN. The other columns are means of those of REGRET_COLUMNS."""


def pooled_regrets(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a kind, rule and budget over all datasets (first), and one on each dataset; columns POOLED_COLUMNS.

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


class Equal(NamedTuple):
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


def equal_labels(frame: pd.DataFrame, kind: Kind) -> Equal | None:
    """Compare budgets of trusted labels with the best label-free rule; `frame`: rows of REGRET_COLUMNS.

    None where nothing of that kind is chosen on an unsaturated dataset, or no budget can be tried on all of them.
    """
    by_seed = mean_regrets(frame[(frame["kind"] == kind) & ~frame["saturated"].astype(bool)])
    units, over = _units(by_seed)
    asked = sorted(int(n) for rule, n in units.columns if rule == TRUSTED)
    free = [rule for rule, _ in units.columns if rule not in (TRUSTED, RANDOM)]
    if not asked or not free:
        return None
    best = min(free, key=lambda rule: units[rule, 0].mean())
    budget = {n: _interval(rounded((units[TRUSTED, n] - units[best, 0]).to_numpy())) for n in asked}
    enough = next((n for n, found in budget.items() if found.value <= 0), None)
    below = [n for n in budget if enough is None or n < enough]
    worse = [n for n, found in budget.items() if found.low > 0]
    better = [n for n, found in budget.items() if found.high < 0]
    return Equal(
        kind, best, max(below, default=None), enough, max(worse, default=None), min(better, default=None), over
    )


def _units(by_seed: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Regrets, a row a dataset (or a seed of the only one), a column a (rule, n) that all of them have; over what."""
    datasets = by_seed["dataset"].nunique()
    index = "dataset" if datasets > 1 else "seed"
    units = by_seed.pivot_table(index=index, columns=["rule", "n"], values="regret", sort=False).dropna(axis=1)
    over = "" if len(units) < 2 else f"{index}s"
    return units, over


def _over_datasets(own: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows over all datasets."""
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
    """Rows of one dataset, over its seeds."""
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
    """The mean with Student's interval; of a single value, or where one is unknown, without limits."""
    mean = float(np.mean(values)) if len(values) else math.nan
    if len(values) < 2 or math.isnan(mean):
        return Interval(mean, math.nan, math.nan)
    return mean_interval(values)
