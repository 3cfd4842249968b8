"""Shares of a file, of few rows, of rows in groups: against enumeration, scipy, and groups whose worth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, hypergeom, t

from outshine.engine.errors import DataError
from outshine.stats.intervals import effective_size, exact_share, share_of_file


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 17), (17, 17), (3, 10), (250, 400)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_exact_share_is_scipys(k: int, n: int, level: float) -> None:
    known = binomtest(k, n).proportion_ci(level, method="exact")
    assert exact_share(k, n, level)[:3] == pytest.approx((k / n, known.low, known.high))


def test_no_rows_tell_nothing() -> None:
    for found in (exact_share(0, 0), share_of_file(0, 0, 9), share_of_file(0, 0, 0)):
        assert math.isnan(found.value)
        assert (found.low, found.high) == (0.0, 1.0)
    for counts in ((3, 2, 9, 0), (1, 2, 3, 2), (0, 1, 3, -1)):
        with pytest.raises(DataError, match="a share needs"):
            share_of_file(*counts)
    with pytest.raises(DataError, match="given 3 of 2"):
        exact_share(3, 2)
    with pytest.raises(DataError, match="no rows"):
        effective_size([], [])


@pytest.mark.parametrize(("num_all", "drawn"), [(1, 1), (20, 6), (21, 20), (37, 12), (40, 1)])
def test_a_share_of_a_file_covers_by_enumeration(num_all: int, drawn: int) -> None:
    """Every file of that size and every outcome with its exact chance: each limit errs in at most 2.5 %."""
    found = [share_of_file(k, drawn, num_all) for k in range(drawn + 1)]
    for right in range(num_all + 1):
        chance = hypergeom.pmf(np.arange(drawn + 1), num_all, right, drawn)
        too_high = sum(p for p, one in zip(chance, found, strict=True) if one.low > right / num_all + 1e-12)
        too_low = sum(p for p, one in zip(chance, found, strict=True) if one.high < right / num_all - 1e-12)
        assert max(too_high, too_low) <= 0.025 + 1e-12


@pytest.mark.parametrize(("num_right", "judged", "num_all"), [(3, 10, 30), (7, 8, 50), (0, 5, 12)])
def test_the_limits_are_those_that_the_exact_tests_do_not_reject(num_right: int, judged: int, num_all: int) -> None:
    kept = [
        right
        for right in range(num_right, num_all - judged + num_right + 1)
        if hypergeom.sf(num_right - 1, num_all, right, judged) > 0.025
        and hypergeom.cdf(num_right, num_all, right, judged) > 0.025
    ]
    found = share_of_file(num_right, judged, num_all)
    assert (found.low, found.high) == (min(kept) / num_all, max(kept) / num_all)


def test_all_rows_leave_nothing_open_and_empty_ones_everything() -> None:
    assert share_of_file(7, 12, 12)[:3] == (7 / 12, 7 / 12, 7 / 12)
    found = share_of_file(7, 10, 12, num_empty=2)
    assert (found.low, found.high) == (7 / 12, 9 / 12)
    some = share_of_file(20, 30, 100, num_empty=5)
    assert some.low == share_of_file(20, 35, 100).low
    assert some.high == share_of_file(25, 35, 100).high


def test_a_group_of_equal_rows_is_worth_one() -> None:
    """40 groups of 5 equal rows: the variance of the mean is that of 40 rows; the jackknife has 39 in place of 40."""
    values = np.repeat(np.arange(40) % 2, 5)
    found = effective_size(values, np.repeat(np.arange(40), 5))
    assert (found.num_rows, found.num_groups, found.groups) == (200, 40, pytest.approx(40))
    assert 34 < found.rows < 40
    assert found.design_effect == pytest.approx(200 / found.rows)


def test_rows_that_are_not_alike_are_worth_their_number() -> None:
    values = np.tile([0, 1, 1, 0], 50)  # every group of four has the same mean
    shrunk = (t.ppf(0.975, 199) / t.ppf(0.975, 49)) ** 2  # 50 groups cannot be sure of it
    assert effective_size(values, np.repeat(np.arange(50), 4)).rows == pytest.approx(200 * shrunk)
    assert effective_size([0, 1, 1], ["a", "b", "c"]).rows == 3


def test_equal_values_do_not_show_how_alike_a_group_is() -> None:
    found = effective_size(np.ones(30), np.repeat(["a", "b", "c"], 10))
    assert (found.rows, found.groups) == (3, 3)
    one = effective_size([0, 1, 1], ["a", "a", "a"])
    assert (one.rows, one.groups) == (1, 1)


def test_groups_of_unequal_size_count_as_fewer() -> None:
    groups = np.array(["big"] * 90 + [f"g{i}" for i in range(10)])
    assert effective_size(np.arange(100) % 2, groups).groups == pytest.approx(100**2 / (90**2 + 10))
