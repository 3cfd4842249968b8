"""AUROC and accuracy against scikit-learn, closed forms and brute force; what the base class makes of a metric."""

from typing import ClassVar

import numpy as np
import pytest
from simulations import ACCURACY_CASES, accuracy_coverage
from sklearn.metrics import accuracy_score, roc_auc_score

from outshine.engine.errors import DataError, UnknownNameError
from outshine.stats.auc_covariance import combine_seeds
from outshine.stats.intervals import auroc_interval
from outshine.stats.metrics import Metric, metrics
from outshine.stats.metrics.accuracy import Accuracy
from outshine.stats.metrics.auroc import Auroc
from outshine.stats.pgr import compare_roles

CASES = range(40)


class Gap(Metric):
    """Mean log-odds of the positives less that of the negatives, which is no share."""

    kind = "gap"
    is_share: ClassVar[bool] = False

    def value(self, y, scores):
        return float(scores[y].mean() - scores[~y].mean())

    def influence(self, y, scores):
        means = np.where(y, scores[y].mean(), scores[~y].mean())
        return np.where(y, 1, -1) * (scores - means) / np.where(y, y.mean(), 1 - y.mean())


def world(seed: int, n: int = 50, num_groups: int = 12):
    rng = np.random.default_rng([19, seed])
    y = rng.permutation(np.arange(n) < n // 3)
    return y, (rng.normal(size=(2, 3, n)) + y).round(1), rng.integers(0, num_groups, n)


@pytest.mark.parametrize("seed", CASES)
def test_values_are_scikit_learns(seed):
    y, scores, _ = world(seed)
    for one in scores.reshape(-1, len(y)):
        assert Auroc().value(y, one) == pytest.approx(roc_auc_score(y, one), abs=1e-12)
        assert Accuracy().value(y, one) == pytest.approx(accuracy_score(y, one > 0), abs=1e-12)


@pytest.mark.parametrize("seed", CASES)
def test_influences_are_derivatives_by_weights(seed):
    """scikit-learn weighs rows; the derivative is a central difference."""
    y, scores, _ = world(seed)
    score, step = scores[0, 0], 1e-4
    for metric, theirs in (
        (Auroc(), lambda w: roc_auc_score(y, score, sample_weight=w)),
        (Accuracy(), lambda w: accuracy_score(y, score > 0, sample_weight=w)),
    ):
        shifts = step * np.eye(len(y))
        slopes = [(theirs(1 + shift) - theirs(1 - shift)) / (2 * step) for shift in shifts]
        np.testing.assert_allclose(metric.influence(y, score), len(y) * np.array(slopes), atol=1e-6)


@pytest.mark.parametrize("seed", CASES)
def test_accuracy_over_groups_by_brute_force(seed):
    y, scores, groups = world(seed)
    result = Accuracy().combine_seeds(y, scores, groups)
    right = ((scores > 0) == y).mean(axis=0)  # mean over seeds, a role a row
    names = sorted(set(groups))
    expected = np.zeros((3, 3))
    for name in names:
        u = sum((right[:, i] - right.mean(axis=1) for i in np.flatnonzero(groups == name)), start=np.zeros(3)) / len(y)
        expected += np.outer(u, u)
    expected *= len(names) / (len(names) - 1)
    rows, seeds = result.estimate.parts
    np.testing.assert_allclose(rows.cov, expected, rtol=1e-10, atol=1e-18)
    sizes = np.array([(groups == name).sum() for name in names])
    assert rows.df == pytest.approx(sizes.sum() ** 2 / (sizes**2).sum() - 1)
    np.testing.assert_allclose(seeds.cov, np.cov(result.per_seed, rowvar=False) / 2, rtol=1e-10, atol=1e-18)
    assert seeds.df == 1


def test_accuracy_of_rows_that_stand_alone_is_a_share():
    """The jackknife of a mean is exact: its pseudo-values are the terms, the variance p (1 − p) / (n − 1)."""
    y, scores, _ = world(0)
    score, n = scores[0, 0], len(y)
    value = Accuracy().value(y, score)
    rest = [Accuracy().value(np.delete(y, i), np.delete(score, i)) for i in range(n)]
    pseudo = n * value - (n - 1) * np.array(rest)
    np.testing.assert_allclose(Accuracy().influence(y, score), pseudo - value, atol=1e-12)
    variance = Accuracy().combine_seeds(y, score[None, None]).estimate.cov[0, 0]
    assert variance == pytest.approx(value * (1 - value) / (n - 1))


def test_auroc_keeps_its_exact_covariance_and_interval():
    y, scores, groups = world(1)
    ours, theirs = Auroc().combine_seeds(y, scores, groups), combine_seeds(y, scores, groups)
    np.testing.assert_array_equal(ours.estimate.cov, theirs.estimate.cov)
    assert Auroc().interval(ours, 1) == auroc_interval(theirs, 1)
    assert compare_roles(y, scores, groups).overall.pgr == compare_roles(y, scores, groups, metric=Auroc()).overall.pgr
    general = Metric.combine_seeds(Auroc(), y, scores, groups)
    for ours_part, exact in zip(general.estimate.parts, theirs.estimate.parts, strict=True):
        np.testing.assert_allclose(ours_part.cov, exact.cov, rtol=1e-10, atol=1e-18)
        assert ours_part.df == exact.df
    assert general.num_trials == theirs.num_trials


def test_where_all_rows_are_right_the_limits_are_exact():
    y = np.arange(40) % 2 == 1
    perfect = Accuracy().combine_seeds(y, (2.0 * y - 1)[None, None], np.arange(40) // 2)
    interval = Accuracy().interval(perfect, 0)
    assert interval[:3] == pytest.approx((1.0, 0.025 ** (1 / 20), 1.0))
    assert interval.note == "no variation between test rows: limits for 20 independent groups of rows"


def test_groups_of_equal_accuracy_do_not_vary():
    """Sums of deviations that cancel are 0, not the rounding error that is left of them."""
    y = np.ones(30, dtype=bool)
    right = np.tile([1.0, 1.0, -1.0], 10)
    assert Accuracy().combine_seeds(y, right[None, None], np.arange(30) // 3).estimate.cov[0, 0] == 0


def test_a_metric_that_is_no_share_has_students_interval():
    y, scores, groups = world(2)
    result = Gap().combine_seeds(y, scores + 100 * y, groups)
    interval = Gap().interval(result, 2)
    assert interval.low < interval.value < interval.high
    assert interval.value > 100
    assert interval.high - interval.value == pytest.approx(interval.value - interval.low)


def test_accuracy_needs_one_class_only_and_a_tie_is_negative():
    assert Accuracy().value(np.array([True, True]), np.array([1.0, 0.0])) == 0.5
    with pytest.raises(DataError, match="both classes"):
        Auroc().value(np.array([True, True]), np.array([1.0, 0.0]))


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        metrics.parse("acuracy")


@pytest.mark.slow
@pytest.mark.parametrize("case", ACCURACY_CASES, ids=lambda case: case.name)
def test_accuracy_pgr_sets_cover(case):
    coverage = accuracy_coverage(case, num_runs=1_000)
    assert 0.93 <= coverage.value <= 0.97
    assert 0.93 <= coverage.pgr <= 0.97
    if case.group_size == 10 and case.num_seeds == 1:
        assert coverage.ungrouped < 0.85
