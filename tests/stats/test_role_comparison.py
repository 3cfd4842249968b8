import numpy as np
import pytest

from outshine.engine.errors import DataError
from outshine.stats.auc_covariance import combine_seeds
from outshine.stats.auroc import auroc
from outshine.stats.intervals import auroc_interval
from outshine.stats.pgr import compare_roles, pgr, pooled_pgr


def world(num_seeds):
    rng = np.random.default_rng(0)
    y = rng.random(400) < 0.5
    return y, rng.normal(size=(num_seeds, 3, 400)) + np.outer([0.4, 1.0, 1.8], y), rng.integers(0, 80, 400)


def test_one_call_holds_everything_over_seeds_and_by_seed():
    y, scores, groups = world(3)
    result = compare_roles(y, scores, groups)
    assert result.overall.pgr == pgr(combine_seeds(y, scores, groups).estimate)
    assert not result.overall.values.conditional
    for s, one in enumerate(result.per_seed):
        assert one.values.conditional
        assert [interval.value for interval in one.intervals] == [auroc(y, score) for score in scores[s]]
        assert one.pgr == pgr(combine_seeds(y, scores[s : s + 1], groups).estimate)
    assert result.overall.intervals[2] == auroc_interval(result.overall.values, 2)
    assert np.mean([one.intervals[0].value for one in result.per_seed]) == pytest.approx(
        result.overall.intervals[0].value
    )
    pooled = pooled_pgr([result.overall.values.estimate] * 2)
    assert pooled.these_datasets.value == pytest.approx(result.overall.pgr.value)


def test_one_seed_overall_is_that_seed():
    y, scores, groups = world(1)
    result = compare_roles(y, scores, groups)
    assert result.overall.intervals == result.per_seed[0].intervals
    assert result.overall.pgr == result.per_seed[0].pgr
    assert result.overall.values.conditional


def test_perfect_roles_are_undefined_and_not_a_crash():
    y = np.arange(20) % 2
    result = compare_roles(y, np.broadcast_to(y, (2, 3, 20)))
    assert [interval.value for interval in result.overall.intervals] == [1, 1, 1]
    assert "does not exceed" in result.overall.pgr.reason


def test_the_number_of_roles_is_checked():
    with pytest.raises(DataError, match="3 roles"):
        compare_roles([0, 1], np.zeros((1, 2, 2)))
