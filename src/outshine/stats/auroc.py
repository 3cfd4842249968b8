"""The area under the ROC curve as a rank statistic, and accuracy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outshine.engine.errors import DataError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def auroc(y: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: the share of (positive, negative) pairs that `score` orders rightly, ties one half.

    AUC = Σᵢⱼ ψ(xᵢ, yⱼ) / (m n), ψ = 1, ½, 0 for x >, =, < y (Mann and Whitney 1947); equal to
    scikit-learn's `roc_auc_score`, whatever the order of the rows. O(n log n).

    `y` [n] ground truth (0/1 or bool); `score` [n] any increasing function of P(y=1). Pass log-odds, not
    rounded probabilities: rounding makes ties. Infinite scores are ordered like any other.
    Raises DataError for unequal lengths, labels other than 0 and 1, one class only, or a NaN score.
    """
    truth = as_truth(y)
    scores = as_scores(score, len(truth), ndim=1)
    positive, _ = doubled_wins(truth, scores)
    return float(positive.sum() / (2 * np.count_nonzero(truth) * np.count_nonzero(~truth)))


def soft_auroc(p: ArrayLike, score: ArrayLike) -> float:
    """AUROC against soft labels: each row counts as positive with weight p and as negative with weight 1 − p.

    AUC = Σᵢⱼ pᵢ (1 − pⱼ) ψ(sᵢ, sⱼ) / (Σ p · Σ (1 − p)), ties and each row against itself one half: the AUROC
    of the rows written twice, once per class, with these weights. Equals `auroc` where every p is 0 or 1.

    `p` [n] in [0, 1]; `score` [n]. O(n log n). Raises DataError for unequal lengths, p outside [0, 1] or
    NaN, labels that put no weight on one class, or a NaN score.
    """
    weight = np.asarray(p, dtype=np.float64)
    if weight.ndim != 1 or not np.all((weight >= 0) & (weight <= 1)):
        raise DataError(f"soft labels must be a vector of numbers in [0, 1], given {_describe_bad(weight)}")
    scores = as_scores(score, len(weight), ndim=1)
    if not weight.any() or not (1 - weight).any():
        raise DataError("AUROC needs both classes: the soft labels are all 0 or all 1")
    return counted_auroc(weight, 1 - weight, scores)


def counted_auroc(positive: ArrayLike, negative: ArrayLike, score: ArrayLike) -> float:
    """AUROC of so many positives and negatives at each score [k], ties one half; neither class without any."""
    levels, level = np.unique(score, return_inverse=True)
    num_positive = np.bincount(level, weights=positive, minlength=len(levels))
    num_negative = np.bincount(level, weights=negative, minlength=len(levels))
    below = np.cumsum(num_negative) - num_negative
    return float(np.sum(num_positive * (below + num_negative / 2)) / (num_positive.sum() * num_negative.sum()))


def accuracy(y: ArrayLike, log_odds: ArrayLike) -> float:
    """Share of rows whose class is the likelier one: positive where log-odds > 0, negative where ≤ 0.

    `y` [n] ground truth; `log_odds` [n] = log P(y=1) − log P(y=0). One class alone is allowed.
    Raises DataError for unequal lengths, no rows, labels other than 0 and 1, or a NaN.
    """
    truth = as_truth(y, both_classes=False)
    scores = as_scores(log_odds, len(truth), ndim=1)
    return float(np.mean((scores > 0) == truth))


def doubled_wins(truth: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """How many rows of the other class each row is ordered rightly against, times two so that ties count whole.

    `scores` [..., n] -> for the positives [..., m] 2 Σⱼ ψ(xᵢ, yⱼ), for the negatives [..., n − m] 2 Σᵢ ψ(xᵢ, yⱼ),
    in the order of the rows. The values are whole numbers in float64: sums and differences of them are
    exact, hence so is "no variation at all". Divided by 2(n − m) and 2m they are DeLong's placements.
    """
    flat = scores.reshape(-1, scores.shape[-1])
    positive = np.stack([_twice_rank(row[truth], np.sort(row[~truth])) for row in flat])
    num_positive = np.count_nonzero(truth)
    negative = np.stack([2.0 * num_positive - _twice_rank(row[~truth], np.sort(row[truth])) for row in flat])
    lead = scores.shape[:-1]
    return positive.reshape(*lead, -1), negative.reshape(*lead, -1)


def as_truth(y: ArrayLike, *, both_classes: bool = True) -> Bools:
    """Return ground truth as booleans. Raises DataError where it is no such vector, or lacks a class that is needed."""
    labels = np.asarray(y)
    if labels.ndim != 1 or labels.size == 0:
        raise DataError(f"ground truth must be a vector with at least one row, given shape {labels.shape}")
    if labels.dtype != np.bool_ and not np.all((labels == 0) | (labels == 1)):
        raise DataError("ground truth must be 0 or 1 in every row; harden soft labels first or use soft_auroc")
    truth = labels.astype(np.bool_)
    if both_classes and truth.all() != truth.any():
        return truth
    if both_classes:
        only = "positive" if truth.all() else "negative"
        raise DataError(f"AUROC needs rows of both classes, given {truth.size} rows, all {only}")
    return truth


def as_scores(score: ArrayLike, num_rows: int, *, ndim: int) -> Floats:
    """Scores as float64 with rows last; DataError for a wrong shape or a NaN."""
    scores = np.asarray(score, dtype=np.float64)
    if scores.ndim != ndim or scores.shape[-1] != num_rows or scores.size == 0:
        raise DataError(
            f"scores must have {ndim} dimension(s), the last of {num_rows} rows; given shape {scores.shape}"
        )
    num_nan = np.count_nonzero(np.isnan(scores))
    if num_nan:
        raise DataError(f"{num_nan} of {scores.size} scores are NaN; the model that made them has diverged")
    return scores


def _twice_rank(values: Floats, ordered: Floats) -> Floats:
    """Twice the number of `ordered` below each value, equal ones counted once."""
    below = np.searchsorted(ordered, values, side="left")
    not_above = np.searchsorted(ordered, values, side="right")
    return (below + not_above).astype(np.float64)


def _describe_bad(p: Floats) -> str:
    if p.ndim != 1:
        return f"shape {p.shape}"
    bad = np.flatnonzero(~((p >= 0) & (p <= 1)))
    return f"{p[bad[0]]} in row {bad[0]} ({len(bad)} such rows)"
