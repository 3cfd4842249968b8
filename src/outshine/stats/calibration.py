"""Calibration of P(y=1): Brier score and expected calibration error."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outshine.engine.errors import DataError
from outshine.stats.auroc import Floats, as_truth


def brier(y: ArrayLike, p: ArrayLike) -> float:
    """Brier score: mean (p − y)². 0 is perfect, .25 is what p = ½ everywhere gets.

    Squared error of the one probability P(y=1), scikit-learn's `brier_score_loss`; Brier's own sum over both classes is
    twice that. It rewards ranking as well as calibration: over the levels k of p with n_k rows and mean label ȳ_k,
    Brier = Σ n_k/n (p_k − ȳ_k)² − Σ n_k/n (ȳ_k − ȳ)² + ȳ (1 − ȳ), reliability − resolution + uncertainty (Murphy 1973).

    `y` [n] ground truth (0/1 or bool), one class alone allowed; `p` [n] in [0, 1]. Of K classes: `y` [n] their numbers,
    `p` [n, K]; half of Brier's sum, mean ½ Σₖ (pₖ − yₖ)², which is the same for two.
    Raises DataError for unequal lengths, no rows, labels that are no class, or p outside [0, 1] or NaN.
    Source: Brier 1950, "Verification of forecasts expressed in terms of probability".
    """
    if np.ndim(p) == 2:
        probabilities, truth = of_classes(y, p)
        return float(np.mean(((probabilities - truth) ** 2).sum(axis=1)) / 2)
    truth = as_truth(y, both_classes=False)
    return float(np.mean((as_probabilities(p, len(truth)) - truth) ** 2))


def ece(y: ArrayLike, p: ArrayLike, num_bins: int = 10) -> float:
    """Expected calibration error of P(y=1), bins of equal mass: Σ_b n_b/n |mean of y in b − mean of p in b|.

    Equal p stay in one bin: a value goes, with all its rows, into the bin in which the middle of its ranks lies,
    b = ⌊B (number below + number not above) / (2n)⌋. Hence row order cannot matter. Without ties the bins differ by one
    row at most; a value with many rows makes its bin larger and may leave others empty, which then count nothing.

    The estimate is biased upward: with n/B rows a bin, a calibrated p has an ECE of about √(2B/(πn) · mean p(1 − p)),
    so compare only ECEs of equal n and B. Of K classes: the mean of the ECEs of P(y=k) over k (class-wise ECE, Kull et
    al. 2019, arXiv:1910.12656). Arguments as for `brier`. Raises DataError as `brier` does, and for `num_bins` < 1.
    Sources: Naeini, Cooper, Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning"; equal
    mass: Roelofs et al. 2022, "Mitigating bias in calibration error estimation", arXiv:2012.08668.
    """
    if num_bins < 1:
        raise DataError(f"the expected calibration error needs at least one bin, given {num_bins}")
    if np.ndim(p) == 2:
        by_class, own = of_classes(y, p)
        return float(np.mean([ece(own[:, k] > 0, by_class[:, k], num_bins) for k in range(own.shape[1])]))
    truth = as_truth(y, both_classes=False)
    probabilities = as_probabilities(p, len(truth))
    bins = _equal_mass_bins(probabilities, num_bins)
    # A bin's weight n_b/n times the distance of its means is the distance of its sums over n.
    return float(np.abs(np.bincount(bins, weights=truth - probabilities)).sum() / len(truth))


def as_probabilities(p: ArrayLike, num_rows: int) -> Floats:
    """Probabilities as a float64 vector; DataError for a wrong length, or for one that is NaN or outside [0, 1]."""
    probabilities = np.asarray(p, dtype=np.float64)
    if probabilities.shape != (num_rows,):
        raise DataError(f"there must be one probability for each of {num_rows} rows, given shape {probabilities.shape}")
    bad = np.flatnonzero(~((probabilities >= 0) & (probabilities <= 1)))
    if bad.size:
        raise DataError(
            f"probabilities must lie in [0, 1], given {probabilities[bad[0]]} in row {bad[0]} ({bad.size} such rows); "
            "pass P(y=1), not log-odds"
        )
    return probabilities


def of_classes(y: ArrayLike, p: ArrayLike) -> tuple[Floats, Floats]:
    """Probabilities of K classes [n, K], checked, and the truth as 0 and 1 in the same shape.

    Raises DataError for unequal lengths, a number that is no class, or p outside [0, 1] or NaN.
    """
    numbers, probabilities = np.asarray(y), np.asarray(p, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size == 0 or len(numbers) != len(probabilities):
        raise DataError(f"probabilities of shape {probabilities.shape} need as many classes; given {numbers.shape}")
    flat = as_probabilities(probabilities.ravel(), probabilities.size)
    if not np.isin(numbers, np.arange(probabilities.shape[1])).all():
        raise DataError(f"ground truth must be a class from 0 to {probabilities.shape[1] - 1} in every row")
    return flat.reshape(probabilities.shape), np.eye(probabilities.shape[1])[numbers.astype(np.intp)]


def _equal_mass_bins(p: Floats, num_bins: int) -> NDArray[np.int64]:
    """The bin of each row, by the middle of its ranks; in whole numbers, so that rounding moves no boundary."""
    ordered = np.sort(p)
    twice_middle = np.searchsorted(ordered, p, side="left") + np.searchsorted(ordered, p, side="right")
    return twice_middle * num_bins // (2 * len(p))
