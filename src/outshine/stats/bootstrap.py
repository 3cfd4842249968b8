"""A bootstrap over groups of test rows: the slow check of the closed formulas for the variance of AUCs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outshine.engine.errors import DataError
from outshine.stats.auroc import Bools, Floats, as_scores, as_truth
from outshine.stats.role_values import Groups, group_codes

_CELLS_AT_ONCE = 2_000_000
"""Resamples × rows held in memory at a time: about 16 MB an array."""


def bootstrap_aurocs(
    y: ArrayLike, scores: ArrayLike, groups: Groups = None, *, num_resamples: int = 2000, seed: int
) -> Floats:
    """AUCs [num_resamples, R] of R roles in resamples of whole groups, drawn with replacement.

    All roles see the same resamples, so that the covariance over resamples is that of the roles' AUCs.
    A resample without rows of both classes is drawn again. `y` [n], `scores` [R, n], `groups` [n].
    O(R n (log n + num_resamples)). Source: Rutter 2000, "Bootstrap estimation of diagnostic accuracy with
    patient-clustered data".

    Raises DataError as `auroc` does, for groups of another length, and for fewer than 2 resamples.
    """
    truth = as_truth(y)
    by_role = as_scores(scores, len(truth), ndim=2)
    codes, num_groups = group_codes(groups, len(truth))
    if num_resamples < 2:
        raise DataError(f"a bootstrap needs at least 2 resamples, given {num_resamples}")
    rng = np.random.default_rng(seed)
    chunks = []
    while (missing := num_resamples - sum(map(len, chunks))) > 0:
        size = min(missing, max(1, _CELLS_AT_ONCE // len(truth)))
        times_drawn = rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=size)
        weights = times_drawn[:, codes].astype(np.float64)
        usable = (weights[:, truth].sum(axis=1) > 0) & (weights[:, ~truth].sum(axis=1) > 0)
        chunks.append(np.stack([_weighted_aurocs(truth, role, weights[usable]) for role in by_role], axis=1))
    return np.concatenate(chunks)


def _weighted_aurocs(truth: Bools, score: Floats, weights: Floats) -> Floats:
    """AUC of one score [n] under each row of weights [B, n] (how often a row was drawn): [B]."""
    order = np.argsort(score, kind="stable")
    starts = _tie_starts(score[order])
    sorted_weights = weights[:, order]
    positive = np.add.reduceat(sorted_weights * truth[order], starts, axis=1)
    negative = np.add.reduceat(sorted_weights * ~truth[order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    wins = np.sum(positive * (below + negative / 2), axis=1)
    return wins / (positive.sum(axis=1) * negative.sum(axis=1))


def _tie_starts(ordered: Floats) -> NDArray[np.intp]:
    """Where each run of equal values begins. Compared, not subtracted: infinities may be among them."""
    return np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
