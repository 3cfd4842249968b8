"""Macro AUROC: the area under the ROC curve of each class against the rest, every class counting alike."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from outshine.engine.errors import DataError
from outshine.stats.auroc import auroc
from outshine.stats.class_scores import as_class_scores, as_classes, log_odds_against_rest
from outshine.stats.estimates import Floats
from outshine.stats.metrics.auroc import Auroc
from outshine.stats.metrics.base import Metric, metrics


@metrics.register("macro_auroc")
class MacroAuroc(Metric):
    """The mean of the C AUROCs of one class against all others, over the C classes that test rows have.

    Rows are ranked by the softmax probability of the class, not by its logit: which rows a class is likelier for
    depends on the other logits of the row. scikit-learn's `roc_auc_score(multi_class="ovr", average="macro")`, which
    refuses where a class is absent; here its AUROC is left out of the mean. With two classes both are the AUROC.

    Sources: Provost, Domingos 2000, "Well-trained PETs", with equal weights; its covariance follows from those of its
    AUROCs (DeLong et al. 1988; Obuchowski 1997), which with two classes it equals.
    """

    title: ClassVar[str] = "mean AUROC of each class against the rest"
    outcomes: ClassVar[tuple[str, ...]] = ("multiclass",)
    by_class: ClassVar[bool] = True

    def value(self, y: NDArray[Any], scores: Floats) -> float:
        """Return the mean of the AUROCs. Raises DataError where all rows are of one class."""
        return float(np.mean([auroc(own, ranked) for own, ranked in self._against_rest(y, scores)]))

    def influence(self, y: NDArray[Any], scores: Floats) -> Floats:
        """Return the mean of the influence functions of the AUROCs."""
        return np.mean([Auroc().influence(own, ranked) for own, ranked in self._against_rest(y, scores)], axis=0)

    def _against_rest(self, y: NDArray[Any], scores: Floats) -> list[tuple[NDArray[np.bool_], Floats]]:
        """For each class that is there: whether a row is of it, and what ranks the rows by it."""
        logits = as_class_scores(scores, len(np.asarray(y)))
        truth = as_classes(y, logits.shape[1])
        there = np.unique(truth).tolist()
        if len(there) < 2:
            raise DataError(f"AUROC needs rows of two classes or more; all {len(truth)} rows are of class {there[0]}")
        return [(truth == number, log_odds_against_rest(logits, number)) for number in there]
