"""Tests on paired differences, one a dataset: Wilcoxon's signed-rank, Student's t, the sign test; Holm's correction.

Leading axes are batches: ten thousand simulated studies are one call.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtrc, ndtr, stdtr

from outshine.engine.errors import DataError
from outshine.stats.auroc import Floats

NUM_EXACT = 60
"""Up to this many differences Wilcoxon's null distribution is exact; beyond, normal with continuity correction."""


class PairedTest(NamedTuple):
    """A test that differences are centred at 0, all values of the batch's shape [...].

    `p_greater`: against differences above 0 (one-sided); `p_less`: below 0; `p_two_sided` = min(1, 2 · the lesser).
    `null`: how the null distribution was had.
    """

    statistic: Floats
    p_greater: Floats
    p_less: Floats
    p_two_sided: Floats
    null: str


def signed_rank_test(differences: ArrayLike) -> PairedTest:
    """Wilcoxon's signed-rank test with Pratt's zeros: |d| is ranked, zeros included; then the zeros' ranks are dropped.

    The statistic is W₊ = Σ_{d>0} rank |d|, tied ranks being midranks. Null: given |d|, every sign that is not 0 is
    a fair coin. For n ≤ `NUM_EXACT` that distribution is counted exactly, ties and zeros included
    (`sign_flip_distribution`); beyond, normal with mean Σ r/2, variance Σ r²/4 over the ranks kept, and
    a continuity correction of ½. All differences 0: W₊ = 0 and every p is 1.

    `differences` [..., n], n ≥ 1. Values are tied where they are equal: round away the errors of subtraction
    first. O(n²) memory a batch entry. Raises DataError for no differences or one that is not finite.
    Sources: Wilcoxon 1945; Pratt 1959, "Remarks on zeros and ties in the Wilcoxon signed rank procedures".
    """
    d = as_differences(differences)
    ranks = np.where(d == 0, 0, doubled_midranks(np.abs(d)))
    doubled_statistic = np.sum(ranks, axis=-1, where=d > 0)
    exact = d.shape[-1] <= NUM_EXACT
    p_greater, p_less = (_exact_tails if exact else _normal_tails)(ranks, doubled_statistic)
    null = "exact, by sign flips" if exact else "normal approximation with continuity correction"
    return PairedTest(doubled_statistic / 2, p_greater, p_less, _two_sided(p_greater, p_less), null)


def t_test(differences: ArrayLike) -> PairedTest:
    """Student's paired t-test, t = mean / (s / √n) with n − 1 degrees of freedom.

    Exact under normal differences. Differences that do not vary at all are taken at their word: t = ±∞, or
    t = 0 where all are 0. `differences` [..., n], n ≥ 2. Raises DataError as `signed_rank_test` does, and for n = 1.
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
    given = np.asarray(p, dtype=np.float64)
    if given.ndim != 1 or not np.all((given >= 0) & (given <= 1)):
        raise DataError(f"p-values must be a vector of numbers in [0, 1], given {given.tolist()}")
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(np.arange(len(given), 0, -1) * given[order])
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


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


def doubled_midranks(values: Floats) -> NDArray[np.int64]:
    """Twice the rank of each value among its n, 1 for the smallest, equal values sharing their mean rank: [..., n]."""
    below = np.sum(values[..., None, :] < values[..., :, None], axis=-1)
    equal = np.sum(values[..., None, :] == values[..., :, None], axis=-1)
    return np.asarray(2 * below + equal + 1, dtype=np.int64)


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
