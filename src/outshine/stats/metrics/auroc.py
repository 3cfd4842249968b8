"""The area under the ROC curve, with its exact covariance."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outshine.stats import auc_covariance
from outshine.stats.auroc import as_scores, as_truth, auroc, doubled_wins
from outshine.stats.estimates import Floats
from outshine.stats.intervals import Interval, auroc_interval
from outshine.stats.metrics.base import Metric, metrics
from outshine.stats.role_values import Groups, RoleValues


@metrics.register("auroc")
class Auroc(Metric):
    """The share of pairs of a positive and a negative row that the scores order rightly, ties one half.

    Estimates and intervals are those of DeLong et al. (1988) and Obuchowski (1997), exact for U-statistics
    (`outshine.stats.auc_covariance`), counted in whole numbers: what the base class makes of the influence function,
    without its rounding.
    """

    title: ClassVar[str] = "area under the ROC curve"
    outcomes: ClassVar[tuple[str, ...]] = ("binary", "pairwise")
    by_class: ClassVar[bool] = True

    def value(self, y: NDArray[Any], scores: Floats) -> float:
        """Return the AUC (`outshine.stats.auroc.auroc`)."""
        return auroc(y, scores)

    def influence(self, y: NDArray[Any], scores: Floats) -> Floats:
        """Return (V₁₀(xᵢ) − A) N/m for the m positives and (V₀₁(yⱼ) − A) N/n for the n negatives of N = m + n rows."""
        truth = as_truth(y)
        positive, negative = doubled_wins(truth, as_scores(scores, len(truth), ndim=1))
        placements = np.empty(len(truth))
        placements[truth], placements[~truth] = positive / (2 * len(negative)), negative / (2 * len(positive))
        share = np.where(truth, len(positive), len(negative)) / len(truth)
        return (placements - positive.mean() / (2 * len(negative))) / share

    def combine_seeds(self, y: ArrayLike, scores: ArrayLike, groups: Groups = None) -> RoleValues:
        """Return mean AUCs with Obuchowski's covariance (`outshine.stats.auc_covariance.combine_seeds`)."""
        return auc_covariance.combine_seeds(y, scores, groups)

    def interval(self, result: RoleValues, role: int, level: float = 0.95) -> Interval:
        """Return `auroc_interval`."""
        return auroc_interval(result, role, level)
