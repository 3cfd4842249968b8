"""Paired differences, one a dataset: tests (Wilcoxon, Student, sign test; Holm's correction) and estimates of size.

Leading axes of what the tests take are batches: ten thousand simulated studies are one call.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrc, ndtr, ndtri, stdtr

from outshine.engine.errors import DataError
from outshine.stats.auroc import Floats
from outshine.stats.estimates import t_quantile
from outshine.stats.intervals import Interval

NUM_EXACT = 60
"""Up to this many differences Wilcoxon's null distribution is exact; beyond, normal with continuity correction."""

ROPE = 0.005
"""Half-width of the region of practical equivalence, in units of AUROC."""


class PairedTest(NamedTuple):
    """A test that differences are centred at 0, all values of the batch's shape [...].

    `p_greater`: against differences above 0 (one-sided); `p_less`: below 0; `p_two_sided` = min(1, 2 · the lesser).
    `null`: the null distribution, in words.
    """

    statistic: Floats
    p_greater: Floats
    p_less: Floats
    p_two_sided: Floats
    null: str


class Posterior(NamedTuple):
    """Posterior probabilities that the typical difference is below the rope, within it, above it. They sum to 1."""

    below: float
    within: float
    above: float


def signed_rank_test(differences: ArrayLike) -> PairedTest:
    """Wilcoxon's signed-rank test with Pratt's zeros: |d| is ranked, zeros included; then the zeros' ranks are dropped.

    The statistic is W₊ = Σ_{d>0} rank |d|, tied ranks being midranks. Null: given |d|, every sign that is not 0 is
    a fair coin. For n ≤ `NUM_EXACT` that distribution is counted exactly, ties and zeros included
    (`sign_flip_distribution`); beyond, normal with mean Σ r/2, variance Σ r²/4 over the ranks kept, and
    a continuity correction of ½. All differences 0: W₊ = 0 and every p is 1.

    `differences` [..., n], n ≥ 1. Values are tied where they are equal: round away the errors of subtraction
    first. Raises DataError for no differences or one that is not finite.
    Sources: Wilcoxon 1945; Pratt 1959, "Remarks on zeros and ties in the Wilcoxon signed rank procedures".
    """
    from scipy.stats import rankdata

    d = as_differences(differences)
    midranks = np.asarray(2 * rankdata(np.abs(d), axis=-1), dtype=np.int64)  # twice, so that all are whole
    ranks = np.where(d == 0, 0, midranks)
    doubled_statistic = np.sum(ranks, axis=-1, where=d > 0)
    exact = d.shape[-1] <= NUM_EXACT
    p_greater, p_less = (_exact_tails if exact else _normal_tails)(ranks, doubled_statistic)
    null = "exact, by sign flips" if exact else "normal approximation with continuity correction"
    return PairedTest(doubled_statistic / 2, p_greater, p_less, _two_sided(p_greater, p_less), null)


def t_test(differences: ArrayLike) -> PairedTest:
    """Student's paired t-test, t = mean / (s / √n) with n − 1 degrees of freedom.

    Exact under normal differences. Where the differences do not vary at all, t = ±∞, or t = 0 where all are 0.
    `differences` [..., n], n ≥ 2. Raises DataError as `signed_rank_test` does, and for n = 1.
    """
    d = as_differences(differences, at_least=2)
    mean, standard_error = mean_and_error(d)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(mean == 0, 0.0, mean / standard_error)
    df = float(d.shape[-1] - 1)
    p_greater, p_less = np.asarray(stdtr(df, -t)), np.asarray(stdtr(df, t))
    return PairedTest(t, p_greater, p_less, _two_sided(p_greater, p_less), f"t with {df:.0f} degrees of freedom")


def sign_test(differences: ArrayLike) -> PairedTest:
    """The sign test: the number of differences above 0 is binomial (k, ½) over the k that are not 0. Exact.

    `differences` [..., n], n ≥ 1. All 0: every p is 1. Raises DataError as `signed_rank_test` does.
    """
    d = as_differences(differences)
    wins, losses = np.count_nonzero(d > 0, axis=-1), np.count_nonzero(d < 0, axis=-1)
    p_greater, p_less = (np.asarray(bdtrc(count - 1, wins + losses, 0.5)) for count in (wins, losses))
    return PairedTest(
        np.asarray(wins, dtype=np.float64), p_greater, p_less, _two_sided(p_greater, p_less), "exact, binomial"
    )


def holm(p: ArrayLike) -> Floats:
    """Holm's adjusted p-values of m tests: p̃₍ᵢ₎ = max_{j ≤ i} min(1, (m − j + 1) p₍ⱼ₎), in the order given.

    Rejecting where p̃ ≤ α keeps the chance of any false rejection within α, however the tests depend on
    each other (Holm 1979). `p` [m]. Raises DataError for values outside [0, 1].
    """
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or not np.all((values >= 0) & (values <= 1)):
        raise DataError(f"p-values must be a vector of numbers in [0, 1], given {values.tolist()}")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(np.arange(len(values), 0, -1) * values[order])
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


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


def sign_flip_distribution(doubled_ranks: ArrayLike) -> Floats:
    """P(S = s), s = 0 … Σ r, of the sum S of those of the whole numbers r [n] whose fair coin shows heads.

    Dynamic programming, one number at a time: P ← (P + P shifted by r) / 2. Midranks times two are whole numbers,
    so that ties cost nothing; a rank of 0 changes nothing. The probabilities are multiples of 2⁻ⁿ: exact in float64
    for n ≤ 53, and since nothing is subtracted right to the last few bits beyond. O(n Σ r).
    """
    ranks = np.asarray(doubled_ranks, dtype=np.int64)
    probability = np.zeros(int(ranks.sum()) + 1)
    probability[0] = 1.0
    for rank in ranks[ranks > 0]:
        shifted = np.zeros_like(probability)
        shifted[rank:] = probability[:-rank]
        probability = (probability + shifted) / 2
    return probability


def mean_and_error(d: Floats) -> tuple[Floats, Floats]:
    """Mean and its standard error s / √n over the last axis; equal values give an error of exactly 0."""
    shifted = d - d[..., :1]  # equal values then deviate by exactly nothing
    standard_error = np.std(shifted, axis=-1, ddof=1) / np.sqrt(d.shape[-1])
    return d[..., 0] + np.mean(shifted, axis=-1), standard_error


def as_differences(differences: ArrayLike, at_least: int = 1) -> Floats:
    """Differences as float64 with datasets last; DataError for too few, or one that is not finite."""
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim == 0 or d.shape[-1] < at_least:
        num = d.shape[-1] if d.ndim else 0
        raise DataError(f"at least {at_least} paired difference(s) are needed, given {num}")
    num_bad = np.count_nonzero(~np.isfinite(d))
    if num_bad:
        raise DataError(f"{num_bad} of {d.size} paired differences are not finite; leave such datasets out, visibly")
    return d


def _exact_tails(ranks: NDArray[np.int64], statistic: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """P(S ≥ s) and P(S ≤ s) for a batch; entries with the same ranks, in any order, share one distribution."""
    flat, observed = np.sort(ranks.reshape(-1, ranks.shape[-1]), axis=-1), statistic.reshape(-1)
    p_greater, p_less = np.empty(len(flat)), np.empty(len(flat))
    patterns, pattern = np.unique(flat, axis=0, return_inverse=True)
    for number, doubled_ranks in enumerate(patterns):
        probability = sign_flip_distribution(doubled_ranks)
        here = np.flatnonzero(pattern.reshape(-1) == number)
        p_less[here] = np.cumsum(probability)[observed[here]]
        p_greater[here] = np.cumsum(probability[::-1])[::-1][observed[here]]
    # Sums of many rounded terms may pass 1 by the last bit.
    return np.minimum(p_greater, 1.0).reshape(statistic.shape), np.minimum(p_less, 1.0).reshape(statistic.shape)


def _normal_tails(ranks: NDArray[np.int64], statistic: NDArray[np.int64]) -> tuple[Floats, Floats]:
    above_mean = statistic / 2 - np.sum(ranks, axis=-1) / 4
    sd = np.sqrt(np.sum((ranks / 2) ** 2, axis=-1)) / 2
    with np.errstate(divide="ignore"):  # all zeros: sd = 0, and ½ standard errors of nothing is infinite
        return np.asarray(ndtr(-(above_mean - 0.5) / sd)), np.asarray(ndtr((above_mean + 0.5) / sd))


def _two_sided(p_greater: Floats, p_less: Floats) -> Floats:
    return np.minimum(1.0, 2 * np.minimum(p_greater, p_less))


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
