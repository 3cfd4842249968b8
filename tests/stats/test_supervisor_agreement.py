import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, cohen_kappa_score, mean_squared_error

from outshine.engine.errors import DataError
from outshine.stats.supervisor_agreement import capa, error_imitation, misfit, misfit_gain

P = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
ROWS = st.lists(st.tuples(st.booleans(), P, P), min_size=1, max_size=40)


def columns(rows: list) -> list[np.ndarray]:
    return [np.array(column) for column in zip(*rows, strict=True)]


def capa_by_hand(y: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """The definition of the paper: sums over rows and both options."""
    observed = np.mean([sum(a * b for a, b in ((p, q), (1 - p, 1 - q))) for p, q in zip(first, second, strict=True)])
    right = [np.mean([p if t else 1 - p for p, t in zip(model, y, strict=True)]) for model in (first, second)]
    expected = right[0] * right[1] + (1 - right[0]) * (1 - right[1])
    return (observed - expected) / (1 - expected)


@given(rows=ROWS, order=st.randoms(use_true_random=False))
def test_row_order_does_not_matter(rows, order):
    y, weak, student = columns(rows)
    i = list(range(len(y)))
    order.shuffle(i)
    np.testing.assert_equal(error_imitation(y[i], weak[i], student[i]), error_imitation(y, weak, student))
    np.testing.assert_allclose(capa(y[i], weak[i], student[i]), capa(y, weak, student), atol=1e-12)
    assert misfit(weak[i], student[i]) == pytest.approx(misfit(weak, student), abs=1e-14)


@given(rows=ROWS)
def test_imitation_is_counting(rows):
    y, weak, student = columns(rows)
    repeated = {True: 0, False: 0}
    of = {True: 0, False: 0}
    for t, p, q in zip(y, weak, student, strict=True):
        right = (p > 0.5) == t
        of[right] += 1
        repeated[right] += (p > 0.5) == (q > 0.5)
    found = error_imitation(y, weak, student)
    assert (found.num_right, found.num_wrong) == (of[True], of[False])
    for share, right in ((found.right, True), (found.wrong, False)):
        assert math.isnan(share) if of[right] == 0 else share == pytest.approx(repeated[right] / of[right])


def test_imitation_of_a_copy_a_truth_teller_and_a_contrarian():
    y = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    weak = np.array([0.9, 0.8, 0.6, 0.2, 0.1, 0.2, 0.7, 0.8])
    assert error_imitation(y, weak, weak) == (1, 1, 3, 5, 5 / 8, 5 / 8)
    assert error_imitation(y, weak, weak).excess == 1
    assert error_imitation(y, weak, y)[:2] == (0, 1)
    assert error_imitation(y, weak, y).excess == 0
    assert error_imitation(y, weak, 1 - weak)[:2] == (0, 0)
    assert error_imitation(y, weak, weak, threshold=0.85).num_wrong == 3
    assert error_imitation(y, weak, weak, threshold=0.85).weak_positive == 1 / 8


def test_one_half_is_negative_as_in_accuracy():
    assert error_imitation([0, 1], [0.5, 0.5], [0.5, 0.5])[:4] == (1, 1, 1, 1)


def test_a_perfect_or_always_wrong_supervisor_leaves_one_share_undefined():
    y = np.array([0, 1, 1])
    perfect, wrong = error_imitation(y, y, [0.2, 0.9, 0.1]), error_imitation(y, 1 - y, [0.2, 0.9, 0.1])
    assert (perfect.num_wrong, perfect.right) == (0, pytest.approx(2 / 3))
    assert math.isnan(perfect.wrong)
    assert math.isnan(perfect.excess)
    assert (wrong.num_right, wrong.wrong) == (0, pytest.approx(1 / 3))
    assert math.isnan(wrong.right)


@pytest.mark.parametrize("positive", [True, False])
def test_a_supervisor_on_one_side_of_one_half_is_told_by_its_share_of_positives(positive):
    """It ranks perfectly; hardened at .5 all its errors are of one class, and a calibrated student seems to mend them."""
    y = np.repeat([0, 1], 5)
    weak = np.linspace(0.6, 0.9, 10) if positive else np.linspace(0.1, 0.4, 10)
    found = error_imitation(y, weak, y)
    assert (found.num_wrong, found.num_right, found.wrong, found.right) == (5, 5, 0, 1)
    assert found.weak_positive == positive
    assert found.student_positive == 0.5
    split = error_imitation(y, weak, y, threshold=float(np.median(weak)))
    assert (split.num_wrong, split.weak_positive) == (0, 0.5)


@given(rows=ROWS)
def test_capa_is_the_papers_sum_and_symmetric(rows):
    y, first, second = columns(rows)
    found = capa(y, first, second)
    right = [np.where(y, p, 1 - p).mean() for p in (first, second)]
    if right in ([0, 0], [1, 1]):
        assert math.isnan(found)
        return
    assert found == pytest.approx(capa_by_hand(y, first, second), abs=1e-9)
    assert found == pytest.approx(capa(y, second, first), abs=1e-12)
    assert found == pytest.approx(capa(~y, 1 - first, 1 - second), abs=1e-9)
    assert found <= 1 + 1e-12


@given(rows=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_capa_of_a_confident_model_with_itself_is_one(rows):
    y, is_right = columns(rows)
    p = np.where(is_right, y, ~y).astype(float)
    found = capa(y, p, p)
    assert math.isnan(found) if is_right.all() or not is_right.any() else found == pytest.approx(1)


def test_capa_of_an_unsure_model_with_itself_is_less_than_one():
    assert capa([1, 0], [0.9, 0.9], [0.9, 0.9]) == pytest.approx(2 * 0.4**2 / 0.5)
    assert capa([1, 0], [0.5, 0.5], [0.5, 0.5]) == 0


def test_capa_of_hard_labels_is_cohens_kappa_where_the_models_are_equally_good():
    """c_exp takes margins over right and wrong: Cohen's kappa of the two lists of errors."""
    y = np.array([1, 1, 1, 0, 0, 0, 1, 0])
    first_wrong = np.array([1, 1, 0, 0, 0, 0, 1, 0])
    second_wrong = np.array([1, 0, 1, 0, 0, 1, 0, 0])
    found = capa(y, np.abs(y - first_wrong), np.abs(y - second_wrong))
    assert found == pytest.approx(cohen_kappa_score(first_wrong, second_wrong))


def test_capa_of_independent_errors_is_zero_within_monte_carlo_error():
    """Unequal accuracies and both classes: agreement by accuracy alone is taken out."""
    rng = np.random.default_rng(0)
    y = rng.random((500, 2000)) < 0.5
    first, second = (np.where(rng.random(y.shape) < wrong, ~y, y).astype(float) for wrong in (0.1, 0.35))
    found = [capa(*rows) for rows in zip(y, first, second, strict=True)]
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error < 0.003


def test_capa_is_negative_where_errors_avoid_each_other():
    y = np.array([1, 1, 0, 0])
    assert capa(y, [1, 0, 0, 0], [0, 1, 0, 0]) < 0
    assert capa(y, [1, 1, 0, 0], [0, 0, 1, 1]) == 0  # one is always right: agreement never depends on the row


def test_capa_of_nearly_perfect_models_keeps_its_digits():
    """Errors of 1e-12 in half of the rows, the same rows: computed from numbers near 1 nothing would be left of them."""
    tiny = np.tile([1e-12, 0.0], 500)
    y = np.zeros(1000, dtype=int)
    assert capa(y, tiny, tiny) == pytest.approx(5e-13, rel=1e-6)  # 2 var / (2 mean) = (δ/2)²/(δ/2)


@given(rows=ROWS)
def test_misfit_and_gain_are_scikit_learns(rows):
    y, weak, student = columns(rows)
    assert misfit(weak, student) == pytest.approx(mean_squared_error(weak, student), abs=1e-14)
    expected = brier_score_loss(y, weak, labels=[0, 1]) - brier_score_loss(y, student, labels=[0, 1])
    assert misfit_gain(y, weak, student) == pytest.approx(expected, abs=1e-14)


@given(rows=ROWS)
def test_gain_is_misfit_plus_the_inner_product_with_the_students_errors(rows):
    """(w − y)² − (s − y)² = (w − s)² + 2 (w − s)(s − y), row by row: the identity behind the theorem."""
    y, weak, student = columns(rows)
    rest = 2 * np.mean((weak - student) * (student - y))
    assert misfit_gain(y, weak, student) == pytest.approx(misfit(weak, student) + rest, abs=1e-12)


def test_gain_equals_misfit_for_a_projection_onto_a_line_with_the_truth():
    """Least squares within a linear class that holds the truth: the theorem with equality."""
    rng = np.random.default_rng(3)
    truth = np.tile([0.0, 1.0], 50)
    weak = np.clip(0.5 + 0.2 * (truth - 0.5) + rng.normal(0, 0.1, 100), 0, 1)
    features = np.stack([np.ones(100), truth], axis=1)
    student = features @ np.linalg.lstsq(features, weak, rcond=None)[0]
    assert misfit_gain(truth, weak, student) == pytest.approx(misfit(weak, student))
    assert misfit(weak, student) > 0.005


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: error_imitation([0, 1], [0.1, 0.2], [0.1]), "each of 2 rows"),
        (lambda: error_imitation([0, 1], [0.1, 1.2], [0.1, 0.2]), "1.2 in row 1"),
        (lambda: error_imitation([0, 1], [0.1, 0.2], [0.1, 0.2], threshold=1.5), "given 1.5"),
        (lambda: error_imitation([0, 1], [0.1, 0.2], [0.1, 0.2], threshold=math.nan), "given nan"),
        (lambda: error_imitation([0, 0.3], [0.1, 0.2], [0.1, 0.2]), "0 or 1"),
        (lambda: capa([0, 1], [0.1, 0.2], [0.1, np.nan]), "nan in row 1"),
        (lambda: capa([], [], []), "at least one row"),
        (lambda: misfit([], []), "at least one row"),
        (lambda: misfit([0.1, 0.2], [0.1]), "each of 2 rows"),
        (lambda: misfit([0.1], [-4.0]), "-4.0 in row 0"),
        (lambda: misfit_gain([0, 1], [0.1], [0.1, 0.2]), "each of 2 rows"),
    ],
)
def test_refuses_what_it_cannot_compare(call, message):
    with pytest.raises(DataError, match=message):
        call()
