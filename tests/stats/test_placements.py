import numpy as np
import pytest
from group_bootstrap import bootstrap_aurocs
from hypothesis import given
from hypothesis import strategies as st

from outshine.engine.errors import DataError
from outshine.stats.auc_covariance import combine_seeds, grouped_auc_covariance
from outshine.stats.auroc import auroc
from outshine.stats.role_values import group_codes


def brute_placements(y, score):
    wins = (score[y][:, None] > score[~y]) + 0.5 * (score[y][:, None] == score[~y])
    return wins.mean(axis=1), wins.mean(axis=0)


def brute_delong(y, scores):
    """DeLong et al. 1988, from the full matrix of pairs."""
    v10, v01 = zip(*(brute_placements(y, score) for score in scores), strict=True)
    return np.cov(v10) / y.sum() + np.cov(v01) / (~y).sum()


def brute_obuchowski(y, scores, groups):
    """Obuchowski 1997, term by term."""
    num_roles, m, n = len(scores), y.sum(), (~y).sum()
    names = list(dict.fromkeys(groups))
    num, num_10 = len(names), len(set(groups[y]))
    num_01 = len(set(groups[~y]))
    s10, s01, s11 = np.zeros((3, num_roles, num_roles))
    for name in names:
        u, v = np.zeros((2, num_roles))
        for r, score in enumerate(scores):
            v10, v01 = brute_placements(y, score)
            in_10, in_01 = groups[y] == name, groups[~y] == name
            u[r] = v10[in_10].sum() - in_10.sum() * v10.mean()
            v[r] = v01[in_01].sum() - in_01.sum() * v01.mean()
        s10 += num_10 / ((num_10 - 1) * m) * np.outer(u, u)
        s01 += num_01 / ((num_01 - 1) * n) * np.outer(v, v)
        s11 += num / (num - 1) * np.outer(u, v)
    return s10 / m + s01 / n + s11 / (m * n) + s11.T / (m * n)


def tied_world(seed, n=60, num_roles=3):
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.4
    return y, rng.integers(0, 8, (num_roles, n)) + y, rng.integers(0, 12, n)


@pytest.mark.parametrize("seed", range(5))
def test_without_groups_it_is_delong(seed):
    y, scores, _ = tied_world(seed)
    result = grouped_auc_covariance(y, scores)
    np.testing.assert_allclose(result.cov, brute_delong(y, scores), rtol=1e-12)
    assert result.auc.tolist() == [auroc(y, score) for score in scores]
    assert result.num_groups == len(y)


@pytest.mark.parametrize("seed", range(5))
def test_with_groups_it_is_obuchowski(seed):
    y, scores, groups = tied_world(seed)
    result = grouped_auc_covariance(y, scores, groups)
    np.testing.assert_allclose(result.cov, brute_obuchowski(y, scores, groups), rtol=1e-10)
    assert result.num_groups == len(set(groups.tolist()))


def test_groups_of_one_class_each():
    y, scores, _ = tied_world(3)
    groups = np.where(y, np.arange(len(y)) % 5, 100 + np.arange(len(y)) % 9)
    result = grouped_auc_covariance(y, scores, groups)
    np.testing.assert_allclose(result.cov, brute_obuchowski(y, scores, groups), rtol=1e-10)


@given(data=st.data())
def test_the_covariance_is_positive_semi_definite_whatever_the_grouping(data):
    y, scores, _ = tied_world(data.draw(st.integers(0, 10)), n=20)
    groups = data.draw(st.lists(st.integers(0, 4), min_size=20, max_size=20))
    cov = grouped_auc_covariance(y, scores, groups).cov
    if not np.isnan(cov).any():
        assert np.linalg.eigvalsh(cov).min() >= -1e-15


def test_row_order_and_increasing_transformations_do_not_matter():
    y, scores, groups = tied_world(7)
    order = np.random.default_rng(0).permutation(len(y))
    there = grouped_auc_covariance(y, scores, groups)
    back = grouped_auc_covariance(y[order], np.exp(scores[:, order] / 3.0), groups[order])
    np.testing.assert_allclose(back.cov, there.cov, rtol=1e-12)
    assert back.auc.tolist() == there.auc.tolist()


def test_the_group_bootstrap_agrees():
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(60), 20)
    y = rng.random(1200) < rng.beta(1, 1, size=60)[groups]
    passage = rng.normal(size=60)[groups]
    scores = np.stack([y * d + passage + rng.normal(size=1200) for d in (0.8, 1.2, 2.0)])
    result = grouped_auc_covariance(y, scores, groups)
    resampled = bootstrap_aurocs(y, scores, groups, num_resamples=4000, seed=1)
    np.testing.assert_allclose(resampled.mean(axis=0), result.auc, atol=0.002)
    np.testing.assert_allclose(np.cov(resampled.T), result.cov, rtol=0.12)
    # Rows of one passage do depend on each other here: as if alone, the variance would be less than half.
    assert np.all(np.diag(grouped_auc_covariance(y, scores).cov) < 0.5 * np.diag(result.cov))


def test_the_variance_is_that_over_fresh_test_sets():
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(40), 10)
    aucs, variances = [], []
    for _ in range(1500):
        y = rng.random(400) < 0.5
        score = y + 0.7 * rng.normal(size=40)[groups] + rng.normal(size=400)
        result = grouped_auc_covariance(y, score[None], groups)
        aucs.append(result.auc[0])
        variances.append(result.cov[0, 0])
    assert np.mean(variances) == pytest.approx(np.var(aucs), rel=0.1)


def test_seeds_are_averaged_in_placements_and_add_their_own_variance():
    rng = np.random.default_rng(8)
    y, _, groups = tied_world(8)
    scores = rng.normal(size=(4, 3, len(y))) + y
    result = combine_seeds(y, scores, groups)
    each = np.array([[auroc(y, score) for score in seed] for seed in scores])
    np.testing.assert_allclose(result.per_seed, each, rtol=0, atol=1e-15)
    np.testing.assert_allclose(result.value, each.mean(axis=0), rtol=1e-14)
    rows, seeds = result.estimate.parts
    np.testing.assert_allclose(seeds.cov, np.cov(each.T) / 4, rtol=1e-10)
    assert seeds.df == 3
    # The mean AUC is a mean over the 12 (seed, role) AUCs, whose covariance is known without averaging placements.
    joint = brute_obuchowski(y, scores.reshape(12, -1), groups).reshape(4, 3, 4, 3)
    np.testing.assert_allclose(rows.cov, joint.mean(axis=(0, 2)), rtol=1e-10)
    assert not result.conditional
    assert result.num_seeds == 4


def test_one_seed_is_conditional_and_equals_the_plain_covariance():
    y, scores, groups = tied_world(2)
    result = combine_seeds(y, scores[None], groups)
    assert result.conditional
    assert len(result.estimate.parts) == 1
    np.testing.assert_array_equal(result.estimate.cov, grouped_auc_covariance(y, scores, groups).cov)


def test_equal_seeds_add_no_variance():
    y, scores, groups = tied_world(2)
    once, twice = combine_seeds(y, scores[None], groups), combine_seeds(y, np.stack([scores, scores]), groups)
    assert not twice.estimate.parts[1].cov.any()
    np.testing.assert_allclose(twice.estimate.cov, once.estimate.cov, rtol=1e-14)
    np.testing.assert_array_equal(twice.value, once.value)
    contrast = twice.estimate.contrast([-1, 1, 0])
    assert contrast.df == pytest.approx(once.estimate.parts[0].df)


def test_a_role_that_does_not_vary_has_no_seed_variance():
    rng = np.random.default_rng(3)
    y, fixed, _ = tied_world(3, num_roles=1)
    scores = np.stack([np.concatenate([fixed, rng.normal(size=(2, len(y)))]) for _ in range(3)])
    seeds = combine_seeds(y, scores).estimate.parts[1].cov
    assert not seeds[0].any()
    assert seeds[1, 1] > 0


def test_degrees_of_freedom_count_groups_by_class_and_size():
    y = np.repeat([True, False], [10, 30])
    score = np.random.default_rng(0).normal(size=(1, 1, 40))
    assert combine_seeds(y, score).estimate.parts[0].df == pytest.approx(9)  # the rarer class
    even = combine_seeds(y, score, np.arange(40) % 5)
    assert even.estimate.parts[0].df == pytest.approx(4)
    sizes = np.array([5, 3, 2])
    uneven = combine_seeds(y, score, np.concatenate([np.repeat([0, 1, 2], sizes), np.arange(30)]))
    assert uneven.estimate.parts[0].df == pytest.approx(100 / np.sum(sizes**2) - 1)
    assert combine_seeds(y, score).num_trials == 10
    assert even.num_trials == 2  # five groups hold two disjoint pairs


def test_constant_scores_have_exactly_no_variance():
    y, _, groups = tied_world(1)
    result = grouped_auc_covariance(y, np.full((3, len(y)), 0.1), groups)
    assert result.auc.tolist() == [0.5, 0.5, 0.5]
    assert not result.cov.any()


def test_perfect_order_has_exactly_no_variance():
    y, _, groups = tied_world(1)
    result = grouped_auc_covariance(y, y[None] + 0.0, groups)
    assert result.auc[0] == 1.0
    assert not result.cov.any()


@pytest.mark.parametrize("groups", [[0] * 6, [0, 0, 0, 1, 2, 3], [1, 2, 3, 0, 0, 0]])
def test_a_class_in_one_group_has_no_estimable_variance(groups):
    result = grouped_auc_covariance([1, 1, 1, 0, 0, 0], [[3, 2, 1, 0, 2, 1]], groups)
    assert result.auc[0] == auroc([1, 1, 1, 0, 0, 0], [3, 2, 1, 0, 2, 1])
    assert np.isnan(result.cov).all()


def test_rows_without_a_group_stand_alone():
    pandas = pytest.importorskip("pandas")
    codes, num_groups = group_codes(["a", None, "a", float("nan"), None, pandas.NA, pandas.NaT, "b"], 8)
    assert codes.tolist() == [0, 1, 0, 2, 3, 4, 5, 6]
    assert num_groups == 7
    assert group_codes(np.array([2.0, np.nan, np.nan, 2.0]), 4)[1] == 3


@pytest.mark.parametrize(
    ("scores", "groups", "message"),
    [
        ([[1, 2, 3]], [0, 1], "2 groups for 3 rows"),
        ([1, 2, 3], None, "2 dimension"),
        ([[1, 2]], None, "given shape"),
        ([[1, 2, np.nan]], None, "NaN"),
        (np.empty((0, 3)), None, "given shape"),
    ],
)
def test_what_cannot_be_used_is_refused(scores, groups, message):
    with pytest.raises(DataError, match=message):
        grouped_auc_covariance([0, 1, 1], scores, groups)
