import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from outshine.engine.errors import DataError
from outshine.stats.auroc import accuracy, auroc, counted_auroc, soft_auroc


@given(
    rows=st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=60),
    order=st.randoms(use_true_random=False),
)
def test_equals_scikit_learn_on_ties_in_any_row_order(rows, order):
    y, score = map(np.array, zip(*rows, strict=True))
    if y.all() or not y.any():
        return
    shuffled = list(range(len(y)))
    order.shuffle(shuffled)
    assert auroc(y[shuffled], score[shuffled]) == auroc(y, score)
    assert auroc(y, score) == pytest.approx(roc_auc_score(y, score), abs=1e-14)


def test_equals_scikit_learn_on_continuous_scores():
    rng = np.random.default_rng(0)
    y = rng.random(5000) < 0.3
    score = rng.normal(size=5000) + y
    assert auroc(y, score) == pytest.approx(roc_auc_score(y, score), abs=1e-14)


@pytest.mark.parametrize("constant", [0.0, -1e300, np.inf, 1e-320])
def test_a_constant_score_gives_exactly_one_half(constant):
    assert auroc([0, 1, 1, 0, 1], np.full(5, constant)) == 0.5


def test_infinite_scores_are_ordered():
    assert auroc([0, 0, 1, 1], [-np.inf, 0.0, np.inf, np.inf]) == 1.0
    assert auroc([0, 1], [np.inf, np.inf]) == 0.5


def test_log_odds_that_probabilities_cannot_tell_apart():
    log_odds = np.array([40.0, 41.0, 42.0, 43.0])  # 1 / (1 + exp(−40)) is 1.0 in float64
    assert auroc([0, 0, 1, 1], log_odds) == 1.0


@given(rows=st.lists(st.tuples(st.floats(0, 1), st.integers(-2, 2)), min_size=1, max_size=40))
def test_soft_auroc_is_that_of_rows_written_twice(rows):
    p, score = map(np.array, zip(*rows, strict=True))
    if p.sum() < 1e-6 or (1 - p).sum() < 1e-6:
        return
    twice = np.tile(score, 2)
    y = np.repeat([1, 0], len(p))
    expected = roc_auc_score(y, twice, sample_weight=np.concatenate([p, 1 - p]))
    assert soft_auroc(p, score) == pytest.approx(expected, abs=1e-9)


def test_rows_counted_by_their_score_give_exactly_the_auroc_of_the_rows():
    rng = np.random.default_rng(2)
    score = np.array([0.5, -1.0, 0.5, 2.0, -np.inf])  # one of them twice
    positive, negative = rng.integers(0, 40, (2, 5))
    y = np.repeat([1, 0], [positive.sum(), negative.sum()])
    rows = np.concatenate([np.repeat(score, positive), np.repeat(score, negative)])
    assert counted_auroc(positive, negative, score) == auroc(y, rows)


def test_soft_auroc_of_hard_labels_is_auroc():
    rng = np.random.default_rng(1)
    y, score = rng.random(200) < 0.5, rng.integers(0, 30, 200)
    assert soft_auroc(y.astype(float), score) == pytest.approx(auroc(y, score), abs=1e-14)
    assert soft_auroc(np.full(200, 0.5), score) == pytest.approx(0.5, abs=1e-14)


def test_accuracy_counts_even_odds_as_negative():
    assert accuracy([1, 1, 0, 0], [0.1, 0.0, 0.0, -3.0]) == 0.75
    assert accuracy([1, 1], [1.0, -1.0]) == 0.5


@pytest.mark.parametrize(
    ("y", "score", "message"),
    [
        ([1, 1, 1], [1, 2, 3], "both classes.*3 rows, all positive"),
        ([0, 0], [1, 2], "all negative"),
        ([0, 1], [1, 2, 3], "2 rows; given shape"),
        ([0, 1, 1], [1, np.nan, np.nan], "2 of 3 scores are NaN"),
        ([0.3, 1], [1, 2], "0 or 1"),
        ([0.0, np.nan], [1, 2], "0 or 1"),
        ([], [], "at least one row"),
        ([[0, 1]], [[1, 2]], "vector"),
    ],
)
def test_auroc_refuses_what_it_cannot_score(y, score, message):
    with pytest.raises(DataError, match=message):
        auroc(y, score)


@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([0.2, 1.5, 2.0], "1.5 in row 1 .2 such rows"),
        ([0.2, np.nan, 0.1], "nan in row 1"),
        ([0, 0, 0], "both classes"),
        ([1, 1, 1], "both classes"),
        ([[0.5]], "shape"),
        ([0.5], "given shape"),
    ],
)
def test_soft_auroc_refuses_what_it_cannot_score(p, message):
    with pytest.raises(DataError, match=message):
        soft_auroc(p, [1, 2, 3])
