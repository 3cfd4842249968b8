"""Balanced accuracy: every class counts alike, however many rows it has."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from outshine.stats.class_scores import truth_and_predicted
from outshine.stats.estimates import Floats
from outshine.stats.metrics.base import Metric, metrics


@metrics.register("balanced_accuracy")
class BalancedAccuracy(Metric):
    """The mean recall Σₖ rₖ / C over the C classes that test rows have, rₖ the share of class k that is found.

    Rows are classed as for accuracy. A class that no row has counts nothing, as in scikit-learn.

    Source: Brodersen, Ong, Stephan, Buhmann 2010, "The balanced accuracy and its posterior distribution", ICPR.
    """

    title: ClassVar[str] = "mean over the classes of the share that is classed rightly"
    outcomes: ClassVar[tuple[str, ...]] = ("binary", "multiclass", "pairwise")
    by_class: ClassVar[bool] = True

    def value(self, y: NDArray[Any], scores: Floats) -> float:
        """Return the mean of the recalls."""
        return float(self._recalls(y, scores)[0].mean())

    def influence(self, y: NDArray[Any], scores: Floats) -> Floats:
        """Return (1[row i is classed rightly] − rₖ) n / (C nₖ), k the class of the row and nₖ its number of rows."""
        recalls, place, right = self._recalls(y, scores)
        share = np.bincount(place) / len(place)
        return (right - recalls[place]) / (len(recalls) * share[place])

    def _recalls(self, y: NDArray[Any], scores: Floats) -> tuple[Floats, NDArray[np.intp], Floats]:
        """The recall of each class that is there, each row's place among these, and whether it is classed rightly."""
        truth, predicted = truth_and_predicted(y, scores)
        _, place = np.unique(truth, return_inverse=True)
        right = (predicted == truth).astype("float64")
        return np.bincount(place, weights=right) / np.bincount(place), place, right
