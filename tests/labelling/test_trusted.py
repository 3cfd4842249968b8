"""Gains over cheap labels: intervals against scipy, published and enumerated truths; numbers of rows by exact power."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from label_simulations import CASES, coverage, power_of_auroc, power_of_judged
from scipy.stats import binomtest, multinomial

from outshine.engine.errors import DataError
from outshine.labelling.trusted_rows import (
    auroc_gain,
    auroc_gain_error,
    disagreements_needed,
    gain_by_disagreements,
    level_of_file,
    newcombe,
    paired_gain,
    rows_for_auroc,
    wilson,
)
from outshine.stats.auroc import auroc
from outshine.stats.intervals import Interval, share_of_file


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 17), (17, 17), (3, 10), (250, 400)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_is_scipys(k: int, n: int, level: float) -> None:
    found, known = wilson(k, n, level), binomtest(k, n).proportion_ci(level, method="wilson")
    assert found[:3] == pytest.approx((k / n, known.low, known.high))


def test_no_rows_tell_nothing() -> None:
    assert math.isnan(wilson(0, 0).value)
    assert wilson(0, 0)[1:3] == (0.0, 1.0)
    assert gain_by_disagreements(share_of_file(0, 0, 9), 0.3)[1:3] == pytest.approx((-0.3, 0.3))
    assert paired_gain(0, 0, 0, 0)[1:3] == (-1.0, 1.0)
    with pytest.raises(DataError, match="given 3 of 2"):
        wilson(3, 2)
    with pytest.raises(DataError, match=r"lies in \[0, 1\], given 1\.5"):
        gain_by_disagreements(wilson(1, 2), 1.5)
    with pytest.raises(DataError, match="negative"):
        paired_gain(-1, 2, 3, 4)


def test_with_every_disagreement_judged_the_gain_is_the_difference_of_accuracies() -> None:
    rng = np.random.default_rng(0)
    truth, label, student = rng.random((3, 500)) < 0.5
    apart = label != student
    right = int((apart & (student == truth)).sum())
    num_apart = int(apart.sum())
    found = gain_by_disagreements(share_of_file(right, num_apart, num_apart), float(apart.mean()))
    assert found[:3] == pytest.approx([np.mean(student == truth) - np.mean(label == truth)] * 3)
    half = gain_by_disagreements(share_of_file(right // 2, num_apart // 2, num_apart), float(apart.mean()))
    assert half.low < found.value < half.high


def test_student_and_labels_that_never_disagree_are_equally_good() -> None:
    assert gain_by_disagreements(share_of_file(0, 0, 0), 0.0)[:3] == (0.0, 0.0, 0.0)


def test_newcombes_interval_is_the_published_one() -> None:
    """Airway hyper-responsiveness before and after transplantation, 21 children: Fagerland, Lydersen, Laake 2014,
    "Recommended tests and confidence intervals for paired binomial proportions", Statistics in Medicine 33, table V."""
    found = newcombe(only_first=1, only_second=7, both=1, neither=12)
    assert found.value == pytest.approx(-6 / 21)
    assert found.low == pytest.approx(-0.507, abs=5e-4)
    assert found.high == pytest.approx(-0.026, abs=5e-4)
    assert binomtest(1, 8).pvalue > 0.05  # so that these rows settle nothing
    assert paired_gain(1, 7, 1, 12)[:3] == pytest.approx((found.value, found.low, 0.0))


@pytest.mark.parametrize(("both", "neither"), [(0, 0), (30, 3), (200, 40)])
def test_a_paired_gain_excludes_zero_only_where_mcnemars_exact_test_rejects(both: int, neither: int) -> None:
    for ahead, behind in itertools.product(range(13), repeat=2):
        if ahead + behind + both + neither:
            found = paired_gain(ahead, behind, both, neither)
            rejected = ahead + behind > 0 and binomtest(ahead, ahead + behind).pvalue <= 0.05
            assert rejected or found.low <= 0 <= found.high
            assert found.low <= newcombe(ahead, behind, both, neither).low


def test_a_level_of_the_file_weighs_its_parts() -> None:
    """Limits by hand: the distances are weighted and added as squares."""
    found = level_of_file((Interval(0.5, 0.4, 0.7), Interval(0.9, 0.8, 0.95)), (0.25, 0.75))
    assert found.value == pytest.approx(0.8)
    assert found.low == pytest.approx(0.8 - math.hypot(0.025, 0.075))
    assert found.high == pytest.approx(0.8 + math.hypot(0.05, 0.0375))
    alone = level_of_file((Interval(0.5, 0.4, 0.7), Interval(math.nan, 0.0, 1.0)), (1.0, 0.0))
    assert alone[:3] == pytest.approx((0.5, 0.4, 0.7))


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
    assert 0.79 <= power <= 0.90, (num, power)


@pytest.mark.parametrize("right", [0.58, 0.6, 2 / 3, 0.75, 0.9, 1 / 3, 0.2])
@pytest.mark.parametrize("num_all", [60, 400, 2001])
def test_of_a_file_fewer_are_enough(right: float, num_all: int) -> None:
    """Exact power by the hypergeometric law: drawn from 60, one row more or less can be a step of ten points."""
    num, power = power_of_judged(right, num_all)
    plain = disagreements_needed(right)
    assert plain is not None
    assert num <= min(plain + 1, num_all)
    assert 0.8 <= power <= (0.92 if num_all > 60 else 1.0), (num, power)


def test_numbers_of_rows_at_the_ends() -> None:
    assert disagreements_needed(0.5) is None
    assert disagreements_needed(0.5, 40) is None
    assert disagreements_needed(0.51, 10) is None  # 5 of 10: to the row it is one half
    assert disagreements_needed(1.0) == 6
    assert binomtest(6, 6).pvalue < 0.05 < binomtest(5, 5).pvalue
    assert disagreements_needed(2 / 3) == 75
    assert disagreements_needed(2 / 3, 8) == 8
    assert rows_for_auroc(0.05, 100, 0.0) is None
    assert rows_for_auroc(0.0, 100, 0.1) is None
    assert rows_for_auroc(0.05, 100, 0.05) == math.ceil(100 * (1.959964 + 0.841621) ** 2)
    with pytest.raises(DataError, match=r"given 1\.2"):
        disagreements_needed(1.2)


def test_so_many_rows_have_the_power_that_is_promised_for_aucs() -> None:
    num, power = power_of_auroc(CASES[3], pilot=150, num_runs=150)
    assert num > 10
    assert 0.68 <= power <= 0.92, (num, power)  # .80 ± 3 errors of 150 runs, and a little for small samples


@pytest.mark.slow
@pytest.mark.parametrize("case", [CASES[1], CASES[4]], ids=str)
def test_intervals_cover_the_true_gain(case) -> None:
    """.95 less 3 Monte-Carlo errors of 400 runs, from 100 trusted rows. More runs and cases: label_simulations.py."""
    covered = coverage(case, num_trusted=100, num_runs=400)
    assert min(covered) >= 0.917, covered
    assert max(covered[1:]) < 1, covered  # the first is exact: from five judged rows or fewer it never misses q = ½
