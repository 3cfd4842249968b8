"""Accuracy: the share of rows whose likeliest class is the true one."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray

from outshine.stats.auroc import as_scores, as_truth
from outshine.stats.estimates import Floats
from outshine.stats.metrics.base import Metric, metrics


@metrics.register("accuracy")
class Accuracy(Metric):
    """The share of rows on the right side of log-odds 0; log-odds of exactly 0 are class 0.

    Source: Burns et al., arXiv:2312.09390, whose PGR is measured in accuracy.
    """

    title: ClassVar[str] = "share of rows that are classed rightly"

    def value(self, y: NDArray[Any], scores: Floats) -> float:
        """Return the mean of 1[log-odds > 0] = y."""
        return float(self._right(y, scores).mean())

    def influence(self, y: NDArray[Any], scores: Floats) -> Floats:
        """Return 1[row i is classed rightly] − accuracy."""
        right = self._right(y, scores)
        return right - right.mean()

    def _right(self, y: NDArray[Any], scores: Floats) -> Floats:
        truth = as_truth(y, both_classes=False)
        return ((as_scores(scores, len(truth), ndim=1) > 0) == truth).astype("float64")
