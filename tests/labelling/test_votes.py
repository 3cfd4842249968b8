"""Several cheap labels made into one: the majority, and Dawid and Skene's estimate, written out in loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from outshine.engine.errors import DataError
from outshine.labelling.votes import ABSTAINS, dawid_skene, majority


def made_up(seed: int) -> tuple[np.ndarray, int]:
    """A random table of votes with gaps, and the number of its classes."""
    rng = np.random.default_rng(seed)
    num, voters, classes = int(rng.integers(10, 60)), int(rng.integers(2, 7)), int(rng.integers(2, 5))
    truth = rng.integers(0, classes, num)
    votes = np.where(
        rng.random((num, voters)) < rng.uniform(0.3, 0.95, voters),
        truth[:, None],
        rng.integers(0, classes, (num, voters)),
    )
    votes[rng.random((num, voters)) < rng.uniform(0, 0.6)] = ABSTAINS
    return votes, classes


def in_loops(votes: np.ndarray, steps: int) -> dict[int, dict[int, float]]:
    """P(class) by row: so many steps of the source's equations 2.3 to 2.5, one row, voter and class after the other."""
    rows = {i: [(j, int(v)) for j, v in enumerate(row) if v != ABSTAINS] for i, row in enumerate(votes)}
    rows = {i: cast for i, cast in rows.items() if cast}
    classes = sorted({v for cast in rows.values() for _, v in cast})
    p = {i: {k: sum(v == k for _, v in cast) / len(cast) for k in classes} for i, cast in rows.items()}
    for _ in range(steps):
        share = {k: sum(p[i][k] for i in rows) / len(rows) for k in classes}
        error: dict[tuple[int, int, int], float] = {}
        for j in range(votes.shape[1]):
            for k in classes:
                seen = [v for v in classes if any((j, v) in cast for cast in rows.values())]
                count = {v: max(sum(p[i][k] for i in rows if (j, v) in rows[i]), 1e-10) for v in seen}
                error |= {(j, k, v): count[v] / sum(count.values()) for v in seen}
        for i, cast in rows.items():
            weight = {k: math.prod([share[k], *(error[j, k, v] for j, v in cast)]) for k in classes}
            p[i] = {k: weight[k] / sum(weight.values()) for k in classes}
    return p


@pytest.mark.parametrize("seed", [*range(40), 69, 94])
def test_it_is_the_sources_equations(seed: int) -> None:
    votes, classes = made_up(seed)
    own = dawid_skene(votes, classes, most_steps=7, tolerance=-math.inf)
    other = in_loops(votes, 7)
    for i in range(len(votes)):
        if i not in other:
            assert np.isnan(own.p[i]).all()
        else:
            assert own.p[i] == pytest.approx([other[i].get(k, 0.0) for k in range(classes)], abs=1e-6)


def test_it_finds_out_who_is_worth_what() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 3000)
    right = np.array([0.95, 0.8, 0.75, 0.5])
    votes = np.where(rng.random((3000, 4)) < right, truth[:, None], 1 - truth[:, None])
    found = dawid_skene(votes, 2)
    assert np.mean(np.diagonal(found.confusion, axis1=1, axis2=2), axis=1) == pytest.approx(right, abs=0.03)
    own = np.mean((found.p[:, 1] > 0.5) == truth)
    assert own > np.mean((majority(votes, 2)[:, 1] > 0.5) == truth) + 0.05
    assert found.share.sum() == pytest.approx(1)


def test_the_majority_is_the_share_of_votes() -> None:
    votes = np.array([[0, 1, 1], [ABSTAINS, 2, ABSTAINS], [ABSTAINS] * 3])
    found = majority(votes, 3)
    assert found[0] == pytest.approx([1 / 3, 2 / 3, 0])
    assert found[1].tolist() == [0, 0, 1]
    assert np.isnan(found[2]).all()


def test_a_class_that_nobody_names_has_no_share() -> None:
    found = dawid_skene(np.array([[0, 2], [2, 2], [0, ABSTAINS]]), 3)
    assert found.share[1] == 0
    assert found.p[:, 1].tolist() == [0, 0, 0]
    assert found.p.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("votes", [[[0, 3]], [[-2, 0]], [0, 1]])
def test_other_votes_are_refused(votes: list) -> None:
    with pytest.raises(DataError, match="votes must be classes from 0 to 1"):
        majority(np.array(votes), 2)


def test_nothing_can_be_combined_where_all_abstain() -> None:
    with pytest.raises(DataError, match="abstain"):
        dawid_skene(np.full((3, 2), ABSTAINS), 2)
