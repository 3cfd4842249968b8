"""Confidence intervals for one value of a metric, such as an AUC, and for differences between values."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import betaincinv, expit, logit

from outshine.stats.estimates import Estimate, t_quantile
from outshine.stats.role_values import RoleValues

NO_VARIANCE = "one class lies in a single group (or row) of the test set: no variance can be estimated"


class Interval(NamedTuple):
    """A value with its confidence limits; `note` says in words where they are not the usual ones."""

    value: float
    low: float
    high: float
    note: str = ""


def auroc_interval(result: RoleValues, role: int, level: float = 0.95) -> Interval:
    """The AUC of one role with its confidence interval, always within [0, 1]: `share_interval` of pairs of rows."""
    return share_interval(result, role, level, "independent pairs")


def share_interval(
    result: RoleValues, role: int, level: float = 0.95, trials: str = "independent groups of rows"
) -> Interval:
    """One role's value of a metric that is a share, such as an AUC, with its interval, always within [0, 1].

    Usually on the logit scale, logit A ± t · se / (A (1 − A)), t with Satterthwaite's degrees of freedom:
    it stays in [0, 1] and covers better near 1 than A ± t · se (Pepe 2003; Qin and Hotilovac 2008).

    Where the rows show no variation at all (perfect order, constant scores) a standard error of 0 would claim
    certainty. Instead Clopper and Pearson's limits (1934) for k trials with A·k successes, k =
    `result.num_trials`, called `trials` in the note. At an AUC of 1 they are safe by proof: k disjoint pairs are all
    ordered rightly with probability at most Aᵏ, hence A ≥ (α/2)^(1/k). Where one class lies in one group: [0, 1].
    """
    weights = [float(role == r) for r in range(len(result.value))]
    value, variance, df = (float(x) for x in result.estimate.contrast(weights))
    if math.isnan(variance):
        return Interval(value, 0.0, 1.0, NO_VARIANCE)
    if variance > 0:
        half_width = float(t_quantile(level, df)) * math.sqrt(variance) / (value * (1 - value))
        return Interval(value, float(expit(logit(value) - half_width)), float(expit(logit(value) + half_width)))
    right, wrong, tail = value * result.num_trials, (1 - value) * result.num_trials, (1 - level) / 2
    low = float(betaincinv(right, wrong + 1, tail)) if right > 0 else 0.0
    high = float(betaincinv(right + 1, wrong, 1 - tail)) if wrong > 0 else 1.0
    return Interval(value, low, high, f"no variation between test rows: limits for {result.num_trials} {trials}")


def difference_interval(estimate: Estimate, weights: list[float], level: float = 0.95) -> Interval:
    """A weighted sum of the estimate, such as one AUC less another, with Student's interval value ± t · se.

    Degrees of freedom: Satterthwaite's for this very contrast. Unknown variance: unbounded limits, with a note.
    Two roles with the same scores in every row differ by 0, with limits 0 and 0.
    """
    value, variance, df = (float(x) for x in estimate.contrast(weights))
    if math.isnan(variance):
        return Interval(value, -math.inf, math.inf, "no variance can be estimated")
    half_width = float(t_quantile(level, df)) * math.sqrt(variance)
    return Interval(value, value - half_width, value + half_width)
