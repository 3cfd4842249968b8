"""Pair accuracy: the share of pairs whose better one is told."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outshine.engine.errors import DataError
from outshine.stats.auroc import as_scores
from outshine.stats.estimates import Floats
from outshine.stats.metrics.base import Metric, metrics
from outshine.stats.role_values import Groups, RoleValues


@metrics.register("pair_accuracy")
class PairAccuracy(Metric):
    """The share of pairs (a, b) that the log-odds of a ≻ b order rightly; log-odds of exactly 0 count one half.

    Pairs whose truth is ½, which are tied, are left out: neither order would be right.

    Source: the accuracy by which preference models are told, as in Ouyang et al., arXiv:2203.02155, section 3.5, with
    Kendall's half for ties (1945, "The treatment of ties in ranking problems", Biometrika 33).
    """

    title: ClassVar[str] = "share of pairs that are ordered rightly, ties one half"
    outcomes: ClassVar[tuple[str, ...]] = ("pairwise",)

    def value(self, y: NDArray[Any], scores: Floats) -> float:
        """Return the mean over untied pairs of 1, ½ or 0. Raises DataError where all pairs are tied."""
        right, untied = self._right(y, scores)
        return float(right[untied].mean())

    def influence(self, y: NDArray[Any], scores: Floats) -> Floats:
        """Return (term − value) n / m for the m untied pairs of n, 0 for the others."""
        right, untied = self._right(y, scores)
        return np.where(untied, (right - right[untied].mean()) / untied.mean(), 0.0)

    def combine_seeds(self, y: ArrayLike, scores: ArrayLike, groups: Groups = None) -> RoleValues:
        """Return what the base class does, of untied pairs: the others are in no number of rows and groups."""
        truth, by_seed = np.asarray(y), np.asarray(scores, dtype=np.float64)
        if by_seed.ndim != 3 or by_seed.shape[2] != len(truth) or (groups is not None and len(groups) != len(truth)):
            return super().combine_seeds(y, by_seed, groups)  # which says what is wrong
        untied = truth != 0.5
        if not untied.any():
            raise DataError(f"pair accuracy needs pairs that are not tied; all {len(truth)} are")
        own = None if groups is None else [group for group, here in zip(groups, untied, strict=True) if here]
        return super().combine_seeds(truth[untied], by_seed[:, :, untied], own)

    def _right(self, y: NDArray[Any], scores: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Whether each pair is ordered rightly, 1, ½ or 0, and whether it is untied."""
        truth = np.asarray(y, dtype=np.float64)
        if truth.ndim != 1 or not np.isin(truth, (0, 0.5, 1)).all():
            raise DataError("the truth of pairs must be 1 (the first is better), 0, or ½ (tied) in every row")
        log_odds, untied = as_scores(scores, len(truth), ndim=1), truth != 0.5
        if not untied.any():
            raise DataError(f"pair accuracy needs pairs that are not tied; all {len(truth)} are")
        return (1 + np.sign(log_odds) * np.sign(2 * truth - 1)) / 2, untied
