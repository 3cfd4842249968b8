"""Variances and covariances of AUCs measured on the same test rows, where rows come in groups."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outshine.stats.auroc import Bools, Floats, as_scores, as_truth, doubled_wins
from outshine.stats.estimates import CovariancePart, Estimate
from outshine.stats.role_values import Groups, RoleValues, degrees_of_freedom, group_codes, over_rows_and_seeds


class GroupedAucs(NamedTuple):
    """AUCs [R] of R roles on the same rows, and their covariance [R, R] over groups of rows."""

    auc: Floats
    cov: Floats
    num_groups: int


def grouped_auc_covariance(y: ArrayLike, scores: ArrayLike, groups: Groups = None) -> GroupedAucs:
    """AUCs of R score vectors on the same rows and their joint covariance, rows clustered in groups.

    `y` [n], `scores` [R, n], `groups` [n]. O(R n log n). Formulas: `combine_seeds`. Without groups the
    covariance is that of DeLong, DeLong and Clarke-Pearson (1988). All NaN where the positives, or the
    negatives, lie in one group: nothing then shows how groups differ.
    Raises DataError as `auroc` does, and for groups of another length.
    """
    truth = as_truth(y)
    result = combine_seeds(truth, as_scores(scores, len(truth), ndim=2)[None], groups)
    return GroupedAucs(result.value, result.estimate.cov, result.num_groups)


def combine_seeds(y: ArrayLike, scores: ArrayLike, groups: Groups = None) -> RoleValues:
    """Mean AUCs of R roles over S seeds, all scored on the same test rows, with their joint covariance.

    `y` [n], `scores` [S, R, n], `groups` [n]. A role that does not vary with the seed is repeated.

    Test rows. Placements V₁₀(xᵢ) = mean over negatives of ψ, V₀₁(yⱼ) = mean over positives of ψ (DeLong et
    al. 1988), averaged over seeds, for the mean AUC is linear in them; summed by group (Obuchowski 1997):
    u_g = Σ_{i∈g} (V₁₀(xᵢ) − A) / m, v_g = Σ_{j∈g} (V₀₁(yⱼ) − A) / n, and with I groups, of which I₁₀ hold
    positives and I₀₁ negatives,
        C = I₁₀/(I₁₀−1) Σ u uᵀ + I₀₁/(I₀₁−1) Σ v vᵀ + I/(I−1) Σ (u vᵀ + v uᵀ).
    Without groups these are DeLong's formulas. Degrees of freedom: `degrees_of_freedom`. Seeds: `over_rows_and_seeds`.

    Raises DataError as `auroc` does, and for groups of another length.
    """
    truth = as_truth(y)
    by_seed = as_scores(scores, len(truth), ndim=3)
    codes, num_groups = group_codes(groups, len(truth))
    positive, negative = doubled_wins(truth, by_seed)
    num_comparisons = positive.shape[-1] * negative.shape[-1]
    per_seed = positive.sum(axis=-1) / (2 * num_comparisons)
    cov = _covariance_over_groups(truth, positive, negative, codes, num_groups)
    rows = CovariancePart(cov, degrees_of_freedom(codes[truth], codes[~truth]))
    mean = positive.sum(axis=(0, 2)) / (2 * num_comparisons * len(per_seed))
    num_trials = min(len(np.unique(codes[truth])), len(np.unique(codes[~truth])), num_groups // 2)
    return RoleValues(Estimate(mean, over_rows_and_seeds(rows, per_seed)), per_seed, len(truth), num_groups, num_trials)


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


def _deviations_by_group(wins: Floats, codes: NDArray[np.intp], num_groups: int) -> Floats:
    """Sums over each group of k · (wins − their mean), for wins [R, k]: [R, G]."""
    size = np.bincount(codes, minlength=num_groups)
    sums = np.stack([np.bincount(codes, weights=row, minlength=num_groups) for row in wins])
    return wins.shape[1] * sums - size * wins.sum(axis=1, keepdims=True)
