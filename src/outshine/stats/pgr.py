"""Performance gap recovered, PGR = (student − weak) / (ceiling − weak), with Fieller's confidence set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from outshine.engine.errors import DataError
from outshine.stats.auroc import Bools, Floats
from outshine.stats.estimates import CovariancePart, Estimate, t_quantile, total
from outshine.stats.intervals import NO_VARIANCE, Interval, difference_interval
from outshine.stats.metrics.auroc import Auroc
from outshine.stats.metrics.base import Metric
from outshine.stats.role_values import Groups, RoleValues

ROLES = ("weak", "student", "ceiling")
"""The order of the roles in every array of scores and AUCs that a PGR is made from."""

SATURATED_ABOVE = 0.999
EXPLORATORY_BELOW = 10

_GAPS = np.array([[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]])
_NUM_ANGLES = 2048


class PGR(NamedTuple):
    """A performance gap recovered with its confidence limits, or the reason why it has none.

    Attributes:
        value: (student − weak) / (ceiling − weak); NaN where not defined.
        low: Lower limit of Fieller's confidence set; NaN where not defined.
        high: Upper limit; NaN where not defined.
        defined: Whether there is a value: the gap between supervisor and ceiling can be told from zero.
        reason: In words why it is not defined, else empty.
        student_minus_weak: Difference of AUROCs (or of the metric's values), there also where the PGR is not defined.
        ceiling_minus_weak: Difference of AUROCs, there also where the PGR is not defined.
    """

    value: float
    low: float
    high: float
    defined: bool
    reason: str
    student_minus_weak: float
    ceiling_minus_weak: float


class PooledPGR(NamedTuple):
    """One PGR for several datasets: the ratio of sums Σ(student − weak) / Σ(ceiling − weak).

    Attributes:
        these_datasets: For these datasets: uncertain are test rows and seeds.
        any_datasets: For a population of datasets of which these are a sample. The same value, where defined.
        num_datasets: How many datasets are pooled.
        exploratory: Whether they are of fewer than ten families.
    """

    these_datasets: PGR
    any_datasets: PGR
    num_datasets: int
    exploratory: bool


class MedianPGR(NamedTuple):
    """The median of the defined PGRs (NaN where there are none), and how many were defined and left out."""

    value: float
    num_defined: int
    num_left_out: int


def gaps(aucs: Estimate) -> Estimate:
    """(student − weak, ceiling − weak) with their joint covariance, from AUCs in the order of `ROLES`."""
    if aucs.value.shape != (len(ROLES),):
        raise DataError(f"a PGR needs the AUCs of {', '.join(ROLES)}, in this order; given {aucs.value.size} values")
    return aucs.transform(_GAPS)


def pgr(aucs: Estimate, level: float = 0.95) -> PGR:
    """PGR of one dataset from the AUCs of weak supervisor, student and ceiling; see `fieller`."""
    return fieller(gaps(aucs), level)


def fieller(ratio: Estimate, level: float = 0.95, num_datasets: int = 1) -> PGR:
    """value[0] / value[1] with Fieller's confidence set {ρ : |a − ρ b| ≤ t(df(ρ)) · se(a − ρ b)} (Fieller 1954).

    a = student − weak, b = ceiling − weak. The degrees of freedom are Satterthwaite's for a − ρ b itself, so a
    function of ρ: each ρ is then tested exactly as the t-test of that contrast would, and three statements
    always agree with the intervals of the differences: the set is bounded where that of b leaves out 0, holds
    0 where that of a does, and holds 1 where that of student − ceiling does. The set is the hull
    (outermost solutions) where df(ρ) makes it more than one piece.

    Undefined, as a result and not an error: the variances cannot be estimated, b ≤ 0, or the set is unbounded.
    A variance of exactly 0 counts as certainty: with se(a − ρ b) = 0 for every ρ, the set is {a / b}.
    `num_datasets`: of how many the values are sums; a reason then tells the mean over them.
    """
    student_gap, gap = float(ratio.value[0]), float(ratio.value[1])
    if reason := _why_undefined(ratio, level, num_datasets):
        return _undefined(reason, student_gap, gap)
    value = student_gap / gap
    low = math.tan(_last_angle_inside(ratio, level, start=math.atan(value), end=-math.pi / 2))
    high = math.tan(_last_angle_inside(ratio, level, start=math.atan(value), end=math.pi / 2))
    # The tangent of an arc tangent may be off by the last bit, and the set may be the value alone.
    return PGR(value, min(low, value), max(high, value), True, "", student_gap, gap)


def in_fieller_set(ratio: Estimate, angle: Floats, level: float = 0.95) -> Bools:
    """Whether ρ = tan(angle) is in the confidence set of `fieller`: a cos − b sin is within t standard errors of 0.

    `angle` [...] in [−π/2, π/2], whose ends are ρ = ±∞; for a batch of estimates one angle for all.
    """
    contrast = ratio.contrast(np.stack([np.cos(angle), -np.sin(angle)], axis=-1))
    return np.abs(contrast.value) <= t_quantile(level, contrast.df) * contrast.standard_error


def pooled_pgr(datasets: Sequence[Estimate], level: float = 0.95, families: Sequence[str] | None = None) -> PooledPGR:
    """The ratio of sums over datasets, with an interval for these datasets and one for a population of them.

    `datasets`: AUCs in the order of `ROLES`, one estimate for each dataset that is not saturated
    (`is_saturated`), those whose own PGR is undefined included: leaving them out would favour large values.
    `families`: the family of each dataset; those of one family are made from the same questions or passages and are
    one unit, since their test rows are not independent. Without them every dataset stands alone. Families are
    independent of each other: no rows in common, and models trained for each.

    These datasets: covariances add, every dataset's parts keep their own degrees of freedom (Satterthwaite
    over all of them). Any datasets: Fieller with D times the sample covariance of (student − weak, ceiling − weak)
    over the D families and D − 1 degrees of freedom; it holds the noise of rows and seeds already.
    """
    pairs = _by_family([gaps(aucs) for aucs in datasets], families)
    exploratory = len(pairs) < EXPLORATORY_BELOW
    if not pairs:
        nothing = _undefined("no dataset is left: all are saturated, or none was given", math.nan, math.nan)
        return PooledPGR(nothing, nothing, 0, exploratory)
    these = fieller(total(pairs), level, len(datasets))
    if len(pairs) == 1:
        several = len(datasets) > 1
        why = (
            "datasets of one family tell nothing about others" if several else "one dataset tells nothing about others"
        )
        lone = _undefined(why, these.student_minus_weak, these.ceiling_minus_weak)
        return PooledPGR(these, lone, len(datasets), exploratory)
    population = _sum_over_population(np.stack([pair.value for pair in pairs]))
    return PooledPGR(these, fieller(population, level, len(datasets)), len(datasets), exploratory)


def median_pgr(results: Sequence[PGR]) -> MedianPGR:
    """The median over the defined PGRs: a description only, for what it leaves out is not left out at random."""
    defined = [result.value for result in results if result.defined]
    value = float(np.median(defined)) if defined else math.nan
    return MedianPGR(value, len(defined), len(results) - len(defined))


def is_saturated(weak_mean: float, ceiling_mean: float) -> bool:
    """Whether a dataset leaves no gap to recover: weak supervisor and ceiling both above .999 AUC, mean over seeds.

    Decided once per dataset and pair of models, never by a method.
    """
    return weak_mean > SATURATED_ABOVE and ceiling_mean > SATURATED_ABOVE


def _by_family(pairs: Sequence[Estimate], families: Sequence[str] | None) -> list[Estimate]:
    """One estimate a family: the sum of its m members, its covariance no smaller than the true one.

    How errors of members go together is not known. For any of it Cov(Σ x) ≤ m Σ Cov(x), as positive semidefinite
    matrices, since (Σ x)² ≤ m Σ x²; that bound is used, exact where the members' errors are equal. A part has the
    fewest degrees of freedom of its members.
    """
    if families is None:
        return list(pairs)
    members: dict[str, list[Estimate]] = {}
    for pair, family in zip(pairs, families, strict=True):
        members.setdefault(family, []).append(pair)
    return [
        Estimate(
            np.sum([pair.value for pair in own], axis=0),
            tuple(
                CovariancePart(len(own) * np.sum([part.cov for part in parts], axis=0), min(part.df for part in parts))
                for parts in zip(*(pair.parts for pair in own), strict=True)
            ),
        )
        for own in members.values()
    ]


def _why_undefined(ratio: Estimate, level: float, num_datasets: int) -> str:
    gap = difference_interval(ratio, [0.0, 1.0 / num_datasets], level)
    mean = f", mean over {num_datasets} datasets" if num_datasets > 1 else ""
    if np.isnan(ratio.cov).any():
        return NO_VARIANCE
    if gap.value <= 0:
        return f"the ceiling does not exceed the weak supervisor (difference {gap.value:.4f}{mean})"
    if gap.low <= 0:
        limits = f"{level:.0%} interval {gap.low:.4f} to {gap.high:.4f}"
        return f"the gap between ceiling and weak supervisor, {gap.value:.4f}{mean}, cannot be told from 0 ({limits})"
    return ""


def _undefined(reason: str, student_gap: float, gap: float) -> PGR:
    return PGR(math.nan, math.nan, math.nan, False, reason, student_gap, gap)


def _last_angle_inside(ratio: Estimate, level: float, *, start: float, end: float) -> float:
    """The angle arctan ρ in the set that lies farthest from `start` (in the set) towards `end` (outside it).

    The line of ratios becomes a finite arc with ±∞ as its ends, so that a scan of it also finds a piece of the
    set that lies apart; bisection then ends at neighbouring floating-point numbers.
    """
    angles = np.linspace(start, end, _NUM_ANGLES)
    inside = in_fieller_set(ratio, angles, level)
    last = int(np.max(np.flatnonzero(inside[:-1]), initial=0))
    within, beyond = float(angles[last]), float(angles[last + 1])
    while (middle := (within + beyond) / 2) not in (within, beyond):
        if in_fieller_set(ratio, np.array(middle), level):
            within = middle
        else:
            beyond = middle
    return within


def _sum_over_population(values: Floats) -> Estimate:
    """The sum of D ≥ 2 independent draws [D, k] from one population, its covariance from their spread."""
    num_draws = len(values)
    return Estimate(values.sum(axis=0), (CovariancePart(num_draws * np.cov(values, rowvar=False), num_draws - 1),))


class RoleComparison(NamedTuple):
    """The three roles on one test set. `intervals` in the order of `ROLES`; `values` is what pooling takes.

    `values.conditional` says that the intervals hold for these trained models and not for other seeds.
    """

    values: RoleValues
    intervals: tuple[Interval, ...]
    pgr: PGR


class SeedComparisons(NamedTuple):
    """The comparison over all seeds, and each seed's own (conditional on its trained models), in the seeds' order."""

    overall: RoleComparison
    per_seed: tuple[RoleComparison, ...]


def compare_roles(
    y: ArrayLike, scores: ArrayLike, groups: Groups = None, level: float = 0.95, metric: Metric | None = None
) -> SeedComparisons:
    """Values with intervals and PGR of weak supervisor, student and ceiling, over seeds and for each seed.

    `y` [n] ground truth of the test rows; `scores` [S, 3, n] log-odds by seed and role (`ROLES`), all for the same
    rows in the same order; a role that does not vary with the seed is repeated; `groups` [n]; `metric`: None: AUROC.
    Raises DataError as `combine_seeds` of the metric does, and for a number of roles other than three.
    """
    chosen, by_seed = metric or Auroc(), np.asarray(scores, dtype=np.float64)
    if by_seed.ndim < 3 or by_seed.shape[1] != len(ROLES):
        raise DataError(f"scores must be [seeds, {len(ROLES)} roles, rows]: {', '.join(ROLES)}; given {by_seed.shape}")

    def compare(some: ArrayLike) -> RoleComparison:
        values = chosen.combine_seeds(y, some, groups)
        intervals = tuple(chosen.interval(values, role, level) for role in range(len(ROLES)))
        return RoleComparison(values, intervals, pgr(values.estimate, level))

    return SeedComparisons(compare(by_seed), tuple(compare(scores_of_seed[None]) for scores_of_seed in by_seed))
