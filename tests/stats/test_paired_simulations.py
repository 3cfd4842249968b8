"""Do the tests keep their size, and the intervals their level? Full tables, skewed ones included: docs/statistics.md."""

import math

import pytest
from scipy import integrate, stats
from simulations import (
    EXPONENTIAL,
    LOG_NORMAL,
    SYMMETRIC,
    centre_coverage,
    paired_test_sizes,
    rounded_test_size,
)

ALPHA = 0.05


def at_most(num_runs: int) -> float:
    """The nominal size and three Monte Carlo standard errors."""
    return ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / num_runs)


@pytest.mark.parametrize("num_datasets", [5, 10, 21, 80])
@pytest.mark.parametrize("shape", SYMMETRIC, ids=lambda shape: shape.name)
def test_tests_keep_their_size_under_symmetric_differences(shape, num_datasets):
    sizes = paired_test_sizes(shape, num_datasets, 0.0)
    assert max(sizes) <= at_most(10_000)
    assert sizes.wilcoxon > 0.02  # not by never rejecting
    assert sizes.t > 0.03


@pytest.mark.parametrize("step", [0.5, 2.0])
def test_the_signed_rank_test_keeps_its_size_with_ties_and_zeros(step):
    assert 0.003 < rounded_test_size(12, step) <= at_most(2_000)


def test_skew_breaks_what_the_documentation_says_it_breaks():
    """Differences skewed to the left with mean 0: Wilcoxon and the sign test answer another question, t is liberal."""
    sizes = paired_test_sizes(EXPONENTIAL.mirrored(), 21, -EXPONENTIAL.mean)
    assert sizes.sign > sizes.wilcoxon > sizes.t > at_most(10_000)
    right = paired_test_sizes(LOG_NORMAL, 21, LOG_NORMAL.mean)
    assert max(right) < ALPHA


def test_the_sign_test_keeps_its_size_for_the_median_of_any_shape():
    for shape in (LOG_NORMAL, LOG_NORMAL.mirrored()):
        assert paired_test_sizes(shape, 21, shape.median).sign <= at_most(10_000)


@pytest.mark.parametrize("shape", SYMMETRIC, ids=lambda shape: shape.name)
def test_intervals_cover_under_symmetric_differences(shape):
    coverage = centre_coverage(shape, 10, num_runs=2_000)
    assert min(coverage) >= 0.935


def test_intervals_under_skew():
    coverage = centre_coverage(LOG_NORMAL, 10, num_runs=2_000)
    assert coverage.median >= 0.935
    assert coverage.mean < 0.9


def test_the_centres_of_the_skewed_shapes():
    assert stats.gamma(2).median() / 2 == pytest.approx(EXPONENTIAL.pseudo_median, abs=1e-6)
    assert stats.lognorm(1).median() == LOG_NORMAL.median
    assert stats.lognorm(1).mean() == pytest.approx(LOG_NORMAL.mean)
    log_normal, twice = stats.lognorm(1), 2 * LOG_NORMAL.pseudo_median
    below, _ = integrate.quad(lambda x: log_normal.pdf(x) * log_normal.cdf(twice - x), 0, twice)
    assert below == pytest.approx(0.5, abs=1e-6)
