"""The student's gain over weak labels on rows whose truth is known: its interval, and how many rows would show it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import hypergeom

from outshine.engine.errors import DataError
from outshine.stats.auc_covariance import combine_seeds
from outshine.stats.auroc import Floats
from outshine.stats.intervals import EffectiveSize, Interval, auroc_interval, exact_share
from outshine.stats.role_values import Groups

ALPHA, POWER = 0.05, 0.80
ASSUMED_RIGHT = (0.6, 2 / 3, 0.75)  # shares of disagreements on which the student may be right

ASSUMED_AUROC = (0.02, 0.05, 0.1)


def wilson(num_right: float, num_rows: float, level: float = 0.95) -> Interval:
    """Return a share with Wilson's score interval (1927): the shares that the score test of this level does not reject.

    (k + z²/2)/(n + z²) ± z/(n + z²) √(k (n − k)/n + z²/4). No rows: the share is NaN and may be anything.
    Raises DataError for k outside 0 … n.
    """
    if not 0 <= num_right <= num_rows:
        raise DataError(f"a share needs 0 ≤ right ≤ rows, given {num_right} of {num_rows}")
    if num_rows == 0:
        return Interval(math.nan, 0.0, 1.0, "no rows")
    z = float(ndtri((1 + level) / 2))
    centre = (num_right + z**2 / 2) / (num_rows + z**2)
    spread = z / (num_rows + z**2) * math.sqrt(num_right * (num_rows - num_right) / num_rows + z**2 / 4)
    share = num_right / num_rows
    return Interval(share, min(max(centre - spread, 0.0), share), max(min(centre + spread, 1.0), share))


def gain_by_disagreements(right: Interval, share: float) -> Interval:
    """Return the accuracy of the student less that of the labels over a whole file, from judged disagreements alone.

    With two classes one of the two is right wherever they disagree, and rows where they agree count the same for both:
    gain = d (2q − 1), with d the share of all rows on which they disagree, known, and q the share of those on which the
    student is right. `right`: q with its limits, from disagreements drawn at random; `share`: d.
    The limits hold for this file's rows; d is no estimate. Raises DataError for d outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise DataError(f"the share of rows on which student and labels disagree lies in [0, 1], given {share}")
    if share == 0:
        return Interval(0.0, 0.0, 0.0)
    value, low, high = (share * (2 * q - 1) for q in (right.value, right.low, right.high))
    return Interval(value, low, high)


def newcombe(only_first: float, only_second: float, both: float, neither: float, level: float = 0.95) -> Interval:
    """Return the difference of two paired shares with Newcombe's interval, (only first − only second) / all.

    Square-and-add of the two Wilson intervals with their correlation φ, continuity-corrected: method 10 of the source.
    `only_first`: rows that the first alone has right, and so on; `both`, `neither`: rows that both have right, or
    wrong; broken numbers are effective ones. No rows: NaN within [−1, 1]. Raises DataError for negative counts.
    Source: Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions based on
    paired data", Statistics in Medicine 17, 2635-2650.
    """
    n = only_first + only_second + both + neither
    if min(only_first, only_second, both, neither) < 0:
        raise DataError("counts of rows cannot be negative")
    if n == 0:
        return Interval(math.nan, -1.0, 1.0)
    first, second = (wilson(both + alone, n, level) for alone in (only_first, only_second))
    product = both * neither - only_first * only_second
    product = max(product - n / 2, 0.0) if product > 0 else product
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    phi = product / math.sqrt(margins) if margins else 0.0

    difference = (only_first - only_second) / n
    low = difference - _together(first.value - first.low, second.high - second.value, phi)
    high = difference + _together(first.high - first.value, second.value - second.low, phi)
    return Interval(difference, max(low, -1.0), min(high, 1.0))


def paired_gain(only_first: float, only_second: float, both: float, neither: float, level: float = 0.95) -> Interval:
    """Return the first's accuracy less the second's on the same rows, with limits that exclude 0 seldom enough.

    `newcombe`'s interval, stretched to 0 where the exact binomial test of the rows that one alone has right (McNemar's)
    does not reject: it then excludes a true 0 in at most 1 − `level` of cases, whatever the number of rows. For
    independent rows that stand for others of the same kind. Arguments and errors as of `newcombe`.
    """
    interval = newcombe(only_first, only_second, both, neither, level)
    alone = exact_share(only_first, only_first + only_second, level)
    if alone.low <= 0.5 <= alone.high:
        return interval._replace(low=min(interval.low, 0.0), high=max(interval.high, 0.0))
    return interval


def level_of_file(shares: tuple[Interval, Interval], weights: tuple[float, float]) -> Interval:
    """Return the weighted mean of two shares from independent draws, with limits from theirs (square-and-add).

    `weights` sum to 1. Source: Zou, Huang, Zhang 2009, "A note on confidence interval estimation for a linear function
    of binomial proportions", Computational Statistics & Data Analysis 53, 1080-1085.
    """
    parts = [(part, weight) for part, weight in zip(shares, weights, strict=True) if weight > 0]
    value = sum(weight * part.value for part, weight in parts)
    low = math.sqrt(sum((weight * (part.value - part.low)) ** 2 for part, weight in parts))
    high = math.sqrt(sum((weight * (part.high - part.value)) ** 2 for part, weight in parts))
    return Interval(value, max(value - low, 0.0), min(value + high, 1.0))


def auroc_gain(
    y: ArrayLike, student: ArrayLike, labels: ArrayLike, groups: Groups = None, level: float = 0.95
) -> Interval:
    """Return the student's AUC less that of the cheap labels on the same rows, with limits from those of the two.

    Zou and Yue's square-and-add, as Newcombe's for shares: the lower limit is A₁ − A₂ − √(a² − 2 r a b + b²) with
    a = A₁ − l₁, b = u₂ − A₂, the upper likewise, [l, u] the interval of each AUC on the logit scale (`auroc_interval`)
    and r the correlation of the two AUCs by DeLong's covariance, rows by group. Near 1, where
    ± t · se covers too little, it covers better, and two perfect AUCs do not claim a certain difference of 0.

    `y` true labels [n], both classes; `student`, `labels` [n] scores. Raises DataError as `combine_seeds` does.
    Source: Zou and Yue 2013, "Using confidence intervals to compare several correlated areas under the receiver
    operating characteristic curves", Statistics in Medicine 32, 5077-5090; DeLong et al. 1988; Obuchowski 1997.
    """
    scores = np.stack([np.asarray(student, dtype=np.float64), np.asarray(labels, dtype=np.float64)])
    estimates = combine_seeds(y, scores[None], groups)
    first, second = (auroc_interval(estimates, role, level) for role in (0, 1))
    if not np.all(np.isfinite(estimates.estimate.cov)):
        return Interval(first.value - second.value, -1.0, 1.0, first.note)
    correlation = _correlation(estimates.estimate.cov)
    low = _together(first.value - first.low, second.high - second.value, correlation)
    high = _together(first.high - first.value, second.value - second.low, correlation)
    gain = first.value - second.value
    return Interval(gain, max(gain - low, -1.0), min(gain + high, 1.0), first.note or second.note)


def auroc_gain_error(y: ArrayLike, student: ArrayLike, labels: ArrayLike, groups: Groups = None) -> float:
    """DeLong's standard error of that gain, by group; NaN where it cannot be had. Arguments as for `auroc_gain`."""
    scores = np.stack([np.asarray(student, dtype=np.float64), np.asarray(labels, dtype=np.float64)])
    return float(combine_seeds(y, scores[None], groups).estimate.contrast([1.0, -1.0]).standard_error)


def rows_for_auroc(error: float, num_rows: int, gain: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Return how many trusted rows in all find a true difference `gain` of two AUCs with this power, two-sided.

    n = m ((z₁₋α/₂ + z_power) SE / gain)², where m rows gave the standard error SE, which falls with 1/√n: normal
    theory, same mix of classes and groups. Source: Hanley and McNeil 1983, "A method of comparing the areas under ROC
    curves derived from the same cases", Radiology 148, 839-843, with DeLong's error. None for a gain or error of 0.
    """
    if gain == 0 or not (math.isfinite(error) and error > 0):
        return None
    return math.ceil(num_rows * ((_z(1 - alpha / 2) + _z(power)) * error / gain) ** 2)


def disagreements_needed(
    right: float, num_all: int | None = None, alpha: float = ALPHA, power: float = POWER
) -> int | None:
    """Return how many judged disagreements show that the student is right in more (or fewer) than half of them.

    n₀ = ((z₁₋α/₂ + 2 z_power √(q (1 − q))) / (2q − 1))², q the true share `right`: the score test of one share against
    ½, which is McNemar's test given its discordant rows; n = n₀/4 (1 + √(1 + 2 / (n₀ |q − ½|)))² for the exact test,
    at least the number with which that can reject at all. Drawn from `num_all` without replacement fewer are enough:
    n / (1 + (n − 1) / all), and as many more as give the exact test this power. None for q = ½, to the row.
    Raises DataError for q outside [0, 1]. Sources: Miettinen 1968, "The matched pairs design in the case of
    all-or-none responses", Biometrics 24, 339-352; Casagrande, Pike, Smith 1978, Biometrics 34, 483-486, for the
    correction; Cochran 1977, "Sampling Techniques", 4.4.
    """
    if not 0 <= right <= 1:
        raise DataError(f"a share lies in [0, 1], given {right}")
    if right == 0.5:
        return None
    plain = ((_z(1 - alpha / 2) + 2 * _z(power) * math.sqrt(right * (1 - right))) / (2 * right - 1)) ** 2
    needed = plain / 4 * (1 + math.sqrt(1 + 2 / (plain * abs(right - 0.5)))) ** 2
    needed = max(needed, math.log2(2 / alpha))
    if num_all is None:
        return math.ceil(needed)
    num_right = round(max(right, 1 - right) * num_all)
    if 2 * num_right <= num_all:
        return None
    num = min(math.ceil(needed / (1 + (needed - 1) / num_all)), num_all)
    while num < num_all and _exact_power(num_right, num, num_all, alpha) < power:
        num += 1
    return num


def _exact_power(num_right: int, num: int, num_all: int, alpha: float) -> float:
    """Return the chance that `num` rows, drawn from all, show that more than half of all are right."""
    enough = hypergeom.isf(alpha / 2, num_all, num_all // 2, num) + 1
    return float(hypergeom.sf(enough - 1, num_all, num_right, num))


def _together(first: float, second: float, correlation: float) -> float:
    """Return the error of a difference from the errors of its two sides."""
    return math.sqrt(max(first**2 - 2 * correlation * first * second + second**2, 0.0))


def _correlation(cov: Floats) -> float:
    """That of two estimates [2, 2]; 0 where one does not vary."""
    size = math.sqrt(cov[0, 0] * cov[1, 1])
    return float(np.clip(cov[0, 1] / size, -1.0, 1.0)) if size > 0 else 0.0


def _z(share: float) -> float:
    return float(ndtri(share))


class RowsNeeded(NamedTuple):
    """Trusted rows in all that find a gain with power .8 at level .05, two-sided.

    `gain`: assumed, in the primary measure; `right`: the share of disagreements that it means. `rows`: drawn at random
    from all; `judged`: drawn from the disagreements alone, None where that will not do. `groups`: of how many groups,
    where rows of one group count as they do in the estimate, else None. `seen`: the gain is the one estimated.
    """

    gain: float
    right: float | None
    rows: int
    judged: int | None
    seen: bool
    groups: int | None = None


def needed_accuracy(
    share: float, seen: float | None = None, num_all: int | None = None, worth: EffectiveSize | None = None
) -> tuple[RowsNeeded, ...]:
    """Return rows that show that the student is right in more, or fewer, than half of the disagreements.

    `share`: of all rows, on which student and labels disagree; `seen`: the share of those on which the student was
    right; `num_all`: disagreements of the file, None: there are any number. A random draw of n rows holds n · share
    disagreements, and only these tell. `worth`: what those judged are worth where they are rows of groups, so
    that the rows needed are that many times more.
    """
    needed = []
    rights: list[float] = [*([] if seen is None else [seen]), *(right for right in ASSUMED_RIGHT if right != seen)]
    for right in rights:
        judged = disagreements_needed(right, num_all if worth is None else None)
        if judged is None or not share > 0:
            continue
        judged = math.ceil(judged * (worth.design_effect if worth else 1))
        groups = math.ceil(judged / worth.num_rows * worth.num_groups) if worth else None
        needed.append(
            RowsNeeded(share * (2 * right - 1), right, math.ceil(judged / share), judged, right == seen, groups)
        )
    return tuple(needed)
