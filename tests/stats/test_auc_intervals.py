import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from outshine.stats.auc_covariance import combine_seeds, grouped_auc_covariance
from outshine.stats.intervals import auroc_interval, difference_interval


def world(num_seeds=1, seed=0, n=80):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2 == 0
    return y, rng.normal(size=(num_seeds, 3, n)) + np.outer([0.5, 1.0, 2.0], y)


def test_the_logit_interval_in_closed_form():
    y, scores = world()
    result = combine_seeds(y, scores)
    interval = auroc_interval(result, 1, level=0.9)
    auc, se = result.value[1], math.sqrt(grouped_auc_covariance(y, scores[0]).cov[1, 1])
    half_width = stats.t.ppf(0.95, 39) * se / (auc * (1 - auc))
    assert interval.value == auc
    assert interval.low == pytest.approx(expit(logit(auc) - half_width))
    assert interval.high == pytest.approx(expit(logit(auc) + half_width))
    assert interval.note == ""


def test_limits_are_exact_binomial_where_the_order_is_perfect():
    y, _ = world(n=40)
    perfect = combine_seeds(y, (y + 0.0)[None, None])
    interval = auroc_interval(perfect, 0)
    exact = stats.binomtest(20, 20).proportion_ci(0.95, method="exact")
    assert (interval.low, interval.high) == (pytest.approx(exact.low), 1.0)
    assert interval.low == pytest.approx(0.025 ** (1 / 20))
    assert "20 independent pairs" in interval.note
    reversed_order = auroc_interval(combine_seeds(y, (0.0 - y)[None, None]), 0)
    assert (reversed_order.low, reversed_order.high) == (0.0, pytest.approx(1 - exact.low))


def test_limits_of_a_constant_score_are_binomial():
    y, _ = world(n=40)
    interval = auroc_interval(combine_seeds(y, np.zeros((1, 1, 40))), 0)
    exact = stats.binomtest(10, 20).proportion_ci(0.95, method="exact")
    assert interval.value == 0.5
    assert interval[1:3] == pytest.approx((exact.low, exact.high))


def test_an_unknown_variance_allows_everything():
    result = combine_seeds([1, 1, 0, 0], [[[4, 1, 2, 3], [1, 2, 3, 4]]], [0, 0, 1, 2])
    assert auroc_interval(result, 0)[1:3] == (0.0, 1.0)
    assert "single group" in auroc_interval(result, 0).note
    assert difference_interval(result.estimate, [1, -1])[1:3] == (-math.inf, math.inf)


@pytest.mark.parametrize("seed", range(20))
def test_limits_stay_between_0_and_1(seed):
    rng = np.random.default_rng(seed)
    y = np.array([1, 1, 1, 0, 0, 0])
    interval = auroc_interval(combine_seeds(y, rng.integers(0, 4, (2, 1, 6)) + y), 0)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1


def test_differences_of_one_seed_are_welch_like_t_intervals():
    y, scores = world()
    auc, cov, _ = grouped_auc_covariance(y, scores[0])
    interval = difference_interval(combine_seeds(y, scores).estimate, [-1, 0, 1])
    half_width = stats.t.ppf(0.975, 39) * math.sqrt(cov[0, 0] + cov[2, 2] - 2 * cov[0, 2])
    assert interval[:3] == pytest.approx((auc[2] - auc[0], auc[2] - auc[0] - half_width, auc[2] - auc[0] + half_width))


def test_differences_over_seeds_add_the_variance_of_the_difference_itself():
    y, scores = world(num_seeds=3)
    result = combine_seeds(y, scores)
    differences = result.per_seed[:, 1] - result.per_seed[:, 0]
    rows = result.estimate.parts[0].cov
    v_rows, v_seeds = rows[0, 0] + rows[1, 1] - 2 * rows[0, 1], differences.var(ddof=1) / 3
    df = (v_rows + v_seeds) ** 2 / (v_rows**2 / 39 + v_seeds**2 / 2)
    interval = difference_interval(result.estimate, [-1, 1, 0])
    assert interval.value == pytest.approx(differences.mean())
    assert interval.high - interval.value == pytest.approx(stats.t.ppf(0.975, df) * math.sqrt(v_rows + v_seeds))


def test_equal_roles_differ_by_exactly_nothing():
    y, scores = world(num_seeds=2)
    scores[:, 1] = scores[:, 0]
    interval = difference_interval(combine_seeds(y, scores).estimate, [-1, 1, 0])
    assert interval[:3] == (0, 0, 0)
