"""The size of a typical paired difference: mean, Hodges-Lehmann, median, each with its interval, and a posterior."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, ndtri

from outshine.engine.errors import DataError
from outshine.stats.auroc import Floats
from outshine.stats.estimates import t_quantile
from outshine.stats.intervals import Interval
from outshine.stats.paired import NUM_EXACT, as_differences, mean_and_error, sign_flip_distribution

ROPE = 0.005
"""Half-width of the region of practical equivalence, in units of AUROC."""


class Posterior(NamedTuple):
    """Posterior probabilities that the typical difference is below the rope, within it, above it. They sum to 1."""

    below: float
    within: float
    above: float


def mean_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    """The mean with Student's interval mean ± t · s / √n. Right under normal differences, approximate under skew.

    `differences` [n], n ≥ 2. Raises DataError for fewer, and for one that is not finite.
    """
    d = as_differences(differences, at_least=2)
    mean, standard_error = (float(x) for x in mean_and_error(d))
    half_width = float(t_quantile(level, len(d) - 1)) * standard_error
    return Interval(mean, mean - half_width, mean + half_width)


def hodges_lehmann(differences: ArrayLike, level: float = 0.95) -> Interval:
    """The Hodges-Lehmann estimate, median of the Walsh averages (dᵢ + dⱼ)/2, i ≤ j, with Wilcoxon's interval.

    The interval is [W₍ₖ₎, W₍M+1−k₎] of the M = n(n+1)/2 ordered Walsh averages, with the greatest k for which
    P(T ≤ k − 1) ≤ (1 − level)/2, T Wilcoxon's statistic without ties: the shifts that the two-sided signed-rank test
    does not reject (Hodges and Lehmann 1963). Ties make it hold more. It speaks of the centre of symmetry;
    under skew of the pseudo-median. Unbounded, with a note, where n is too small for the level (n ≤ 5 at 95 %).

    `differences` [n], n ≥ 1. Raises DataError for none, and for one that is not finite.
    """
    d = as_differences(differences)
    first, second = np.triu_indices(len(d))
    walsh = np.sort((d[first] + d[second]) / 2)
    return _ordered_interval(walsh, _num_cut_off(len(d), (1 - level) / 2), len(d), level)


def median_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    """The median with its order-statistic interval [d₍ₖ₎, d₍n+1−k₎].

    k is the greatest with P(Bin(n, ½) ≤ k − 1) ≤ (1 − level)/2. It assumes nothing about the shape; its true level is
    at least `level`. Unbounded, with a note, where n is too small for that (n ≤ 5 at 95 %).
    `differences` [n], n ≥ 1. Raises DataError for none, and for one that is not finite.
    """
    d = as_differences(differences)
    tails = bdtr(np.arange(len(d) // 2 + 1), len(d), 0.5)  # P(X ≤ 0), P(X ≤ 1), …
    num_cut = int(np.count_nonzero(tails <= (1 - level) / 2))
    return _ordered_interval(np.sort(d), num_cut, len(d), level)


def bayesian_signed_rank(
    differences: ArrayLike, rope: float = ROPE, *, num_samples: int = 50_000, prior_strength: float = 0.5, seed: int
) -> Posterior:
    """The Bayesian signed-rank test: is the typical difference practically negative, nil or positive?

    A Dirichlet process prior of the given strength sits on one pseudo-difference 0, inside the rope. Posterior draws
    w ~ Dirichlet(prior_strength, 1, …, 1) weigh the pairs: θ_above = Σᵢⱼ wᵢ wⱼ 1[(dᵢ + dⱼ)/2 > rope], likewise
    θ_below, boundaries one half, θ_within the rest. The probability of a region is the share of draws in which its θ is
    the greatest. Source: Benavoli, Corani, Demšar, Zaffalon 2017, "Time for a change", JMLR 18(77), section 4.

    `differences` [n], n ≥ 1, and `rope` ≥ 0 in the same unit. Raises DataError as `hodges_lehmann` does, and for a
    negative rope or a prior strength that is not positive.
    """
    d = as_differences(differences)
    if not rope >= 0 or not prior_strength > 0:
        raise DataError(f"rope must be ≥ 0 and prior strength > 0, given {rope} and {prior_strength}")
    values = np.concatenate([[0.0], d])
    walsh = (values[:, None] + values) / 2
    weights = np.random.default_rng(seed).dirichlet([prior_strength, *np.ones(len(d))], size=num_samples)
    above = _mass(weights, np.heaviside(walsh - rope, 0.5))
    below = _mass(weights, np.heaviside(-walsh - rope, 0.5))
    region = np.argmax(np.stack([below, 1 - above - below, above]), axis=0)
    return Posterior(*(float(share) for share in np.bincount(region, minlength=3) / num_samples))


def _ordered_interval(ordered: Floats, num_cut: int, n: int, level: float) -> Interval:
    """The median of ordered values, with the limits that remain when one less than `num_cut` are cut at each end."""
    value = float(np.median(ordered))
    if num_cut == 0:
        return Interval(value, -math.inf, math.inf, f"{n} differences are too few for a {level:.0%} interval")
    return Interval(value, float(ordered[num_cut - 1]), float(ordered[-num_cut]))


def _num_cut_off(n: int, tail: float) -> int:
    """The greatest k with P(T ≤ k − 1) ≤ tail for Wilcoxon's T over n differences without ties; 0: there is none."""
    if n <= NUM_EXACT:
        return int(np.count_nonzero(np.cumsum(sign_flip_distribution(np.arange(1, n + 1))) <= tail))
    mean, sd = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return math.floor(mean + 0.5 + sd * float(ndtri(tail)))


def _mass(weights: Floats, counted: Floats) -> Floats:
    """Σᵢⱼ wᵢ wⱼ countedᵢⱼ for weights [samples, n + 1]."""
    return np.sum((weights @ counted) * weights, axis=1)
