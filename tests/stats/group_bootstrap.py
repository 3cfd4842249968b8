"""A bootstrap over groups of test rows: the slow check of the closed formulas for the variance of AUCs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outshine.stats.role_values import Groups, group_codes

_CELLS_AT_ONCE = 2_000_000  # resamples × rows held in memory at a time: about 16 MB an array

Floats = NDArray[np.float64]


def bootstrap_aurocs(
    y: ArrayLike, scores: ArrayLike, groups: Groups = None, *, num_resamples: int = 2000, seed: int
) -> Floats:
    """AUCs [num_resamples, R] of R roles in resamples of whole groups, drawn with replacement.

    All roles see the same resamples, so that the covariance over resamples is that of the roles' AUCs.
    A resample without rows of both classes is drawn again. `y` [n], `scores` [R, n], `groups` [n].
    Source: Rutter 2000, "Bootstrap estimation of diagnostic accuracy with patient-clustered data".
    """
    truth, by_role = np.asarray(y, dtype=bool), np.asarray(scores, dtype=np.float64)
    codes, num_groups = group_codes(groups, len(truth))
    rng = np.random.default_rng(seed)
    chunks = []
    while (missing := num_resamples - sum(map(len, chunks))) > 0:
        size = min(missing, max(1, _CELLS_AT_ONCE // len(truth)))
        times_drawn = rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=size)
        weights = times_drawn[:, codes].astype(np.float64)
        usable = (weights[:, truth].sum(axis=1) > 0) & (weights[:, ~truth].sum(axis=1) > 0)
        chunks.append(np.stack([_weighted_aurocs(truth, score, weights[usable]) for score in by_role], axis=1))
    return np.concatenate(chunks)


def _weighted_aurocs(truth: NDArray[np.bool_], score: Floats, weights: Floats) -> Floats:
    """AUC of one score [n] under each row of weights [B, n] (how often a row was drawn): [B]."""
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    # Compared, not subtracted: infinities may be among the scores.
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    positive = np.add.reduceat(weights[:, order] * truth[order], starts, axis=1)
    negative = np.add.reduceat(weights[:, order] * ~truth[order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    wins = np.sum(positive * (below + negative / 2), axis=1)
    return wins / (positive.sum(axis=1) * negative.sum(axis=1))
