"""Scores of K classes, a logit for each class of a row: checks, softmax, and what ranks the rows by one class."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_expit, logsumexp

from outshine.engine.errors import DataError
from outshine.stats.auroc import Floats, as_scores, as_truth

_SURE = float(np.log(np.finfo(np.float64).eps))
_TIED = 1e-12  # differences of log-odds below this are the rounding error of equal ones


def as_class_scores(scores: ArrayLike, num_rows: int) -> Floats:
    """Return logits as float64, [n, K], K ≥ 2.

    −∞ stands for a class of probability 0. Raises DataError for another shape, NaN, +∞, or a row of −∞ alone.
    """
    logits = np.asarray(scores, dtype=np.float64)
    if logits.ndim != 2 or len(logits) != num_rows or num_rows == 0 or logits.shape[1] < 2:
        raise DataError(f"scores of classes must be [{num_rows} rows, 2 or more classes]; given shape {logits.shape}")
    if num_nan := np.count_nonzero(np.isnan(logits)):
        raise DataError(f"{num_nan} of {logits.size} scores are NaN; the model that made them has diverged")
    if bad := np.flatnonzero(~np.isfinite(logits.max(axis=1))).tolist():
        raise DataError(f"the scores of row {bad[0]} give no probabilities: {logits[bad[0]].tolist()}")
    return logits


def as_classes(y: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """Return true classes as whole numbers, [n]. Raises DataError where one is not within 0 … `num_classes` − 1."""
    classes = np.asarray(y)
    if classes.ndim != 1 or classes.size == 0:
        raise DataError(f"ground truth must be a vector with at least one row, given shape {classes.shape}")
    if classes.dtype.kind not in "biuf" or not np.all(np.isin(classes, np.arange(num_classes))):
        raise DataError(f"ground truth must be the number of a class, 0 to {num_classes - 1}, in every row")
    return classes.astype(np.int64)


def truth_and_predicted(y: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the true and the likeliest class of each row, [n] each.

    Scores [n] are log-odds of class 1, which is the likeliest above 0; scores [n, K] are logits, and of equal ones the
    first class is taken. Raises DataError as `as_truth` and `as_scores` do, and `as_classes` and `as_class_scores`.
    """
    if np.ndim(scores) == 1:
        truth = as_truth(y, both_classes=False)
        return truth.astype(np.int64), (as_scores(scores, len(truth), ndim=1) > 0).astype(np.int64)
    logits = as_class_scores(scores, len(np.asarray(y)))
    return as_classes(y, logits.shape[1]), logits.argmax(axis=1)


def log_likelihoods(y: ArrayLike, scores: ArrayLike) -> Floats:
    """Return the log-probability of each row's true class, [n], never below log 2⁻⁵² ≈ −36.04.

    Scores [n] are log-odds of class 1; scores [n, K] are logits. The floor, which scikit-learn's `log_loss` has as
    well, keeps a sure and wrong prediction from making a mean infinite. Raises DataError as `truth_and_predicted`.
    """
    if np.ndim(scores) == 1:
        truth = as_truth(y, both_classes=False)
        log_odds = as_scores(scores, len(truth), ndim=1)
        return np.maximum(log_expit(np.where(truth, log_odds, -log_odds)), _SURE)
    logits = as_class_scores(scores, len(np.asarray(y)))
    own = np.take_along_axis(logits, as_classes(y, logits.shape[1])[:, None], axis=1)[:, 0]
    return np.maximum(own - logsumexp(logits, axis=1), _SURE)


def log_odds_against_rest(logits: Floats, number: int) -> Floats:
    """Return log p / (1 − p) of one class, p its softmax probability, for logits [n, K]: [n].

    It ranks rows as p does, and still where p is rounded to 1. Where equal p give log-odds that differ by rounding, the
    lowest of them stands for all, so that ties stay ties; with two classes nothing is rounded.
    """
    rest = np.delete(np.ascontiguousarray(logits.T), number, axis=0)
    log_odds = logits[:, number] - np.logaddexp.reduce(rest)  # of a few classes a quarter of logsumexp's time
    if len(rest) == 1:
        return log_odds
    order = np.argsort(log_odds, kind="stable")
    ordered = log_odds[order]
    with np.errstate(invalid="ignore"):
        steps = np.diff(ordered)
        size = np.maximum(1, np.abs(np.nan_to_num(ordered[1:], posinf=1.0)))
        new = np.concatenate([[True], ~(np.isnan(steps) | (steps <= _TIED * size))])  # NaN: equal infinities
    tied = np.empty_like(log_odds)
    tied[order] = ordered[new][np.cumsum(new) - 1]
    return tied
