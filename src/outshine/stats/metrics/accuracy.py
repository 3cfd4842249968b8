"""Accuracy: the share of rows whose likeliest class is the true one."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray

from outshine.stats.class_scores import truth_and_predicted
from outshine.stats.estimates import Floats
from outshine.stats.metrics.base import Metric, metrics


@metrics.register("accuracy")
class Accuracy(Metric):
    """The share of rows whose likeliest class is the true one, whatever the classes that are there.

    Log-odds of exactly 0 are class 0, and of classes with equal logits the first is taken.

    Source: Burns et al., arXiv:2312.09390, whose PGR is measured in accuracy.
    """

    title: ClassVar[str] = "share of rows that are classed rightly"
    outcomes: ClassVar[tuple[str, ...]] = ("binary", "multiclass", "pairwise")

    def value(self, y: NDArray[Any], scores: Floats) -> float:
        """Return the mean of 1[likeliest class = y]."""
        return float(self._right(y, scores).mean())

    def influence(self, y: NDArray[Any], scores: Floats) -> Floats:
        """Return 1[row i is classed rightly] − accuracy."""
        right = self._right(y, scores)
        return right - right.mean()

    def _right(self, y: NDArray[Any], scores: Floats) -> Floats:
        truth, predicted = truth_and_predicted(y, scores)
        return (predicted == truth).astype("float64")
