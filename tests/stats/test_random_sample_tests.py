"""Tests that rows were drawn at random: against counting, scipy, and simulated draws and picks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from outshine.engine.errors import DataError
from outshine.stats.random_sample_tests import SampleTest, hypergeometric_p, random_sample_tests


@pytest.mark.parametrize(
    ("num_rows", "marked", "drawn", "found"), [(20, 6, 5, 0), (20, 6, 5, 5), (12, 4, 6, 2), (9, 0, 3, 0)]
)
def test_an_unlikely_draw_by_counting(num_rows: int, marked: int, drawn: int, found: int) -> None:
    ways = [math.comb(marked, k) * math.comb(num_rows - marked, drawn - k) for k in range(drawn + 1)]
    tails = sum(ways[: found + 1]), sum(ways[found:])
    assert hypergeometric_p(num_rows, marked, drawn, found) == pytest.approx(min(1.0, 2 * min(tails) / sum(ways)))


def four(drawn: np.ndarray, values: np.ndarray, groups: np.ndarray | None = None) -> dict[str, SampleTest]:
    names = np.arange(len(drawn)) if groups is None else groups
    kinds = ("shift", "spread", "lowest", "highest")
    return dict(zip(kinds, random_sample_tests(drawn, {"x": values}, {}, names), strict=True))


def marked(num: int, places: object) -> np.ndarray:
    drawn = np.zeros(num, dtype=bool)
    drawn[places] = True
    return drawn


def test_the_shift_is_mann_whitneys() -> None:
    """The variance of a rank sum, with ties and without replacement, is the one that scipy has for two samples."""
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=90), rng.integers(0, 6, size=90).astype(float)):
        drawn = marked(90, rng.choice(90, 25, replace=False))
        known = mannwhitneyu(values[drawn], values[~drawn], use_continuity=False, method="asymptotic")
        found = four(drawn, values)["shift"]
        assert found.p == pytest.approx(known.pvalue)
        assert found.how == ("higher" if values[drawn].mean() > values[~drawn].mean() else "lower")


@pytest.mark.parametrize(
    ("places", "kind", "how"),
    [
        (range(20), "shift", "lower"),
        (range(180, 200), "shift", "higher"),
        (range(90, 110), "spread", "in the middle"),
        ([*range(10), *range(190, 200)], "spread", "at both ends"),
        ([*range(8), *range(60, 180, 10)], "lowest", "lowest"),
        ([*range(192, 200), *range(20, 140, 10)], "highest", "highest"),
    ],
)
def test_a_way_of_picking_is_seen_by_its_test(places: object, kind: str, how: str) -> None:
    found = four(marked(200, [*places]), np.arange(200.0))[kind]  # type: ignore[misc]
    assert found.how == how
    assert found.p < 2e-4


def test_too_many_of_the_highest_by_counting() -> None:
    """8 of 10 drawn rows are among the 10 highest of 40."""
    drawn = marked(40, [0, 1, *range(32, 40)])
    ways = sum(math.comb(10, k) * math.comb(30, 10 - k) for k in (8, 9, 10))
    assert four(drawn, np.arange(40.0))["highest"].p == pytest.approx(ways / math.comb(40, 10))


def test_a_class_with_another_share_by_counting() -> None:
    values = np.repeat([0, 1], 20)
    (found,) = random_sample_tests(marked(40, range(8)), {}, {"class": values}, np.arange(40))
    assert (found.measure, found.how) == ("class", "share")
    assert found.p == pytest.approx(2 * math.comb(20, 8) / math.comb(40, 8))
    kinds = random_sample_tests(marked(40, range(8)), {}, {"fold": np.arange(40) % 5}, np.arange(40))
    assert len(kinds) == 5


def test_nothing_is_tested_where_nothing_can_be_seen() -> None:
    values = {"x": np.arange(6.0)}
    assert random_sample_tests(np.zeros(6, dtype=bool), values, {}, np.arange(6)) == []
    assert random_sample_tests(np.ones(6, dtype=bool), values, {}, np.arange(6)) == []
    assert random_sample_tests(marked(6, [1]), {"x": np.ones(6)}, {"y": np.ones(6)}, np.arange(6)) == [
        SampleTest("y", "share", 1.0)
    ]
    for wrong in ({"x": np.arange(5.0)}, {}):
        with pytest.raises(DataError, match=r"5 values for 6 rows"):
            random_sample_tests(marked(6, [1]), wrong, {} if wrong else {"y": np.arange(5)}, np.arange(6))
    with pytest.raises(DataError, match="6 rows have 5 groups"):
        random_sample_tests(marked(6, [1]), values, {}, np.arange(5))


@pytest.mark.slow
@pytest.mark.parametrize("num_groups", [12, 40])
def test_whole_groups_at_random_are_no_pick(num_groups: int) -> None:
    """Groups differ much in x; 400 draws of whole groups: all four tests together reject in at most 1 % + 3 errors."""
    rng = np.random.default_rng(num_groups)
    refused, refused_as_rows = 0, 0
    for _ in range(400):
        groups = np.repeat(np.arange(200), 8)
        values = rng.normal(size=200)[groups] * 2 + rng.normal(size=1600)
        drawn = np.isin(groups, rng.choice(200, num_groups, replace=False))
        refused += min(one.p for one in four(drawn, values, groups).values()) < 0.01 / 4
        refused_as_rows += min(one.p for one in four(drawn, values).values()) < 0.01 / 4
    assert refused / 400 <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 400)
    assert refused_as_rows / 400 > 0.2  # what rows taken for independent would say
    highest = np.isin(groups, np.argsort(np.bincount(groups, weights=values))[-num_groups:])
    assert four(highest, values, groups)["shift"].p < 0.01 / 4


@pytest.mark.slow
@pytest.mark.parametrize("num", [6, 40, 150])
def test_rows_at_random_are_seldom_refused(num: int) -> None:
    rng = np.random.default_rng(num)
    refused = 0
    for _ in range(1000):
        drawn = marked(200, rng.choice(200, num, replace=False))
        refused += min(one.p for one in four(drawn, np.arange(200.0)).values()) < 0.01 / 4
    assert refused / 1000 <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 1000)


def test_two_values_as_frequent_as_each_other_are_equally_far_out() -> None:
    """Their distances from the middle differ by rounding alone, which shows nothing of how rows were drawn."""
    values = np.repeat([0.3, 0.7], 6)
    for seed in range(20):
        drawn = np.isin(np.arange(12), np.random.default_rng(seed).choice(12, 9, replace=False))
        found = random_sample_tests(drawn, {"p": values}, {}, np.arange(12))
        assert [test.p for test in found if test.how in ("at both ends", "in the middle")] == [1.0]
