"""Variances and covariances of AUCs measured on the same test rows, where rows come in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outshine.engine.errors import DataError
from outshine.stats.auroc import Bools, Floats, as_scores, as_truth, doubled_wins
from outshine.stats.estimates import Estimate, Part

Groups = Sequence[Any] | NDArray[Any] | None
"""One entry per row; rows with equal entries share a group, None or NaN is a group of its own. None: no groups."""


class GroupedAucs(NamedTuple):
    """AUCs [R] of R roles on the same rows, and their covariance [R, R] over groups of rows."""

    auc: Floats
    cov: Floats
    num_groups: int


@dataclass(frozen=True)
class RoleAucs:
    """AUCs of R roles on the same test rows, averaged over S seeds, with all that is known of their errors.

    `estimate`: mean AUCs [R]; its parts are test rows, then seeds (where S ≥ 2). `per_seed` [S, R].
    `num_pairs`: how many pairs of groups, no group used twice, set positives against negatives; that many
    pairs of rows are independent (min(I₁₀, I₀₁, ⌊I/2⌋) in the notation of `combine_seeds`).
    """

    estimate: Estimate
    per_seed: Floats
    num_rows: int
    num_groups: int
    num_pairs: int

    @property
    def auc(self) -> Floats:
        return self.estimate.value

    @property
    def num_seeds(self) -> int:
        return len(self.per_seed)

    @property
    def conditional(self) -> bool:
        """Whether the errors are those of the test rows alone: one seed tells nothing about other seeds."""
        return self.num_seeds == 1


def grouped_auc_covariance(y: ArrayLike, scores: ArrayLike, groups: Groups = None) -> GroupedAucs:
    """AUCs of R score vectors on the same rows and their joint covariance, rows clustered in groups.

    `y` [n], `scores` [R, n], `groups` [n]. O(R n log n). Formulas: `combine_seeds`. Without groups the
    covariance is that of DeLong, DeLong and Clarke-Pearson (1988). All NaN where the positives, or the
    negatives, lie in one group: nothing then shows how groups differ.
    Raises DataError as `auroc` does, and for groups of another length.
    """
    truth = as_truth(y)
    result = combine_seeds(truth, as_scores(scores, len(truth), ndim=2)[None], groups)
    return GroupedAucs(result.auc, result.estimate.cov, result.num_groups)


def combine_seeds(y: ArrayLike, scores: ArrayLike, groups: Groups = None) -> RoleAucs:
    """Mean AUCs of R roles over S seeds, all scored on the same test rows, with their joint covariance.

    `y` [n], `scores` [S, R, n], `groups` [n]. A role that does not vary with the seed is repeated.

    Test rows. Placements V₁₀(xᵢ) = mean over negatives of ψ, V₀₁(yⱼ) = mean over positives of ψ (DeLong et
    al. 1988), averaged over seeds, for the mean AUC is linear in them; summed by group (Obuchowski 1997):
    u_g = Σ_{i∈g} (V₁₀(xᵢ) − A) / m, v_g = Σ_{j∈g} (V₀₁(yⱼ) − A) / n, and with I groups, of which I₁₀ hold
    positives and I₀₁ negatives,
        C = I₁₀/(I₁₀−1) Σ u uᵀ + I₀₁/(I₀₁−1) Σ v vᵀ + I/(I−1) Σ (u vᵀ + v uᵀ).
    Without groups these are DeLong's formulas. Degrees of freedom: `_degrees_of_freedom`.

    Seeds. Covariance over seeds of the AUCs, all roles jointly, divided by S: every contrast gets its own
    s²/S; S − 1 degrees of freedom. It repeats 1/S of the row-by-seed interaction, which the first part already
    holds: the sum errs on the wide side, by little (docs/statistics.md).

    Raises DataError as `auroc` does, and for groups of another length.
    """
    truth = as_truth(y)
    by_seed = as_scores(scores, len(truth), ndim=3)
    codes, num_groups = group_codes(groups, len(truth))
    positive, negative = doubled_wins(truth, by_seed)
    num_comparisons = positive.shape[-1] * negative.shape[-1]
    per_seed = positive.sum(axis=-1) / (2 * num_comparisons)
    cov = _covariance_over_groups(truth, positive, negative, codes, num_groups)
    rows = Part(cov, _degrees_of_freedom(codes[truth], codes[~truth]))
    parts = (rows,) if len(per_seed) == 1 else (rows, _covariance_over_seeds(per_seed))
    mean = positive.sum(axis=(0, 2)) / (2 * num_comparisons * len(per_seed))
    num_pairs = min(len(np.unique(codes[truth])), len(np.unique(codes[~truth])), num_groups // 2)
    return RoleAucs(Estimate(mean, parts), per_seed, len(truth), num_groups, num_pairs)


def group_codes(groups: Groups, num_rows: int) -> tuple[NDArray[np.intp], int]:
    """Groups as numbers 0 … G − 1 in order of appearance, and G. None and NaN entries each stand alone."""
    if groups is None:
        return np.arange(num_rows), num_rows
    entries = groups.tolist() if isinstance(groups, np.ndarray) else list(groups)
    if len(entries) != num_rows:
        raise DataError(f"there must be one group per row: given {len(entries)} groups for {num_rows} rows")
    numbers: dict[Any, int] = {}
    keys = [("alone", i) if _is_missing(entry) else ("group", entry) for i, entry in enumerate(entries)]
    codes = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)
    return codes, len(numbers)


def _covariance_over_groups(
    truth: Bools, positive: Floats, negative: Floats, codes: NDArray[np.intp], num_groups: int
) -> Floats:
    """Obuchowski's covariance [R, R] of the seed-mean AUCs from doubled wins [S, R, m] and [S, R, n].

    Written with d = u + v as a sum of Gram matrices, Σ d dᵀ I/(I−1) + …, whose factors are never negative, so
    that the result is a covariance matrix (positive semi-definite) whatever the grouping.
    """
    num_seeds, num_roles, m = positive.shape
    n = negative.shape[-1]
    groups_of_positives, groups_of_negatives = codes[truth], codes[~truth]
    count_10, count_01 = len(np.unique(groups_of_positives)), len(np.unique(groups_of_negatives))
    if min(count_10, count_01) < 2:
        return np.full((num_roles, num_roles), np.nan)
    # Whole numbers up to here: placements times 2 S m n, and m or n times their deviations.
    u = n * _deviations_by_group(positive.sum(axis=0), groups_of_positives, num_groups)
    v = m * _deviations_by_group(negative.sum(axis=0), groups_of_negatives, num_groups)
    scale = 2.0 * num_seeds * m**2 * n**2
    u, v, d = u / scale, v / scale, (u + v) / scale
    factor_10, factor_01, factor = (count / (count - 1) for count in (count_10, count_01, num_groups))
    return factor * (d @ d.T) + (factor_10 - factor) * (u @ u.T) + (factor_01 - factor) * (v @ v.T)


def _degrees_of_freedom(*groups_by_class: NDArray[np.intp]) -> float:
    """Effective number of groups, less one: that of the class that has fewer; 0 where a class has one group only.

    Kish's (Σ w)² / Σ w² with the number of a class's rows in each group as weights: I for I equal groups, fewer
    where some are much larger, whose variance then rests on those few. (With plain I − 1 a nominal 95 %
    interval over 20 very unequal groups covered 89 %, with this 92 %: docs/statistics.md.) The lesser of the
    two classes is on the safe side: Satterthwaite's value for a sum is never below its smallest part's.
    """
    sizes = [np.unique(codes, return_counts=True)[1] for codes in groups_by_class]
    if min(map(len, sizes)) < 2:
        return 0.0
    effective = min(float(size.sum() ** 2 / np.sum(size.astype(np.float64) ** 2)) for size in sizes)
    return max(effective - 1, 1.0)  # below 1 a t quantile has no practical meaning


def _deviations_by_group(wins: Floats, codes: NDArray[np.intp], num_groups: int) -> Floats:
    """Sums over each group of k · (wins − their mean), for wins [R, k]: [R, G]."""
    size = np.bincount(codes, minlength=num_groups)
    sums = np.stack([np.bincount(codes, weights=row, minlength=num_groups) for row in wins])
    return wins.shape[1] * sums - size * wins.sum(axis=1, keepdims=True)


def _covariance_over_seeds(per_seed: Floats) -> Part:
    """Covariance [R, R] of the mean over S seeds from AUCs [S, R]."""
    num_seeds = len(per_seed)
    shifted = per_seed - per_seed[0]  # equal seeds then deviate by exactly nothing
    deviations = shifted - shifted.mean(axis=0)
    return Part(deviations.T @ deviations / (num_seeds * (num_seeds - 1)), num_seeds - 1)


def _is_missing(entry: Any) -> bool:
    """None, or an entry that does not plainly equal itself: NaN, NaT, pandas' NA."""
    if entry is None:
        return True
    equal = entry == entry
    return not (isinstance(equal, bool | np.bool_) and bool(equal))
