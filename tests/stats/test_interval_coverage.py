"""Do 95 % sets hold the truth 95 % of the time? Full tables: docs/statistics.md."""

import pytest
from simulations import (
    NOISES,
    auroc_interval_coverage,
    fieller_coverage,
    percentile_bootstrap_coverage,
    pipeline_coverage,
    population_coverage,
    uneven_groups_coverage,
)

SETTLED = [noise for noise in NOISES if noise.seed_share < 0.5 or noise.num_seeds >= 5]


@pytest.mark.parametrize("noise", SETTLED, ids=lambda noise: noise.name)
@pytest.mark.parametrize("gap", [1, 2, 3, 4, 5, 6])
def test_fieller_sets_cover_the_true_pgr(noise, gap):
    coverage = fieller_coverage(noise, gap)
    assert 0.93 <= coverage.overall <= 0.97
    if gap >= 4:
        assert 0.93 <= coverage.bounded_sets <= 0.97


@pytest.mark.parametrize("true_pgr", [-0.5, 0.0, 1.0])
def test_fieller_sets_cover_whatever_the_true_pgr(true_pgr):
    assert 0.93 <= fieller_coverage(NOISES[1], gap=3, true_pgr=true_pgr).overall <= 0.97


def test_most_sets_are_unbounded_where_the_gap_is_noise():
    assert fieller_coverage(NOISES[0], gap=1).bounded < 0.2
    assert fieller_coverage(NOISES[0], gap=6).bounded > 0.99


def test_few_seeds_that_vary_much_cover_a_little_less():
    """Satterthwaite's approximation at its worst: documented, and not to grow worse unnoticed."""
    three, two = (next(n for n in NOISES if (n.num_seeds, n.seed_share) == (k, 2 / 3)) for k in (3, 2))
    assert 0.92 <= fieller_coverage(three, gap=5).overall <= 0.95
    assert 0.89 <= fieller_coverage(two, gap=5).overall <= 0.93


@pytest.mark.parametrize("num_datasets", [5, 10, 20])
def test_the_population_interval_covers(num_datasets):
    assert 0.93 <= population_coverage(num_datasets) <= 0.97


@pytest.mark.slow
def test_scores_to_intervals_with_groups_of_fifty():
    coverage = pipeline_coverage(num_seeds=1, num_groups=40, group_size=50, num_runs=600)
    assert 0.92 <= coverage.auroc <= 0.975
    assert 0.93 <= coverage.difference <= 0.975
    assert 0.93 <= coverage.pgr <= 0.975
    assert coverage.ungrouped < 0.85


@pytest.mark.slow
def test_scores_to_intervals_over_three_seeds():
    coverage = pipeline_coverage(num_seeds=3, num_groups=300, group_size=1, num_runs=1000)
    assert 0.92 <= coverage.auroc <= 0.975
    assert 0.92 <= coverage.difference <= 0.975
    assert 0.92 <= coverage.pgr <= 0.975
    assert coverage.rows_only < 0.85
    assert percentile_bootstrap_coverage(3) < 0.8


@pytest.mark.parametrize("auc", [0.5, 0.8, 0.95, 0.99])
def test_the_logit_interval_covers_where_the_plain_one_may_not(auc):
    coverage = auroc_interval_coverage(auc, 50, num_runs=1000)
    assert 0.92 <= coverage.logit <= 0.99
    if auc >= 0.95:
        assert coverage.plain < 0.92


def test_very_uneven_groups_cost_little_with_their_effective_number():
    coverage = uneven_groups_coverage(20, 1.0, num_runs=800)
    assert coverage.effective >= 0.9
    assert coverage.effective > coverage.plain + 0.01
