"""Tests on paired differences: against enumeration, hand derivations, scipy and the figures of the original post."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from outshine.engine.errors import DataError
from outshine.stats.paired_differences import (
    NUM_EXACT,
    holm,
    sign_flip_distribution,
    sign_test,
    signed_rank_test,
    t_test,
)

# 21 differences that give the four figures of the post at once: 16 wins, t-test .135, Wilcoxon .079 (and sign test .013).
LIKE_THE_POST = [0.0019, 0.002, 0.0021, 0.0036, 0.0057, -0.0083, 0.0089, 0.0093, 0.0096, 0.011, 0.0113, 0.0167]
LIKE_THE_POST += [-0.0172, 0.0178, 0.0179, -0.0182, 0.0279, 0.0365, -0.0407, -0.0452, 0.0914]

TIES_AND_ZEROS = [
    [0.0],
    [1.0],
    [0.0, 0.0, 0.0],
    [1.0, 1.0, -1.0, -1.0, 2.0],
    [0.0, 0.0, 1.0, -1.0, 2.0, 3.0, 3.0],
    [0.0, -2.0, -2.0, -2.0, 5.0, 1.0, 0.0, 1.0],
    [3.0, 1.0, 2.0, -4.0, 6.0, 5.0, -7.0, 8.0, 9.0, 10.0],
]


def enumerated(d: np.ndarray) -> tuple[float, float]:
    """P(W₊ ≥ w), P(W₊ ≤ w) over all sign patterns of what is not 0; ranks by scipy, zeros' ranks dropped (Pratt)."""
    ranks = np.where(d == 0, 0.0, stats.rankdata(np.abs(d)))
    observed = ranks[d > 0].sum()
    flipped = [np.dot(ranks, signs) for signs in product([0, 1], repeat=len(d))]
    return float(np.mean(np.array(flipped) >= observed)), float(np.mean(np.array(flipped) <= observed))


@pytest.mark.parametrize("values", TIES_AND_ZEROS, ids=str)
def test_signed_rank_is_the_enumeration_of_sign_flips(values):
    d = np.array(values)
    found = signed_rank_test(d)
    p_greater, p_less = enumerated(d)
    assert found.p_greater == p_greater  # multiples of 2⁻ⁿ: equal to the bit
    assert found.p_less == p_less
    assert found.p_two_sided == min(1, 2 * min(p_greater, p_less))
    assert found.null.startswith("exact")


@settings(max_examples=60)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_signed_rank_is_the_enumeration_for_any_whole_numbers(values):
    d = np.array(values, dtype=float)
    found = signed_rank_test(d)
    assert (found.p_greater, found.p_less) == enumerated(d)


@pytest.mark.parametrize("n", [1, 2, 5, 12, 25, 50])
@pytest.mark.parametrize(("alternative", "p"), [("greater", 1), ("less", 2), ("two-sided", 3)])
def test_signed_rank_is_scipys_where_nothing_ties(n, alternative, p):
    d = np.random.default_rng(n).normal(0.3, 1, n)
    expected = stats.wilcoxon(d, alternative=alternative, method="exact", zero_method="pratt")
    assert signed_rank_test(d)[p] == pytest.approx(expected.pvalue, rel=1e-12)


def test_the_statistic_is_the_sum_of_positive_pratt_ranks():
    # |d| = 0, 1, 2, 2, 4 have ranks 1, 2, 3.5, 3.5, 5; the zero's is dropped: W₊ = 2 + 3.5
    found = signed_rank_test([0, 1, 2, -2, -4])
    assert found.statistic == 5.5
    # sums of {2, 3.5, 3.5, 5}: of 16 patterns those with ≥ 5.5 by hand: all but 0, 2, 3.5, 3.5, 5
    assert found.p_greater == 11 / 16


def test_pratt_differs_from_dropping_zeros_first():
    d = np.array([0, 0, 0, 1, 2, -3, 4, 5.0])
    # Pratt's ranks 4 … 8, W₋ = 6: {}, {4}, {5}, {6}; without the zeros 1 … 5, W₋ = 3: {}, {1}, {2}, {3}, {1, 2}
    assert signed_rank_test(d).p_greater == 4 / 32
    assert signed_rank_test(d[3:]).p_greater == 5 / 32


@pytest.mark.parametrize("decimals", [8, 1], ids=["no ties", "ties and zeros"])
@pytest.mark.parametrize(("alternative", "p"), [("greater", 1), ("less", 2), ("two-sided", 3)])
def test_beyond_the_exact_range_it_is_scipys_normal_approximation(decimals, alternative, p):
    d = np.random.default_rng(5).normal(0.1, 0.6, NUM_EXACT + 40).round(decimals)
    expected = stats.wilcoxon(d, alternative=alternative, method="asymptotic", zero_method="pratt", correction=True)
    found = signed_rank_test(d)
    assert found.null == "normal approximation with continuity correction"
    assert found[p] == pytest.approx(expected.pvalue, rel=1e-10)


def test_exact_and_normal_agree_at_the_border():
    d = np.random.default_rng(6).normal(0.2, 1, NUM_EXACT + 1).round(1)
    assert signed_rank_test(d).p_greater == pytest.approx(signed_rank_test(d[:-1]).p_greater, abs=0.03)
    ranks = 2 * np.arange(1, NUM_EXACT + 1)
    total, exact = ranks.sum() // 2, sign_flip_distribution(ranks)
    normal = stats.norm.cdf((np.arange(0, total + 1) + 0.5 - total / 2) / np.sqrt(np.sum((ranks / 2) ** 2) / 4))
    np.testing.assert_allclose(np.cumsum(exact)[::2], normal, atol=0.0015)  # .0014 at the worst


@pytest.mark.parametrize("n", [1, 4, NUM_EXACT, NUM_EXACT + 5])
def test_all_differences_zero_prove_nothing(n):
    for test in (signed_rank_test, sign_test):
        assert test(np.zeros(n))[1:4] == (1, 1, 1)


def test_the_null_distribution_is_the_hand_counted_one():
    # ranks 1, 2, 3 doubled: sums 0, 2, 4, 6 (twice), 8, 10, 12
    expected = np.zeros(13)
    expected[[0, 2, 4, 8, 10, 12]] = 1 / 8
    expected[6] = 2 / 8
    np.testing.assert_array_equal(sign_flip_distribution([2, 4, 6]), expected)
    np.testing.assert_array_equal(sign_flip_distribution([6, 0, 4, 0, 2]), expected)


@pytest.mark.parametrize("n", [2, 7, 40])
def test_t_test_is_scipys(n):
    rng = np.random.default_rng(n)
    method, baseline = rng.normal(0.3, 1, (2, n))
    found = t_test(method - baseline)
    for position, alternative in ((1, "greater"), (2, "less"), (3, "two-sided")):
        expected = stats.ttest_rel(method, baseline, alternative=alternative)
        assert found[position] == pytest.approx(expected.pvalue, rel=1e-9)
        assert found.statistic == pytest.approx(expected.statistic, rel=1e-9)


def test_t_test_without_variance_is_taken_at_its_word():
    assert t_test([0.1, 0.1, 0.1])[:2] == (np.inf, 0)
    assert t_test([-0.1, -0.1, -0.1])[:3] == (-np.inf, 1, 0)
    assert t_test([0.0, 0.0])[:4] == (0, 0.5, 0.5, 1)


@pytest.mark.parametrize(("wins", "losses"), [(16, 5), (0, 4), (4, 0), (10, 10), (1, 0)])
def test_sign_test_is_scipys_binomial_test(wins, losses):
    d = np.concatenate([np.ones(wins), -np.ones(losses), np.zeros(3)])
    found = sign_test(d)
    for position, alternative in ((1, "greater"), (2, "less"), (3, "two-sided")):
        assert found[position] == pytest.approx(stats.binomtest(wins, wins + losses, alternative=alternative).pvalue)


def test_the_posts_figures_are_possible_together():
    assert signed_rank_test(LIKE_THE_POST).p_greater == pytest.approx(0.079, abs=5e-4)
    assert t_test(LIKE_THE_POST).p_greater == pytest.approx(0.135, abs=5e-4)
    signs = sign_test(LIKE_THE_POST)
    assert signs.statistic == 16
    assert signs.p_greater == pytest.approx(0.013, abs=5e-4)


@pytest.mark.parametrize("test", [signed_rank_test, t_test, sign_test])
def test_mirrored_differences_swap_the_sides(test):
    d = np.random.default_rng(2).normal(0.2, 1, 15).round(1)
    one, mirrored = test(d), test(-d)
    assert one.p_greater == pytest.approx(float(mirrored.p_less))
    assert one.p_two_sided == pytest.approx(float(mirrored.p_two_sided))


@pytest.mark.parametrize("test", [signed_rank_test, t_test, sign_test])
def test_a_batch_is_its_entries_one_by_one(test):
    batch = np.random.default_rng(3).normal(0.2, 1, (2, 4, 11)).round(1)
    together = test(batch)
    assert together.p_greater.shape == (2, 4)
    for index in np.ndindex(2, 4):
        alone = test(batch[index])
        for whole, part in zip(together[:4], alone[:4], strict=True):
            assert whole[index] == part


def test_one_difference_more_in_favour_never_raises_the_p():
    d = np.array(LIKE_THE_POST)
    better = np.where(d == -0.0452, 0.0452, d)
    for test in (signed_rank_test, t_test, sign_test):
        assert test(better).p_greater < test(d).p_greater


def test_holm_by_hand():
    # sorted .01, .02, .04 -> 3·.01, 2·.02, 1·.04 -> running maximum .03, .04, .04
    np.testing.assert_allclose(holm([0.04, 0.01, 0.02]), [0.04, 0.03, 0.04])
    np.testing.assert_allclose(holm([0.6, 0.5]), [1, 1])
    np.testing.assert_allclose(holm([0.03]), [0.03])
    assert holm([]).size == 0


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_procedure_of_bonferroni(p):
    """p̃ᵢ = the largest Bonferroni p over all subsets of the hypotheses that hold i."""
    subsets = [s for size in range(1, len(p) + 1) for s in combinations(range(len(p)), size)]
    expected = [max(min(1, len(s) * min(p[j] for j in s)) for s in subsets if i in s) for i in range(len(p))]
    np.testing.assert_allclose(holm(p), expected)


def test_unusable_differences_are_refused():
    for test in (signed_rank_test, t_test, sign_test):
        with pytest.raises(DataError, match="at least"):
            test([])
        with pytest.raises(DataError, match="2 of 3 paired differences are not finite"):
            test([0.1, np.nan, np.inf])
    with pytest.raises(DataError, match="at least 2"):
        t_test([0.1])
    with pytest.raises(DataError, match="p-values"):
        holm([0.1, np.nan])
