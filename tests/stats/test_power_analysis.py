"""Variance components, noise floor and sizes needed: closed forms, and studies simulated with the real test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from outshine.engine.errors import DataError
from outshine.stats.paired_differences import signed_rank_test
from outshine.stats.power_analysis import (
    Components,
    detectable,
    least_num_datasets,
    least_p,
    num_datasets_needed,
    num_seeds_needed,
    standard_error,
    tail_level,
    variance_components,
)

TAIL = tail_level()  # .025: one method, two-sided
STUDY = Components(datasets=4e-4, seeds=6e-4, rows=1e-4, num_datasets=20, num_seeds=3)


def test_components_by_hand():
    # two datasets, seeds {1, 3} and {4, 8}: within (2 + 8) / 2 = 5; means 2 and 6: sample variance 8
    found = variance_components([[1, 3], [4, 8]], row_variances=[1, 2])
    assert found.seeds == 5
    assert found.rows == 1.5
    assert found.datasets == pytest.approx(8 - 5 / 2 - 1.5)
    assert (found.num_datasets, found.num_seeds) == (2, 2)


def test_components_of_unequal_numbers_of_seeds():
    found = variance_components([[1.0], [2, 4, 6], [0, 1]])
    assert found.num_seeds == pytest.approx(3 / (1 + 1 / 3 + 1 / 2))
    assert found.seeds == pytest.approx((8 + 0.5) / (2 + 1))
    assert found.datasets == pytest.approx(np.var([1, 4, 0.5], ddof=1) - found.seeds / found.num_seeds)


def test_one_seed_leaves_its_part_with_the_datasets():
    found = variance_components([[1.0], [2.0], [6.0]])
    assert found.seeds is None
    assert found.rows is None
    assert found.datasets == pytest.approx(7)
    assert standard_error(found, 3, 1) == pytest.approx(math.sqrt(7 / 3))
    assert num_seeds_needed(found, 1.0, TAIL) is None
    assert num_datasets_needed(found, 100.0, TAIL) == 6
    with pytest.raises(DataError, match="one seed"):
        standard_error(found, 3, 2)


def test_components_are_found_again_in_a_large_simulated_study():
    rng = np.random.default_rng(0)
    effects, seeds = rng.normal(0.01, 0.03, 4000), rng.normal(0, 0.02, (4000, 3))
    rows = rng.normal(0, 0.01, 4000)
    found = variance_components(list((effects + rows)[:, None] + seeds), row_variances=np.full(4000, 1e-4))
    assert math.sqrt(found.datasets) == pytest.approx(0.03, rel=0.05)
    assert math.sqrt(found.seeds or 0) == pytest.approx(0.02, rel=0.03)


def test_no_component_is_negative():
    assert variance_components([[-1.0, 1.0], [-1.0, 1.0]]).datasets == 0


def test_standard_error_at_the_studys_own_size_is_that_of_the_mean():
    differences = np.random.default_rng(1).normal(0, 1, (12, 3)) + np.random.default_rng(2).normal(0, 2, (12, 1))
    found = variance_components(list(differences))
    assert standard_error(found, 12, 3) == pytest.approx(stats.sem(differences.mean(axis=1)))


def test_standard_errors_in_closed_form():
    assert standard_error(STUDY, 20, 3) == pytest.approx(math.sqrt((5e-4 + 2e-4) / 20))
    assert standard_error(STUDY, 1, 6) == pytest.approx(math.sqrt(5e-4 + 1e-4))


@pytest.mark.parametrize("num_datasets", [1, 2, 5, 6, 10])
def test_the_least_p_is_scipys_where_all_differences_have_one_sign(num_datasets):
    d = np.arange(1, num_datasets + 1)
    for two_sided, word in ((True, "two-sided"), (False, "greater")):
        expected = stats.wilcoxon(d, alternative=word, method="exact").pvalue
        assert least_p(num_datasets, two_sided=two_sided) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("num_methods", "two_sided", "num_datasets"),
    [(1, True, 6), (1, False, 5), (2, True, 7), (11, True, 9), (12, True, 9), (13, False, 9), (1000, True, 16)],
)
def test_the_least_number_of_datasets_is_the_first_whose_least_p_reaches_the_level(
    num_methods, two_sided, num_datasets
):
    """⌈1 + log₂(m/.05)⌉ two-sided, one less one-sided."""
    tail = tail_level(num_methods, two_sided=two_sided)
    assert least_num_datasets(tail) == num_datasets
    least, one_fewer = (num_methods * least_p(num, two_sided=two_sided) for num in (num_datasets, num_datasets - 1))
    assert least < 0.05 < one_fewer
    assert math.isinf(detectable(1.0, num_datasets - 1, tail))
    assert math.isfinite(detectable(1.0, num_datasets, tail))


@pytest.mark.parametrize(("num_datasets", "tail"), [(5, 0.05), (6, TAIL), (7, TAIL / 3), (10, TAIL / 20)])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.9])
def test_where_all_datasets_must_win_the_floor_has_a_closed_form(num_datasets, tail, power):
    """P(all D normal differences above 0) = Φ(δ/σ)ᴰ."""
    assert 2 * 0.5**num_datasets > tail  # the second greatest rank sum is not enough
    shift = detectable(2.0, num_datasets, tail, power) / 2
    assert stats.norm.cdf(shift) ** num_datasets == pytest.approx(power, abs=0.012)


@pytest.mark.parametrize("num_methods", [1, 11])
@pytest.mark.parametrize("num_datasets", [6, 10, 20, 21, 30, 60, 61, 150])
def test_the_exact_test_has_the_promised_power_at_the_floor(num_datasets, num_methods):
    """Simulated and formula alike; at 21 datasets the formula takes over, at 61 the test's own approximation."""
    tail = tail_level(num_methods)
    floor = detectable(1.0, num_datasets, tail)
    if math.isinf(floor):
        assert num_methods * least_p(num_datasets) > 0.05
        return
    d = np.random.default_rng([47, num_datasets]).normal(
        floor, 1, (4_000 if num_datasets < 50 else 1_500, num_datasets)
    )
    found = signed_rank_test(d)
    helps = (num_methods * found.p_two_sided < 0.05) & (found.p_greater < found.p_less)
    assert np.mean(helps) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("effect", [0.003, 0.01, 0.02, 0.2])
def test_datasets_needed_are_the_fewest_that_detect(effect):
    datasets = num_datasets_needed(STUDY, effect, TAIL)
    assert datasets is not None
    assert detectable(math.sqrt(7e-4), datasets, TAIL) <= effect < detectable(math.sqrt(7e-4), datasets - 1, TAIL)
    assert datasets >= 6


def test_many_datasets_are_as_the_normal_formula_with_wilcoxons_efficiency():
    """(z.975 + z.80)² σ² / effect², a share π/3 more: for 10,000 datasets to 1 %."""
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    effect = z * math.sqrt(7e-4 / 10_000)
    assert num_datasets_needed(STUDY, effect, TAIL) == pytest.approx(10_000 * math.pi / 3, rel=0.01)


def test_more_datasets_never_find_less():
    for tail in (0.05, TAIL, TAIL / 11):
        floors = [detectable(1.0, num, tail) for num in range(least_num_datasets(tail), 70)]
        assert floors == sorted(floors, reverse=True)


def test_seeds_needed_are_the_fewest_that_detect():
    def floor(variance: float) -> float:
        return detectable(math.sqrt(variance), 20, TAIL)

    effect = 1.05 * floor(5e-4)  # a little more than what endless seeds would find
    seeds = num_seeds_needed(STUDY, effect, TAIL)
    assert seeds is not None
    assert seeds > 3
    assert floor(5e-4 + 6e-4 / seeds) <= effect < floor(5e-4 + 6e-4 / (seeds - 1))


def test_no_number_of_seeds_makes_up_for_datasets_that_differ():
    floor = detectable(math.sqrt(5e-4), 20, TAIL)
    assert num_seeds_needed(STUDY, 0.99 * floor, TAIL) is None
    assert num_seeds_needed(STUDY, 10 * floor, TAIL) == 1


def test_no_number_of_seeds_makes_up_for_too_few_datasets():
    assert num_seeds_needed(STUDY, 1e6, TAIL, num_datasets=5) is None
    assert num_seeds_needed(STUDY, 1e6, TAIL, num_datasets=6) == 1


def test_the_two_sizes_agree_with_each_other():
    effect = 0.012
    datasets = num_datasets_needed(STUDY, effect, TAIL, num_seeds=5)
    assert datasets is not None
    seeds = num_seeds_needed(STUDY, effect, TAIL, num_datasets=datasets)
    assert seeds is not None
    assert seeds <= 5


def test_an_effect_that_is_none_needs_no_size():
    for effect in (0.0, -0.01, math.nan):
        assert num_datasets_needed(STUDY, effect, TAIL) is None
        assert num_seeds_needed(STUDY, effect, TAIL) is None


def test_unusable_differences_are_refused():
    with pytest.raises(DataError, match="at least 2"):
        variance_components([[0.1, 0.2]])
    with pytest.raises(DataError, match="at least one seed"):
        variance_components([[0.1], []])
    with pytest.raises(DataError, match="NaN"):
        variance_components([[0.1], [math.nan]])
    with pytest.raises(DataError, match="between 0 and 1"):
        detectable(0.1, 10, tail=1.0)
    with pytest.raises(DataError, match="between 0 and 1"):
        tail_level(1, alpha=1.0)
    with pytest.raises(DataError, match="a method"):
        tail_level(0)
