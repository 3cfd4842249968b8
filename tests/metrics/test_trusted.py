"""Gains over cheap labels: intervals against scipy, published and enumerated truths; numbers of rows by exact power."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from label_simulations import CASES, coverage, power_of_auroc, power_of_judged
from scipy.stats import binom, binomtest, multinomial

from outshine.core.errors import DataError
from outshine.metrics.auroc import auroc
from outshine.metrics.trusted import (
    auroc_gain,
    auroc_gain_error,
    chance_of_so_unlike,
    disagreements_needed,
    gain_by_disagreements,
    paired_gain,
    rows_for_auroc,
    wilson,
)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 17), (17, 17), (3, 10), (250, 400)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_is_scipys(k: int, n: int, level: float) -> None:
    found, known = wilson(k, n, level), binomtest(k, n).proportion_ci(level, method="wilson")
    assert found[:3] == pytest.approx((k / n, known.low, known.high))


def test_no_rows_tell_nothing() -> None:
    assert math.isnan(wilson(0, 0).value)
    assert wilson(0, 0)[1:3] == (0.0, 1.0)
    assert gain_by_disagreements(0, 0, 0.3)[1:3] == pytest.approx((-0.3, 0.3))
    assert paired_gain(0, 0, 0, 0)[1:3] == (-1.0, 1.0)
    with pytest.raises(DataError, match="given 3 of 2"):
        wilson(3, 2)
    with pytest.raises(DataError, match=r"lies in \[0, 1\], given 1\.5"):
        gain_by_disagreements(1, 2, 1.5)
    with pytest.raises(DataError, match="negative"):
        paired_gain(-1, 2, 3, 4)


def test_with_every_disagreement_judged_the_gain_is_the_difference_of_accuracies() -> None:
    rng = np.random.default_rng(0)
    truth, label, student = rng.random((3, 500)) < 0.5
    apart = label != student
    right = int((apart & (student == truth)).sum())
    found = gain_by_disagreements(right, int(apart.sum()), float(apart.mean()))
    assert found.value == pytest.approx(np.mean(student == truth) - np.mean(label == truth))
    assert found.low < found.value < found.high


def test_student_and_labels_that_never_disagree_are_equally_good() -> None:
    assert gain_by_disagreements(0, 0, 0.0)[:3] == (0.0, 0.0, 0.0)


def test_newcombes_interval_is_the_published_one() -> None:
    """Airway hyper-responsiveness before and after transplantation, 21 children: Fagerland, Lydersen, Laake 2014,
    "Recommended tests and confidence intervals for paired binomial proportions", Statistics in Medicine 33, table V."""
    found = paired_gain(only_first=1, only_second=7, both=1, neither=12)
    assert found.value == pytest.approx(-6 / 21)
    assert found.low == pytest.approx(-0.507, abs=5e-4)
    assert found.high == pytest.approx(-0.026, abs=5e-4)


def test_exchanging_the_two_turns_the_interval_round() -> None:
    for counts in [(5, 2, 30, 3), (0, 4, 6, 0), (3, 3, 0, 0), (0, 0, 9, 1)]:
        ahead, behind, both, neither = counts
        one, other = paired_gain(*counts), paired_gain(behind, ahead, both, neither)
        assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
        assert -1 <= one.low <= one.value <= one.high <= 1


@pytest.mark.parametrize(
    "p", [(0.3, 0.1, 0.5, 0.1), (0.1, 0.1, 0.7, 0.1), (0.15, 0.05, 0.2, 0.6), (0.05, 0.02, 0.9, 0.03)]
)
def test_newcombes_interval_covers_by_enumeration(p: tuple[float, ...]) -> None:
    """All outcomes of 25 pairs with their exact probabilities."""
    n, covered = 25, 0.0
    for a, b, c in itertools.product(range(n + 1), repeat=3):
        if a + b + c <= n:
            found = paired_gain(a, b, c, n - a - b - c)
            if found.low <= p[0] - p[1] <= found.high:
                covered += multinomial.pmf([a, b, c, n - a - b - c], n, p)
    assert 0.93 <= covered <= 0.999


def delong_by_loops(y: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """The difference of two AUCs and its variance, from the definition of the placements."""
    kernel = np.array([[[np.heaviside(x - z, 0.5) for z in s[~y]] for x in s[y]] for s in scores])
    ten, one = kernel.mean(axis=2), kernel.mean(axis=1)
    cov = np.cov(ten) / y.sum() + np.cov(one) / (~y).sum()
    auc = kernel.mean(axis=(1, 2))
    return auc[0] - auc[1], cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]


def test_the_gain_in_auc_has_delongs_error() -> None:
    rng = np.random.default_rng(3)
    y = rng.random(60) < 0.4
    scores = np.stack([y + rng.normal(size=60), (y ^ (rng.random(60) < 0.2)).astype(float)])
    value, variance = delong_by_loops(y, scores)
    found = auroc_gain(y, *scores)
    assert found.value == pytest.approx(value) == pytest.approx(auroc(y, scores[0]) - auroc(y, scores[1]))
    assert auroc_gain_error(y, *scores) == pytest.approx(math.sqrt(variance))
    assert found.high - found.low == pytest.approx(2 * 2.06 * math.sqrt(variance), rel=0.05)  # t of about 25 groups


def test_with_many_rows_the_limits_are_those_of_a_normal_difference() -> None:
    rng = np.random.default_rng(4)
    y = rng.random(1500) < 0.5
    scores = np.stack([0.5 * y + rng.normal(size=1500), 0.4 * y + rng.normal(size=1500)])
    value, variance = delong_by_loops(y, scores)
    found = auroc_gain(y, *scores)
    for limit, sign in ((found.low, -1), (found.high, 1)):
        assert limit == pytest.approx(value + sign * 1.96 * math.sqrt(variance), abs=0.02 * math.sqrt(variance))


def test_rows_that_do_not_vary_claim_no_certainty() -> None:
    y = np.array([True] * 6 + [False] * 6)
    found = auroc_gain(y, y.astype(float), y.astype(float))
    assert found.value == 0
    assert found.low < -0.2
    assert found.high > 0.2
    assert found.note
    one_group = auroc_gain(y, np.arange(12.0), y.astype(float), groups=["a"] * 6 + ["b"] * 6)
    assert (one_group.low, one_group.high) == (-1.0, 1.0)


def test_grouped_rows_widen_the_interval() -> None:
    rng = np.random.default_rng(5)
    y = np.repeat(rng.random(20) < 0.5, 5)
    scores = np.repeat(rng.normal(size=(2, 20)), 5, axis=1) + y
    alone, together = auroc_gain(y, *scores), auroc_gain(y, *scores, groups=np.repeat(np.arange(20), 5))
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


@pytest.mark.parametrize("right", [0.58, 0.6, 2 / 3, 0.75, 0.9, 1 / 3, 0.2])
def test_so_many_disagreements_have_the_power_that_is_promised(right: float) -> None:
    """Exact power of the interval by the binomial law. A discrete test of ten rows steps by several points about .80."""
    num, power = power_of_judged(right)
    assert 0.73 <= power <= 0.90, (num, power)


def test_numbers_of_rows_at_the_ends() -> None:
    assert disagreements_needed(0.5) is None
    assert disagreements_needed(1.0) == 4
    assert binom.pmf(4, 4, 1.0) == 1
    assert wilson(4, 4).low > 0.5 > wilson(3, 3).low
    assert disagreements_needed(2 / 3) == 69
    assert rows_for_auroc(0.05, 100, 0.0) is None
    assert rows_for_auroc(0.0, 100, 0.1) is None
    assert rows_for_auroc(0.05, 100, 0.05) == math.ceil(100 * (1.959964 + 0.841621) ** 2)
    with pytest.raises(DataError, match=r"given 1\.2"):
        disagreements_needed(1.2)


def test_so_many_rows_have_the_power_that_is_promised_for_aucs() -> None:
    num, power = power_of_auroc(CASES[3], pilot=150, num_runs=150)
    assert num > 10
    assert 0.68 <= power <= 0.92, (num, power)  # .80 ± 3 errors of 150 runs, and a little for small samples


@pytest.mark.parametrize(
    ("num_rows", "marked", "drawn", "found"), [(20, 6, 5, 0), (20, 6, 5, 5), (12, 4, 6, 2), (9, 0, 3, 0)]
)
def test_an_unlikely_draw_by_counting(num_rows: int, marked: int, drawn: int, found: int) -> None:
    ways = [math.comb(marked, k) * math.comb(num_rows - marked, drawn - k) for k in range(drawn + 1)]
    tails = sum(ways[: found + 1]), sum(ways[found:])
    assert chance_of_so_unlike(num_rows, marked, drawn, found) == pytest.approx(min(1.0, 2 * min(tails) / sum(ways)))


@pytest.mark.parametrize("case", [CASES[1], CASES[4]], ids=str)
def test_intervals_cover_the_true_gain(case) -> None:
    """.95 less 3 Monte-Carlo errors of 400 runs, from 100 trusted rows. More runs and cases: label_simulations.py."""
    covered = coverage(case, num_trusted=100, num_runs=400)
    assert min(covered) >= 0.917, covered
    assert max(covered) < 1, covered
