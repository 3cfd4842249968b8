"""What every registered metric keeps: one number and an influence function that says how rows move it."""

import numpy as np
import pytest

from outshine.engine.errors import DataError
from outshine.stats.metrics import metrics
from outshine.stats.pgr import compare_roles, pooled_pgr

NAMES = metrics.names()
COPIES = 400


PAIRS = [(name, outcome) for name in NAMES for outcome in metrics.get(name).outcomes]


@pytest.fixture(params=PAIRS, ids=" of ".join)
def measured(request):
    """A metric, and a kind of labels that it says it can measure."""
    return metrics.parse(request.param[0]), request.param[1]


@pytest.fixture
def metric(measured):
    return measured[0]


@pytest.fixture
def case(measured):
    """Truth with all classes, scores that know something of it, groups of uneven size."""

    def draw(seed: int, n: int, *, ties: bool = True):
        rng = np.random.default_rng([17, seed])
        groups = rng.integers(0, max(3, n // 4), n)
        if measured[1] == "multiclass":
            y = rng.permutation(np.arange(n) % 3)
            scores = rng.normal(size=(n, 3)) + np.eye(3)[y]
        else:
            y = rng.permutation(np.arange(n) % 3 > 0)
            scores = rng.normal(size=n) + y
        return y, scores.round(1) if ties else scores, groups

    return draw


def test_the_built_in_ones_are_there():
    own = {"accuracy", "auroc", "balanced_accuracy", "log_loss", "macro_auroc", "pair_accuracy"}
    assert own <= set(NAMES)
    assert all(metric.title for _, metric in metrics)
    assert {outcome for _, outcome in PAIRS} == {"binary", "multiclass", "pairwise"}


@pytest.mark.parametrize("seed", range(20))
def test_influences_are_one_a_row_with_mean_zero(metric, case, seed):
    y, scores, _ = case(seed, 10 + 3 * seed)
    influence = metric.influence(y, scores)
    assert influence.shape == y.shape
    assert influence.mean() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_an_influence_is_what_one_more_copy_of_a_row_does(metric, case, seed):
    """All rows written many times: one more copy of row i weighs 1 / copies."""
    y, scores, _ = case(seed, 12)
    many, value = np.repeat(np.arange(12), COPIES), metric.value(y, scores)
    assert metric.value(y[many], scores[many]) == pytest.approx(value, abs=1e-12)
    moved = [metric.value(y[rows], scores[rows]) - value for rows in (np.append(many, i) for i in range(12))]
    np.testing.assert_allclose(metric.influence(y, scores), np.array(moved) * 12 * COPIES, atol=20 / COPIES)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_variances_over_groups_are_those_of_the_jackknife(metric, case, seed):
    """Each group left out in turn; the two differ by terms of the order of one over the number of groups."""
    y, scores, _ = case(seed, 600, ties=False)
    groups = np.arange(600) // 4
    variance = metric.combine_seeds(y, scores[None, None], groups).estimate.cov[0, 0]
    left = np.array([metric.value(y[groups != g], scores[groups != g]) for g in range(150)])
    assert variance == pytest.approx(149 / 150 * np.sum((left - left.mean()) ** 2), rel=0.05)


def test_values_over_seeds_and_the_order_of_rows(metric, case):
    y, first, groups = case(3, 60)
    rng = np.random.default_rng(3)
    scores = (rng.normal(size=(3, 2, *first.shape)) + first).round(1)
    result = metric.combine_seeds(y, scores, groups)
    assert result.per_seed.tolist() == [[metric.value(y, one) for one in roles] for roles in scores]
    np.testing.assert_allclose(result.value, result.per_seed.mean(axis=0), rtol=1e-14)
    assert [part.df for part in result.estimate.parts][1] == 2
    order = rng.permutation(60)
    again = metric.combine_seeds(y[order], scores[:, :, order], groups[order])
    np.testing.assert_allclose(again.estimate.cov, result.estimate.cov, rtol=1e-9, atol=1e-18)
    for role in range(2):
        interval = metric.interval(result, role)
        assert interval.low < interval.value < interval.high


def test_one_group_tells_nothing_of_the_errors(metric, case):
    y, scores, _ = case(4, 30)
    result = metric.combine_seeds(y, scores[None, None], [0] * 30)
    assert np.isnan(result.estimate.cov).all()
    assert metric.interval(result, 0).note


def test_pgr_and_pooling_take_it(metric, case):
    y, one, groups = case(5, 900)
    signal = np.eye(3)[y] if one.ndim == 2 else y - 0.5
    noise = np.random.default_rng(5).normal(size=(2, 3, *one.shape))
    scores = noise + np.stack([effect * signal for effect in (0.2, 0.8, 2.5)])
    compared = compare_roles(y, scores, groups, metric=metric)
    assert compared.overall.pgr.defined
    assert compared.overall.values.value[2] > compared.overall.values.value[0]
    pooled = pooled_pgr([compared.overall.values.estimate] * 2)
    assert pooled.these_datasets.value == pytest.approx(compared.overall.pgr.value)
    assert len(compared.per_seed) == 2


def test_shapes_and_nan_are_told(metric, case):
    y, scores, _ = case(6, 20)
    with pytest.raises(DataError):
        metric.combine_seeds(y, scores[None])
    with pytest.raises(DataError, match="one group per row"):
        metric.combine_seeds(y, scores[None, None], [1, 2])
    with pytest.raises(DataError, match="NaN"):
        metric.combine_seeds(
            y, np.where((np.arange(20) == 3).reshape(-1, *[1] * (scores.ndim - 1)), np.nan, scores)[None, None]
        )
