import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from outshine.engine.errors import DataError
from outshine.stats.calibration import brier, ece

GRID = np.linspace(0, 1, 9)
ROWS = st.lists(st.tuples(st.booleans(), st.sampled_from(list(GRID))), min_size=1, max_size=60)
BOTH = pytest.mark.parametrize("measure", [brier, ece])


def ece_by_hand(y: np.ndarray, p: np.ndarray, num_bins: int) -> float:
    """The definition, value by value and bin by bin."""
    members: dict[int, list[int]] = {}
    for i, value in enumerate(p):
        ranks = [rank for rank, other in enumerate(sorted(p)) if other == value]
        middle = (ranks[0] + ranks[-1] + 1) / 2  # 0-based ranks r stand for (r + ½)/n
        members.setdefault(math.floor(middle * num_bins / len(p) + 1e-9), []).append(i)
    return sum(len(rows) / len(p) * abs(y[rows].mean() - p[rows].mean()) for rows in members.values())


@given(rows=ROWS, order=st.randoms(use_true_random=False), num_bins=st.integers(1, 12))
def test_row_order_does_not_matter_whatever_is_tied(rows, order, num_bins):
    y, p = map(np.array, zip(*rows, strict=True))
    shuffled = list(range(len(y)))
    order.shuffle(shuffled)
    assert ece(y[shuffled], p[shuffled], num_bins) == pytest.approx(ece(y, p, num_bins), abs=1e-14)
    assert brier(y[shuffled], p[shuffled]) == pytest.approx(brier(y, p), abs=1e-14)


@given(rows=ROWS, num_bins=st.integers(1, 12))
def test_ece_is_its_definition(rows, num_bins):
    y, p = map(np.array, zip(*rows, strict=True))
    assert ece(y, p, num_bins) == pytest.approx(ece_by_hand(y, p, num_bins), abs=1e-12)


@pytest.mark.parametrize("num_bins", [1, 5, 10, 500])
def test_without_ties_the_bins_are_scikit_learns_quantiles(num_bins):
    rng = np.random.default_rng(0)
    p = rng.random(1000)
    y = rng.random(1000) < p**2
    observed, predicted = calibration_curve(y, p, n_bins=num_bins, strategy="quantile")
    assert len(observed) == num_bins
    assert ece(y, p, num_bins) == pytest.approx(np.abs(observed - predicted).mean(), abs=1e-14)


@given(rows=ROWS)
def test_brier_equals_scikit_learn(rows):
    y, p = map(np.array, zip(*rows, strict=True))
    assert brier(y, p) == pytest.approx(brier_score_loss(y, p, labels=[0, 1]), abs=1e-14)


@given(rows=ROWS)
def test_brier_is_reliability_less_resolution_plus_uncertainty(rows):
    y, p = map(np.array, zip(*rows, strict=True))
    parts = y.mean() * (1 - y.mean())
    for level in np.unique(p):
        here = y[p == level]
        parts += len(here) / len(y) * ((level - here.mean()) ** 2 - (here.mean() - y.mean()) ** 2)
    assert brier(y, p) == pytest.approx(parts, abs=1e-12)


@given(rows=ROWS, num_bins=st.integers(1, 12))
def test_ece_lies_between_the_bias_and_the_mean_error(rows, num_bins):
    """One bin sees the overall bias only, a bin a row every error; binning lies between."""
    y, p = map(np.array, zip(*rows, strict=True))
    found = ece(y, p, num_bins)
    assert abs(np.mean(y - p)) - 1e-12 <= found <= np.mean(np.abs(y - p)) + 1e-12
    assert ece(y, p, 1) == pytest.approx(abs(np.mean(y - p)), abs=1e-12)


def test_closed_forms():
    y = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    assert brier(y, y) == ece(y, y) == 0
    assert brier(y, 1 - y) == ece(y, 1 - y) == 1
    assert brier(y, np.full(8, 0.5)) == 0.25
    assert ece(y, np.full(8, 0.5)) == pytest.approx(1 / 8)
    assert ece(y, np.full(8, 5 / 8)) == pytest.approx(0, abs=1e-15)


def test_equal_probabilities_stay_together():
    """Six rows, three bins: cut by position, the four rows at .5 would lie in three bins and err in each."""
    p = np.array([0.1, 0.5, 0.5, 0.5, 0.5, 0.9])
    y = np.array([0, 1, 1, 0, 0, 1])
    assert ece(y, p, num_bins=3) == pytest.approx((0.1 + 0 + 0.1) / 6)


def test_more_bins_than_rows_leave_each_row_alone():
    assert ece([0, 1, 1], [0.2, 0.7, 0.9], num_bins=1000) == pytest.approx((0.2 + 0.3 + 0.1) / 3)


def test_overconfidence_shows_in_both_and_not_in_the_order_of_scores():
    rng = np.random.default_rng(1)
    log_odds = rng.normal(0, 1.5, 20_000)
    y = rng.random(20_000) < expit(log_odds)
    calm, loud = expit(log_odds), expit(3 * log_odds)
    assert ece(y, calm) < 0.015 < 0.1 < ece(y, loud)
    assert brier(y, calm) < brier(y, loud)


def test_the_bias_of_a_calibrated_ece_is_as_documented():
    rng = np.random.default_rng(2)
    p = rng.random((400, 1000))
    y = rng.random((400, 1000)) < p
    found = [ece(*rows) for rows in zip(y, p, strict=True)]
    documented = math.sqrt(2 * 10 / (math.pi * 1000) * np.mean(p * (1 - p)))
    assert np.mean(found) == pytest.approx(documented, rel=0.07)


@BOTH
@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0, 1], [0.5, 1.2], "1.2 in row 1 .1 such rows.*not log-odds"),
        ([0, 1], [-3.0, np.nan], "-3.0 in row 0 .2 such rows"),
        ([0, 1], [0.5], "each of 2 rows, given shape .1,"),
        ([0, 1], [[[0.5, 0.5]]], "given shape .1, 1, 2."),
        ([0.5, 1], [0.5, 0.5], "0 or 1"),
        ([], [], "at least one row"),
    ],
)
def test_refuses_what_is_no_probability(measure, y, p, message):
    with pytest.raises(DataError, match=message):
        measure(y, p)


@pytest.mark.parametrize("num_bins", [0, -1])
def test_refuses_no_bins(num_bins):
    with pytest.raises(DataError, match=f"at least one bin, given {num_bins}"):
        ece([0, 1], [0.5, 0.5], num_bins)
