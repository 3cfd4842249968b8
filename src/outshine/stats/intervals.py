"""Confidence intervals for one AUC and for differences between AUCs."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import betaincinv, expit, logit

from outshine.stats.auc_covariance import RoleAucs
from outshine.stats.estimates import Estimate, t_quantile

NO_VARIANCE = "one class lies in a single group (or row) of the test set: no variance can be estimated"


class Interval(NamedTuple):
    """A value with its confidence limits; `note` says in words where they are not the usual ones."""

    value: float
    low: float
    high: float
    note: str = ""


def auroc_interval(result: RoleAucs, role: int, level: float = 0.95) -> Interval:
    """The AUC of one role with its confidence interval, always within [0, 1].

    Usually on the logit scale, logit A ± t · se / (A (1 − A)), t with Satterthwaite's degrees of freedom:
    it stays in [0, 1] and covers better near 1 than A ± t · se (Pepe 2003; Qin and Hotilovac 2008).

    Where the rows show no variation at all (perfect order, constant scores) a standard error of 0 would claim
    certainty. Instead Clopper and Pearson's limits (1934) for k trials with A·k successes, k =
    `result.num_pairs`. At A = 1 they are safe by proof: k disjoint pairs are all ordered rightly with
    probability at most Aᵏ, hence A ≥ (α/2)^(1/k). Where one class lies in one group: [0, 1].
    """
    weights = [float(role == r) for r in range(len(result.auc))]
    auc, variance, df = (float(x) for x in result.estimate.contrast(weights))
    if math.isnan(variance):
        return Interval(auc, 0.0, 1.0, NO_VARIANCE)
    if variance > 0:
        half_width = float(t_quantile(level, df)) * math.sqrt(variance) / (auc * (1 - auc))
        return Interval(auc, float(expit(logit(auc) - half_width)), float(expit(logit(auc) + half_width)))
    right, wrong, tail = auc * result.num_pairs, (1 - auc) * result.num_pairs, (1 - level) / 2
    low = float(betaincinv(right, wrong + 1, tail)) if right > 0 else 0.0
    high = float(betaincinv(right + 1, wrong, 1 - tail)) if wrong > 0 else 1.0
    return Interval(auc, low, high, f"no variation between test rows: limits for {result.num_pairs} independent pairs")


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
