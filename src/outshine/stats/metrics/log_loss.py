"""Log loss with its sign turned: the mean log-probability of the true class."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray

from outshine.stats.class_scores import log_likelihoods
from outshine.stats.estimates import Floats
from outshine.stats.metrics.base import Metric, metrics


@metrics.register("log_loss")
class LogLoss(Metric):
    """mean log p(true class), which is at most 0 and more where it is better; minus scikit-learn's `log_loss`.

    A probability below 2⁻⁵² ≈ 2.2e-16 counts as that, so that a row costs at most 36.04 and a prediction that is sure
    and wrong leaves the mean finite.

    Source: Good 1952, "Rational decisions", Journal of the Royal Statistical Society B 14.
    """

    title: ClassVar[str] = "log loss with its sign turned"
    outcomes: ClassVar[tuple[str, ...]] = ("binary", "multiclass", "pairwise")
    is_share: ClassVar[bool] = False

    def value(self, y: NDArray[Any], scores: Floats) -> float:
        """Return the mean of log p(true class)."""
        return float(log_likelihoods(y, scores).mean())

    def influence(self, y: NDArray[Any], scores: Floats) -> Floats:
        """Return log p(true class of row i) less the mean."""
        terms = log_likelihoods(y, scores)
        return terms - terms.mean()
