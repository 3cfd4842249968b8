"""Confidence intervals of metrics and of their differences, and of shares: in few rows, a finite file, groups."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, expit, logit, stdtrit

from outshine.engine.errors import DataError
from outshine.stats.auroc import Floats
from outshine.stats.estimates import Estimate, t_quantile
from outshine.stats.role_values import RoleValues

NO_VARIANCE = "one class lies in a single group (or row) of the test set: no variance can be estimated"


class Interval(NamedTuple):
    """A value with its confidence limits; `note` says in words where they are not the usual ones."""

    value: float
    low: float
    high: float
    note: str = ""


class EffectiveSize(NamedTuple):
    """How many independent `rows`, and `groups` of equal size, tell as much as rows in groups do; maybe broken numbers.

    `num_groups` and `num_rows` are the plain counts.
    """

    rows: float
    groups: float
    num_rows: int
    num_groups: int

    @property
    def design_effect(self) -> float:
        """How many rows of these groups tell as much as one independent row."""
        return self.num_rows / self.rows


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
    low, high = clopper_pearson(value * result.num_trials, (1 - value) * result.num_trials, (1 - level) / 2)
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


def clopper_pearson(num_right: float, num_wrong: float, tail: float) -> tuple[float, float]:
    """Clopper and Pearson's limits of a share (1934): those that neither one-sided exact binomial test rejects.

    Each limit errs with a chance of at most `tail`. The numbers may be broken (effective numbers of rows).
    """
    low = float(betaincinv(num_right, num_wrong + 1, tail)) if num_right > 0 else 0.0
    high = float(betaincinv(num_right + 1, num_wrong, 1 - tail)) if num_wrong > 0 else 1.0
    return low, high


def exact_share(num_right: float, num_rows: float, level: float = 0.95) -> Interval:
    """A share with its exact limits (`clopper_pearson`).

    They hold the true share at least as often as `level` says, whatever the number of rows, which may be broken (an
    effective number, Korn and Graubard 1998). No rows: NaN within [0, 1]. Raises DataError for right outside 0 … rows.
    """
    if not 0 <= num_right <= num_rows:
        raise DataError(f"a share needs 0 ≤ right ≤ rows, given {num_right} of {num_rows}")
    if num_rows == 0:
        return Interval(math.nan, 0.0, 1.0, "no rows")
    return Interval(num_right / num_rows, *clopper_pearson(num_right, num_rows - num_right, (1 - level) / 2))


def share_of_file(num_right: int, num_judged: int, num_all: int, num_empty: int = 0, level: float = 0.95) -> Interval:
    """The share of right rows among `num_all`, from a random draw of `num_judged` + `num_empty` without replacement.

    The limits are the least and the greatest share that neither one-sided exact hypergeometric test rejects, so that
    they hold the true one at least as often as `level` says; where all rows are judged they are the share itself.
    `num_empty`: drawn rows that were not judged. They count as wrong for the lower limit and as right for the upper
    one, since they may have been left out for what they are. No row drawn: NaN within [0, 1].
    Raises DataError for counts that cannot be. Source: Buonaccorsi 1987, "A note on confidence intervals for
    proportions in finite populations", The American Statistician 41, 215-218.
    """
    drawn = num_judged + num_empty
    if not (0 <= num_right <= num_judged and num_empty >= 0 and drawn <= num_all):
        raise DataError(
            f"a share needs 0 ≤ right ≤ judged and drawn ≤ all, given {num_right} right, {num_judged} judged, "
            f"{num_empty} empty of {num_all}"
        )
    if num_judged == 0:
        return Interval(math.nan, 0.0, 1.0, "no rows")
    tail = (1 - level) / 2
    low = _least(num_right, drawn, num_all, tail)
    high = num_all - _least(num_judged - num_right, drawn, num_all, tail)
    return Interval(num_right / num_judged, low / num_all, high / num_all)


def _least(num_right: int, drawn: int, num_all: int, tail: float) -> int:
    """The smallest number of right rows among all with which so many right ones, or more, have P > tail."""
    from scipy.stats import hypergeom

    low, high = num_right, num_all - (drawn - num_right)  # what is possible at all
    while low < high:
        middle = (low + high) // 2
        if hypergeom.sf(num_right - 1, num_all, middle, drawn) > tail:
            high = middle
        else:
            low = middle + 1
    return low


def effective_size(values: ArrayLike, groups: ArrayLike, level: float = 0.95) -> EffectiveSize:
    """How many independent rows, and groups of equal size, tell as much of the mean as these rows in groups do.

    The variance of the mean is the delete-one-group jackknife's, s² / variance the effective number of rows, shrunk by
    (t with rows − 1 / t with groups − 1 degrees of freedom)², since a variance from few groups is uncertain, and never
    above the plain number. Groups count as (Σ size)² / Σ size². Where all values are equal nothing is seen of how
    alike a group's rows are: a group then counts as one row.

    `values` [n] numbers, `groups` [n] names. Sources: Korn and Graubard 1998, "Confidence intervals for proportions
    with small expected number of positive counts estimated from survey data", Survey Methodology 24, 193-201; Kish
    1965, "Survey Sampling". Raises DataError for no rows.
    """
    x = np.asarray(values, dtype=np.float64)
    if not x.size:
        raise DataError("no rows: nothing can be said of groups")
    _, place = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    sizes = np.bincount(place).astype(np.float64)
    sums = np.asarray(np.bincount(place, weights=x), dtype=np.float64)
    num = len(sizes)
    effective = float(sizes.sum() ** 2 / np.sum(sizes**2))
    if num == x.size:
        return EffectiveSize(float(x.size), effective, x.size, num)
    spread = float(np.var(x))
    if spread == 0 or num == 1:
        return EffectiveSize(effective, effective, x.size, num)
    variance = _jackknife(sums, sizes)
    rows = min(spread / variance, float(x.size)) if variance > 0 else float(x.size)
    rows *= _t_ratio(x.size - 1, effective - 1, level) ** 2
    return EffectiveSize(min(rows, float(x.size)), effective, x.size, num)


def _jackknife(sums: Floats, sizes: Floats) -> float:
    """Variance of Σ sums / Σ sizes, from leaving out each group in turn."""
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    return float((len(sums) - 1) / len(sums) * np.sum((without - sums.sum() / sizes.sum()) ** 2))


def _t_ratio(many: float, few: float, level: float) -> float:
    """Student's quantile with many degrees of freedom over that with few, each taken as at least a half."""
    quantile = (1 + level) / 2
    return float(stdtrit(max(many, 0.5), quantile) / stdtrit(max(few, 0.5), quantile))
