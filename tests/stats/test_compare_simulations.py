"""`compare` errs and finds as its sentences promise: reduced versions of the tables in docs/statistics.md."""

from __future__ import annotations

import math

import numpy as np
import pytest
from compare_simulations import Studies, false_claims, floor_power


def at_most(num_runs: int) -> float:
    """.05 and three Monte Carlo standard errors."""
    return 0.05 + 3 * math.sqrt(0.05 * 0.95 / num_runs)


def between(*cases: tuple) -> list:
    """Cases that lie between others: `make test-all` alone tries them."""
    return [pytest.param(*case, marks=pytest.mark.exhaustive) for case in cases]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_methods", "num_runs", "num_datasets"),
    [
        (1, 600, 4),
        (1, 600, 21),
        (11, 100, 6),
        (11, 100, 21),
        *between((1, 600, 6), (1, 600, 10), (11, 100, 4), (11, 100, 10)),
    ],
)
def test_claims_in_either_direction_err_in_five_percent_of_studies_at_most(num_methods, num_runs, num_datasets):
    assert false_claims(num_methods, num_datasets, num_runs) <= at_most(num_runs)


@pytest.mark.slow
def test_a_declared_direction_errs_no_more():
    assert false_claims(1, 10, 600, declared=True) <= at_most(600)


@pytest.mark.slow
def test_it_is_not_by_never_claiming():
    assert false_claims(1, 21, 600) > 0.02


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_datasets", "declared"), [(5, True), (6, False), (21, False), *between((10, False), (21, True))]
)
def test_the_printed_floor_is_found_with_power_eight_tenths(num_datasets, declared):
    """Four of five studies, to .03 and what 1,000 runs leave open."""
    assert floor_power(num_datasets, 1, 1_000, declared=declared).power == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("num_datasets", "num_methods", "declared"), [(4, 1, True), (5, 1, False), (8, 11, False)])
def test_where_no_difference_can_be_found_there_is_no_floor_and_the_largest_is_not_found(
    num_datasets, num_methods, declared
):
    assert math.isinf(floor_power(num_datasets, num_methods, 1, declared=declared).floor)
    studies = Studies(num_methods, num_datasets)
    d = np.random.default_rng(0).normal(0.15, 1e-3, (num_methods, num_datasets))
    for one in studies.compared(d, ["xent"] if declared else [None]).methods:
        assert one.holm == pytest.approx(one.least_p)
        assert one.least_p > 0.05
