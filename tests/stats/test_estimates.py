import numpy as np
import pytest
from scipy import stats

from outshine.stats.estimates import CovariancePart, Estimate, t_quantile, total

COV = np.array([[4.0, 1.0], [1.0, 9.0]])


def test_satterthwaite_of_two_parts():
    estimate = Estimate(np.array([1.0, 3.0]), (CovariancePart(COV, 10), CovariancePart(np.eye(2), 2)))
    contrast = estimate.contrast([-1, 1])
    rows, seeds = 11.0, 2.0  # 4 + 9 − 2 and 1 + 1
    assert contrast.value == 2
    assert contrast.variance == pytest.approx(rows + seeds)
    assert contrast.df == pytest.approx((rows + seeds) ** 2 / (rows**2 / 10 + seeds**2 / 2))
    np.testing.assert_allclose(estimate.cov, COV + np.eye(2))


def test_satterthwaite_is_welch():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=7), 3 * rng.normal(size=15)

    def mean(sign, sample):
        variance = np.array([[sample.var(ddof=1) / len(sample)]])
        return Estimate(np.array([sign * sample.mean()]), (CovariancePart(variance, len(sample) - 1),))

    contrast = total([mean(1, x), mean(-1, y)]).contrast([1.0])
    welch = stats.ttest_ind(x, y, equal_var=False)
    assert contrast.df == pytest.approx(welch.df)
    assert contrast.value / contrast.standard_error == pytest.approx(welch.statistic)


def test_degrees_of_freedom_without_variance_are_the_smallest():
    estimate = Estimate(
        np.array([1.0, 1.0]), (CovariancePart(np.ones((2, 2)), 10), CovariancePart(np.zeros((2, 2)), 2))
    )
    contrast = estimate.contrast([[1, -1], [1, 0]])
    assert contrast.variance.tolist() == [0, 1]
    assert contrast.df.tolist() == [2, 10]


def test_variances_that_are_tiny_but_real_count():
    estimate = Estimate(np.zeros(1), (CovariancePart(np.array([[1e-300]]), 5),))
    assert estimate.contrast([1.0]).variance == 1e-300
    assert estimate.contrast([1.0]).df == pytest.approx(5)


def test_rounding_error_of_terms_that_cancel_is_no_variance():
    cov = np.array([[0.1, 0.1], [0.1, 0.1 + 1e-16]])
    assert Estimate(np.zeros(2), (CovariancePart(cov, 5),)).contrast([1, -1]).variance == 0


def test_transform_and_batches_agree_with_single_contrasts():
    rng = np.random.default_rng(1)
    roots = rng.normal(size=(6, 2, 2))
    batch = Estimate(
        rng.normal(size=(6, 2)), (CovariancePart(roots @ roots.mT, 4), CovariancePart(COV[None].repeat(6, axis=0), 9))
    )
    turned = batch.transform([[1, 2], [0, -1]])
    for i in range(6):
        alone = Estimate(batch.value[i], tuple(CovariancePart(part.cov[i], part.df) for part in batch.parts))
        for got, expected in zip(turned.contrast([1, 1]), alone.contrast([1, 1]), strict=True):
            assert got[i] == pytest.approx(float(expected))


def test_the_variance_of_a_sum_is_the_sum():
    one = Estimate(np.array([1.0, 2.0]), (CovariancePart(COV, 3),))
    both = total([one, one, one])
    np.testing.assert_allclose(both.value, [3, 6])
    np.testing.assert_allclose(both.cov, 3 * COV)
    assert both.contrast([1, 0]).df == pytest.approx(9)


def test_t_quantile_is_scipys():
    for df in (1, 2.5, 30, 1e6):
        assert t_quantile(0.95, df) == pytest.approx(stats.t.ppf(0.975, df))
    assert t_quantile(0.9, np.inf) == pytest.approx(stats.norm.ppf(0.95))
