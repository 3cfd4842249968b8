"""Estimates of a typical paired difference: against scipy, inversion of the tests, and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from outshine.engine.errors import DataError
from outshine.stats.paired_differences import (
    bayesian_signed_rank,
    hodges_lehmann,
    mean_interval,
    median_interval,
    sign_test,
    signed_rank_test,
    t_test,
)

SAMPLES = [np.random.default_rng(seed).normal(0.2, 1, n) for seed, n in enumerate((6, 9, 14, 21))]
LEVELS = (0.8, 0.95)


@pytest.mark.parametrize("d", SAMPLES, ids=len)
def test_the_mean_interval_is_scipys(d):
    found = mean_interval(d, 0.9)
    expected = stats.ttest_1samp(d, 0).confidence_interval(0.9)
    np.testing.assert_allclose(found[:3], [d.mean(), expected.low, expected.high])


@pytest.mark.parametrize("d", SAMPLES, ids=len)
def test_hodges_lehmann_is_the_median_of_walsh_averages(d):
    walsh = [(d[i] + d[j]) / 2 for i in range(len(d)) for j in range(i, len(d))]
    assert hodges_lehmann(d).value == pytest.approx(np.median(walsh))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("d", SAMPLES, ids=len)
@pytest.mark.parametrize(
    ("estimate", "test"), [(hodges_lehmann, signed_rank_test), (median_interval, sign_test), (mean_interval, t_test)]
)
def test_intervals_hold_the_shifts_that_their_tests_do_not_reject(estimate, test, d, level):
    found = estimate(d, level)
    step = 1e-9
    for inside in (found.low + step, found.high - step):
        assert test(d - inside).p_two_sided > 1 - level
    for outside in (found.low - step, found.high + step):
        assert test(d - outside).p_two_sided <= 1 - level + 1e-12


def test_order_statistic_interval_by_hand():
    # n = 6: P(X ≤ 0) = 1/64 ≤ .025 < P(X ≤ 1) = 7/64: k = 1, the range of the sample
    assert median_interval([3, 1, 2, 6, 5, 4])[:3] == (3.5, 1, 6)
    # n = 9: P(X ≤ 1) = 10/512 ≤ .025 < P(X ≤ 2) = 46/512: k = 2
    assert median_interval(np.arange(1, 10))[:3] == (5, 2, 8)


def test_wilcoxons_interval_by_hand():
    # n = 6: P(T ≤ 0) = 1/64 ≤ .025 < P(T ≤ 1) = 2/64: k = 1, smallest and largest Walsh average
    assert hodges_lehmann([1, 2, 3, 4, 5, 6])[:3] == (3.5, 1, 6)


@pytest.mark.parametrize("estimate", [hodges_lehmann, median_interval])
def test_too_few_differences_give_unbounded_limits_that_say_so(estimate):
    found = estimate([0.1, 0.2, 0.3, 0.4, 0.5])
    assert (found.value, found.low, found.high) == (pytest.approx(0.3), -math.inf, math.inf)
    assert found.note == "5 differences are too few for a 95% interval"
    assert math.isfinite(estimate([0.1, 0.2, 0.3, 0.4, 0.5], 0.9).low)


def test_many_differences_use_the_normal_approximation():
    """Beyond 60 the limits come from a normal quantile; scipy's approximate test must change sides there."""
    d = np.random.default_rng(4).normal(0, 1, 80)
    found = hodges_lehmann(d)
    for inside, outside in ((found.low + 1e-9, found.low - 1e-9), (found.high - 1e-9, found.high + 1e-9)):
        p_in, p_out = (stats.wilcoxon(d - x, method="asymptotic", correction=True).pvalue for x in (inside, outside))
        assert p_in > 0.05 >= p_out


def test_equal_differences_have_intervals_of_no_width():
    for estimate in (mean_interval, hodges_lehmann, median_interval):
        assert estimate([0.1] * 8)[:3] == (0.1, 0.1, 0.1)


def test_shifts_and_scales_carry_over():
    d = SAMPLES[2]
    for estimate in (mean_interval, hodges_lehmann, median_interval):
        np.testing.assert_allclose(estimate(2 * d + 3)[:3], 2 * np.array(estimate(d)[:3]) + 3)


def test_posterior_of_one_difference_in_closed_form():
    """One d far above the rope, w ~ Beta(1, s): θ_above = w² + 2 w (1 − w) (d/2 > rope); it wins where it exceeds ½."""
    found = bayesian_signed_rank([1.0], rope=0.01, prior_strength=0.5, num_samples=200_000, seed=1)
    # pairs (d, d) and (d, 0) are above the rope, (0, 0) is within: above wins where (1 − w)² < ½
    expected = stats.beta(1, 0.5).sf(1 - math.sqrt(0.5))
    assert found.above == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 200_000))
    assert found.below == 0
    assert sum(found) == pytest.approx(1)


def test_posterior_is_symmetric_and_follows_the_data():
    d = SAMPLES[3]
    up, down = (bayesian_signed_rank(sign * d, 0.1, seed=2) for sign in (1, -1))
    assert up.above == pytest.approx(down.below, abs=0.01)
    assert bayesian_signed_rank(d + 10, 0.1, seed=2).above > 0.999
    assert bayesian_signed_rank(d / 1e6, 0.1, seed=2).within == 1


def test_posterior_without_rope_is_close_to_the_tests_p():
    """With a weak prior 1 − P(above) is near the one-sided p of the signed-rank test."""
    d = SAMPLES[3]
    found = bayesian_signed_rank(d, 0.0, prior_strength=0.01, seed=3)
    assert found.below == pytest.approx(float(signed_rank_test(d).p_greater), abs=0.03)


def test_posterior_by_a_plain_double_loop():
    d, rope, seed, num = np.array([0.31, -0.14, 0.02, 0.2]), 0.05, 9, 400
    weights = np.random.default_rng(seed).dirichlet([0.5, 1, 1, 1, 1], size=num)
    z, wins = [0.0, *d], [0, 0, 0]
    for w in weights:
        theta = [0.0, 0.0, 0.0]
        for i in range(5):
            for j in range(5):
                average = (z[i] + z[j]) / 2
                theta[0 if average < -rope else 2 if average > rope else 1] += w[i] * w[j]
        wins[theta.index(max(theta))] += 1
    found = bayesian_signed_rank(d, rope, num_samples=num, seed=seed)
    np.testing.assert_allclose(found, np.array(wins) / num)


def test_unusable_settings_are_refused():
    for estimate in (mean_interval, hodges_lehmann, median_interval):
        with pytest.raises(DataError, match="at least"):
            estimate([])
        with pytest.raises(DataError, match="not finite"):
            estimate([0.1, np.nan])
    with pytest.raises(DataError, match="rope"):
        bayesian_signed_rank([0.1], -0.01, seed=0)
    with pytest.raises(DataError, match="prior strength"):
        bayesian_signed_rank([0.1], prior_strength=0, seed=0)
