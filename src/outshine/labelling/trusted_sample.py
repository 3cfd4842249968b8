"""Trusted rows as a sample of the file: what each stands for, and shares and differences of them with intervals."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from outshine.labelling.gains import paired_gain, wilson
from outshine.stats.auroc import Bools
from outshine.stats.estimates import t_quantile
from outshine.stats.intervals import Interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVEL = 0.95
SHARED = 0.9  # of rows whose predictions were fitted on each other: they tell so much of a gain as independent ones do


def predicted(log_odds: Floats) -> Ints:
    """Return the likeliest class of each row [n], by log-odds of class 1 [n] or log-probabilities [n, K]."""
    return (log_odds > 0).astype(np.int64) if log_odds.ndim == 1 else log_odds.argmax(axis=1)


def likeliest(p: Floats) -> Ints:
    """Return the likeliest class of each row [n], by P(class 1) [n] or the probabilities of K classes [n, K]."""
    return (p > 0.5).astype(np.int64) if p.ndim == 1 else p.argmax(axis=1)


def unknown(values: Floats) -> Bools:
    """Return which rows have no score or label, [n]: NaN in values [n] or [n, K]."""
    return np.asarray(np.isnan(values).reshape(len(values), -1).any(axis=1), dtype=bool)


class Trusted(NamedTuple):
    """Rows whose true label is known.

    Attributes:
        row: Their places among all rows [m].
        truth: The numbers of their true classes [m].
        weight: Rows of the file that each stands for, relative to the mean [m]; 1 in a simple random draw.
        group: Rows of one group are never fitted on and judged together [m].
    """

    row: Ints
    truth: Ints
    weight: Floats
    group: NDArray[np.str_]

    def take(self, which: Bools) -> Trusted:
        """Return the rows that are marked."""
        return Trusted(self.row[which], self.truth[which], self.weight[which], self.group[which])


class Sample:
    """Trusted rows, what stands for what, and shares and paired differences of them with effective numbers."""

    def __init__(self, trusted: Trusted, strata: Ints | None) -> None:
        self.trusted, self.given_strata = trusted, strata
        self.truth, self.weight = trusted.truth, trusted.weight / trusted.weight.mean()
        num = len(self.truth)
        self.strata = np.zeros(num, dtype=int) if strata is None else strata
        # Rows of a stratified draw are random one by one, whatever their groups.
        self.group = np.unique(trusted.group, return_inverse=True)[1] if strata is None else np.arange(num)

    def take(self, which: Bools) -> Sample:
        """Return the sample of the rows that are marked."""
        return Sample(self.trusted.take(which), None if self.given_strata is None else self.given_strata[which])

    @property
    def num_groups(self) -> float:
        """How many groups of equal weight the rows are worth; infinite where each row is random by itself."""
        sizes = np.bincount(self.group, weights=self.weight)
        return math.inf if len(sizes) == len(self.truth) else float(sizes.sum() ** 2 / np.sum(sizes**2))

    def right(self, log_odds: Floats) -> Floats:
        """Return which rows [m] are classed rightly, as 0 and 1, by log-odds [m] or log-probabilities [m, K]."""
        return (predicted(log_odds) == self.truth).astype(float)

    def mean(self, values: Floats) -> float:
        """Return the weighted mean of values [m]."""
        return float(np.average(values, weights=self.weight))

    def effective(self, values: Floats) -> float:
        """Return how many independent rows tell as much of the mean of values [m] (Korn and Graubard 1998)."""
        num = len(values)
        by_group = np.bincount(self.group, weights=self.weight)
        kish = float(by_group.sum() ** 2 / np.sum(by_group**2))
        spread = self.mean((values - self.mean(values)) ** 2)
        if spread < 1e-12:
            return min(kish, float(num))
        by_stratum = np.bincount(self.strata, weights=self.weight)
        centre = np.bincount(self.strata, weights=self.weight * values) / np.where(by_stratum > 0, by_stratum, 1.0)
        sums = np.bincount(self.group, weights=self.weight * (values - centre[self.strata]))
        num_groups = len(sums)
        variance = float(np.sum(sums**2)) / num**2 * num_groups / max(num_groups - 1, 1)
        few = 1.0
        if num_groups < num:
            few = float(stdtrit(num - 1, 0.975) / stdtrit(max(kish - 1, 0.5), 0.975)) ** 2
        return min(spread / variance * few, float(num)) if variance > 0 else float(num)

    def share(self, values: Floats) -> Interval:
        """Return a share of rows with Wilson's limits."""
        num = self.effective(values)
        return wilson(min(self.mean(values), 1.0) * num, num, LEVEL)

    def gain(self, first: Floats, second: Floats, level: float = LEVEL) -> Interval:
        """Return by how much oftener the first [m] is right than the second.

        What was fitted on the other rows in turn varies with the draw of these as well, so that paired differences are
        not quite independent (Bengio and Grandvalet 2004). They count for `SHARED` of their number, with which the
        limits hold what they promise in simulations (benchmarks/label_coverage.py).
        """
        num = SHARED * self.effective(first - second)
        cells = (first * (1 - second), second * (1 - first), first * second, (1 - first) * (1 - second))
        return paired_gain(*(num * self.mean(cell) for cell in cells), level=level)

    def error(self, values: Floats) -> float:
        """Return half the width of the 95 % interval of the mean of values [m], by Student's t."""
        num = max(self.effective(values) - 1, 1.0)
        spread = self.mean((values - self.mean(values)) ** 2)
        return float(t_quantile(LEVEL, num)) * math.sqrt(spread / num)
