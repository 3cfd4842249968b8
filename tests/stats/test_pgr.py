import math

import numpy as np
import pytest
import scipy.stats
from simulations import closed_form

from outshine.engine.errors import DataError
from outshine.stats.estimates import CovariancePart, Estimate, total
from outshine.stats.intervals import difference_interval
from outshine.stats.pgr import (
    PGR,
    _by_family,
    fieller,
    gaps,
    in_fieller_set,
    is_saturated,
    median_pgr,
    pgr,
    pooled_pgr,
)

COV = 1e-4 * np.array([[0.8, 0.5], [0.5, 1.0]])


def ratio(a, b, cov=COV, df=50.0):
    return Estimate(np.array([a, b]), (CovariancePart(np.asarray(cov, dtype=float), df),))


def aucs(weak, student, ceiling, variance=1e-5, df=100):
    return Estimate(np.array([weak, student, ceiling]), (CovariancePart(variance * (np.eye(3) + 1), df),))


@pytest.mark.parametrize("a", [-0.05, 0.0, 0.03, 0.1, 0.3])
@pytest.mark.parametrize("df", [2.0, 8.5, 1e6])
def test_one_part_is_fiellers_quadratic(a, df):
    result = fieller(ratio(a, 0.1, df=df))
    assert result.defined
    assert result.value == pytest.approx(a / 0.1)
    assert (result.low, result.high) == pytest.approx(closed_form(ratio(a, 0.1, df=df)), rel=1e-9)
    assert (result.student_minus_weak, result.ceiling_minus_weak) == (a, 0.1)


@pytest.mark.parametrize("seed", range(30))
def test_the_set_agrees_with_the_tests_of_the_differences(seed):
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(2, 2, 2))
    parts = (CovariancePart(2e-4 * roots[0] @ roots[0].T, 80), CovariancePart(2e-4 * roots[1] @ roots[1].T, 2))
    estimate = Estimate(rng.normal([0.05, 0.1], 0.05), parts)
    result = fieller(estimate)
    gap = difference_interval(estimate, [0, 1])
    assert result.defined == (gap.low > 0)
    if result.defined:
        gain, shortfall = difference_interval(estimate, [1, 0]), difference_interval(estimate, [1, -1])
        assert (result.low <= 0 <= result.high) == (gain.low <= 0 <= gain.high)
        assert (result.low <= 1 <= result.high) == (shortfall.low <= 0 <= shortfall.high)


def test_limits_are_where_the_test_of_the_contrast_turns():
    seeds = 1e-4 * np.array([[2.0, 0.3], [0.3, 0.4]])
    estimate = Estimate(np.array([0.05, 0.12]), (CovariancePart(COV, 200), CovariancePart(seeds, 2)))
    result = fieller(estimate)
    for limit in (result.low, result.high):
        interval = difference_interval(estimate, [1, -limit])
        assert min(abs(interval.low), abs(interval.high)) == pytest.approx(0, abs=1e-10)


def test_undefined_says_why():
    negative, noise = fieller(ratio(0.02, -0.01)), fieller(ratio(0.02, 0.01))
    unknown = fieller(ratio(0.02, 0.1, np.full((2, 2), np.nan), 0))
    assert "does not exceed the weak supervisor (difference -0.0100)" in negative.reason
    assert "0.0100, cannot be told from 0 (95% interval -0.0101 to 0.0301)" in noise.reason
    assert "no variance can be estimated" in unknown.reason
    for result in (negative, noise, unknown, fieller(ratio(0.0, 0.0, np.zeros((2, 2))))):
        assert not result.defined
        assert math.isnan(result.value)
        assert math.isnan(result.low)
        assert math.isnan(result.high)
    assert noise.student_minus_weak == 0.02


def test_a_pooled_reason_tells_the_mean_gap():
    below, noise = pooled_pgr([aucs(0.9, 0.6, 0.7), aucs(0.8, 0.6, 0.7)]), pooled_pgr([aucs(0.7, 0.6, 0.7005)] * 2)
    assert "(difference -0.1500, mean over 2 datasets)" in below.these_datasets.reason
    assert "(difference -0.1500, mean over 2 datasets)" in below.any_datasets.reason
    half_width = float(scipy.stats.t.ppf(0.975, 200)) * math.sqrt(2e-5 / 2)
    limits = f"{0.0005 - half_width:.4f} to {0.0005 + half_width:.4f}"
    gap = f"0.0005, mean over 2 datasets, cannot be told from 0 (95% interval {limits})"
    assert gap in noise.these_datasets.reason


def test_the_level_decides_what_is_bounded():
    assert not fieller(ratio(0.01, 0.018), level=0.95).defined
    assert fieller(ratio(0.01, 0.018), level=0.8).defined


def test_without_any_variance_the_set_is_the_value():
    result = fieller(ratio(0.03, 0.1, np.zeros((2, 2))))
    assert (result.low, result.value, result.high) == (pytest.approx(0.3), pytest.approx(0.3), pytest.approx(0.3))
    assert result.low <= result.value <= result.high


def test_an_exact_gap_leaves_a_t_interval():
    result = fieller(ratio(0.03, 0.1, [[1e-4, 0], [0, 0]], df=7))
    plain = difference_interval(ratio(0.03, 0.1, [[1e-4, 0], [0, 0]], df=7), [1, 0])
    assert (result.low, result.high) == pytest.approx((plain.low / 0.1, plain.high / 0.1))


def test_a_student_equal_to_the_ceiling_recovers_exactly_everything():
    result = fieller(ratio(0.1, 0.1, 1e-4 * np.ones((2, 2))))
    assert (result.low, result.value, result.high) == (pytest.approx(1), 1, pytest.approx(1))


def test_a_student_equal_to_the_supervisor_recovers_exactly_nothing():
    result = fieller(ratio(0.0, 0.1, [[0, 0], [0, 1e-4]]))
    assert (result.low, result.value, result.high) == (pytest.approx(0), 0, pytest.approx(0))


def test_roles_become_gaps():
    pair = gaps(aucs(0.7, 0.8, 0.9))
    np.testing.assert_allclose(pair.value, [0.1, 0.2])
    np.testing.assert_allclose(pair.cov, 1e-5 * np.array([[2, 1], [1, 2]]))
    assert pgr(aucs(0.7, 0.8, 0.9)).value == pytest.approx(0.5)
    with pytest.raises(DataError, match=r"weak, student, ceiling.*given 2 values"):
        gaps(ratio(0.1, 0.2))


def test_pooled_is_the_ratio_of_sums_with_the_undefined_ones():
    datasets = [aucs(0.7, 0.8, 0.9), aucs(0.6, 0.6, 0.602), aucs(0.65, 0.63, 0.75)]
    pooled = pooled_pgr(datasets)
    a, b = 0.1 + 0 - 0.02, 0.2 + 0.002 + 0.1
    assert not pgr(datasets[1]).defined
    assert pooled.these_datasets.value == pytest.approx(a / b)
    assert pooled.these_datasets.student_minus_weak == pytest.approx(a)
    merged = Estimate(np.array([a, b]), (CovariancePart(3e-5 * np.array([[2.0, 1.0], [1.0, 2.0]]), 300),))
    assert pooled.these_datasets[1:3] == pytest.approx(closed_form(merged), rel=1e-9)
    assert pooled.num_datasets == 3
    assert pooled.exploratory


def test_the_population_interval_rests_on_the_spread_between_datasets():
    rng = np.random.default_rng(0)
    weak = rng.uniform(0.6, 0.7, 12)
    values = np.stack([weak, weak + rng.normal(0.04, 0.02, 12), weak + rng.normal(0.1, 0.02, 12)], axis=1)
    pooled = pooled_pgr([aucs(*v, variance=1e-9) for v in values])
    pairs = np.stack([values[:, 1] - weak, values[:, 2] - weak])
    spread = Estimate(pairs.sum(axis=1), (CovariancePart(12 * np.cov(pairs), 11),))
    assert pooled.any_datasets[1:3] == pytest.approx(closed_form(spread), rel=1e-9)
    assert pooled.any_datasets.value == pytest.approx(pooled.these_datasets.value)
    assert pooled.any_datasets.high - pooled.any_datasets.low > 10 * (
        pooled.these_datasets.high - pooled.these_datasets.low
    )
    assert not pooled.exploratory


def test_pooling_one_dataset_or_none():
    one = pooled_pgr([aucs(0.7, 0.8, 0.9)])
    assert one.these_datasets == pgr(aucs(0.7, 0.8, 0.9))
    assert "nothing about others" in one.any_datasets.reason
    none = pooled_pgr([])
    assert not none.these_datasets.defined
    assert "no dataset is left" in none.these_datasets.reason


def test_the_median_counts_what_it_leaves_out():
    def result(value):
        return PGR(value, value, value, not math.isnan(value), "", 0.0, 0.0)

    assert median_pgr([result(0.2), result(math.nan), result(0.4)]) == (pytest.approx(0.3), 2, 1)
    empty = median_pgr([result(math.nan)])
    assert math.isnan(empty.value)
    assert empty[1:] == (0, 1)


def test_saturated_is_above_999_in_both():
    assert is_saturated(0.9991, 0.9995)
    assert not is_saturated(0.999, 0.9999)
    assert not is_saturated(0.9999, 0.999)


def test_a_family_of_equal_datasets_is_one_dataset():
    """Twice the same rows and models are worth no more than once."""
    several = [aucs(0.70 + 0.01 * i, 0.80 + 0.013 * i, 0.90, df=7 + i) for i in range(5)]
    twice = [one for one in several for _ in range(2)]
    names = [str(i) for i in range(5) for _ in range(2)]
    alone, found = pooled_pgr(several), pooled_pgr(twice, families=names)
    assert found.num_datasets == 10
    assert found.exploratory
    for name in ("these_datasets", "any_datasets"):
        expected, own = getattr(alone, name), getattr(found, name)
        assert (own.value, own.low, own.high) == pytest.approx((expected.value, expected.low, expected.high))
    independent = pooled_pgr(twice).these_datasets
    assert independent.high - independent.low < 0.8 * (found.these_datasets.high - found.these_datasets.low)
    assert pooled_pgr(twice[:2], families=names[:2]).any_datasets.reason.startswith("datasets of one family tell")


@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.5, 1.0])
def test_the_interval_of_families_covers_whatever_their_members_share(correlation):
    """Errors of two members of each family have this correlation; the models and their gaps are the same."""
    rng, num, covered = np.random.default_rng(3), 600, 0
    truth = np.array([0.7, 0.8, 0.9])
    cov = 1e-4 * (np.eye(3) + 0.5)
    root = np.linalg.cholesky(cov)
    for _ in range(num):
        members = []
        for _ in range(3):
            first, second = rng.normal(size=(2, 3))
            second = correlation * first + (1 - correlation**2) ** 0.5 * second
            members += [Estimate(truth + root @ z, (CovariancePart(cov, 1e6),)) for z in (first, second)]
        pooled = total(_by_family([gaps(one) for one in members], ["a", "a", "b", "b", "c", "c"]))
        covered += bool(in_fieller_set(pooled, np.array(math.atan(0.5))))
    assert covered / num > 0.95 - 3 * (0.05 * 0.95 / num) ** 0.5
    if correlation == 1.0:
        assert covered / num < 0.95 + 3 * (0.05 * 0.95 / num) ** 0.5


def test_families_are_one_for_each_dataset():
    with pytest.raises(ValueError, match="zip"):
        pooled_pgr([aucs(0.7, 0.8, 0.9)], families=["a", "b"])
