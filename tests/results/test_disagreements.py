"""Where student and supervisor differ: counts and order, against a loop over the rows."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from outshine.engine.errors import DataError
from outshine.results.diagnostics import disagreements


def rows(*scored: tuple[str, int, float, float]) -> pd.DataFrame:
    """Rows of id, truth, supervisor's and student's probability."""
    return pd.DataFrame(scored, columns=["id", "y", "p_weak", "p_student"]).set_index("id")


def test_the_surest_first_whoever_is_right():
    found = disagreements(
        rows(
            ("a", 1, 0.9, 0.8),  # the same label
            ("b", 1, 0.2, 0.7),
            ("c", 0, 0.2, 0.95),
            ("d", 0, 0.9, 0.01),
            ("e", 1, 0.5, 0.51),  # exactly one half is no positive
        ),
        3,
    )
    assert list(found.rows.index) == ["d", "c", "b"]
    assert found.rows["student_right"].tolist() == [True, False, True]
    assert (found.num_rows, found.num_apart, found.num_student_right, found.one_sided) == (5, 4, 3, False)


def test_of_several_classes_the_surest_of_its_own_class_comes_first():
    scored = pd.DataFrame(
        {
            "y": [0, 1, 2, 0],
            "weak": [0, 2, 0, 1],
            "student": [1, 1, 1, 1],
            "p_weak": [0.4, 0.4, 0.9, 0.4],
            "p_student": [0.30, 0.35, 0.9, 0.99],
        },
        index=list("abcd"),
    )
    found = disagreements(scored, 9)
    assert list(found.rows.index) == ["c", "b", "a"]
    assert found.rows["student_right"].tolist() == [False, True, False]
    assert found.rows["weak_right"].tolist() == [False, False, True]
    assert (found.num_apart, found.num_student_right, found.num_weak_right) == (3, 1, 1)


def test_equal_confidence_goes_by_id():
    scored = [("c", 1, 0.2, 0.75), ("a", 0, 0.9, 0.25), ("b", 1, 0.1, 0.75)]
    for order in (scored, scored[::-1]):
        assert list(disagreements(rows(*order), 9).rows.index) == ["a", "b", "c"]


def test_many_rows_against_a_loop():
    rng = np.random.default_rng(0)
    weak, student = rng.random((2, 500))
    y = rng.integers(0, 2, 500)
    ids = [f"{number:03}" for number in rng.permutation(500)]
    found = disagreements(rows(*zip(ids, y, weak, student, strict=True)), 20)
    apart = [
        (abs(s - 0.5), name, (s > 0.5) == (t == 1))
        for name, t, w, s in zip(ids, y, weak, student, strict=True)
        if (w > 0.5) != (s > 0.5)
    ]
    apart.sort(key=lambda one: (-one[0], one[1]))
    assert list(found.rows.index) == [name for _, name, _ in apart[:20]]
    assert found.num_apart == len(apart) > 200
    assert found.num_student_right == sum(right for *_, right in apart)


def test_a_supervisor_with_one_label_for_all_is_told():
    assert disagreements(rows(("a", 1, 0.6, 0.4), ("b", 0, 0.7, 0.8)), 5).one_sided


def test_none_differ():
    found = disagreements(rows(("a", 1, 0.6, 0.9), ("b", 0, 0.2, 0.1)), 5)
    assert (found.num_apart, found.num_student_right, len(found.rows)) == (0, 0, 0)


@pytest.mark.parametrize("scored", [rows(), rows(("a", 1, math.nan, 0.5)), rows(("a", 1, 0.5, math.nan))])
def test_what_cannot_be_told_is_refused(scored):
    with pytest.raises(DataError, match="need rows, each with its truth and both probabilities"):
        disagreements(scored, 5)


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="p_weak"):
        disagreements(rows(("a", 1, 0.5, 0.5)).drop(columns="p_weak"), 5)
