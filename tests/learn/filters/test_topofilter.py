"""TopoFilter against a dense implementation that follows its definition line by line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from outshine.engine.errors import DataError
from outshine.learn.filters.topofilter import TopoFilter, largest_components
from outshine.learn.probes import Labelled


def dense(rows, k, drop):
    """The full distance matrix and the full adjacency matrix. Returns the kept mask and what step 1 removed."""
    x, p, hard = rows.acts.double().numpy(), rows.p_weak.numpy(), rows.hard.numpy()
    n = len(p)
    distances = cdist(x, x, "sqeuclidean")
    np.fill_diagonal(distances, np.inf)
    adjacency = np.zeros((n, n), dtype=bool)
    for i in range(n):
        adjacency[i, np.argsort(distances[i], kind="stable")[:k]] = True
    kept = np.zeros(n, dtype=bool)
    for one in (False, True):
        members = np.flatnonzero(hard == one)
        _, names = connected_components(adjacency[np.ix_(members, members)], directed=True, connection="strong")
        components = [members[names == name] for name in range(names.max() + 1)]
        kept[max(components, key=lambda component: (len(component), -component[0]))] = True
    gone = n - kept.sum()
    if gone >= round(drop * n):
        return kept, gone
    scores = {}
    for i in np.flatnonzero(kept):
        order = [j for j in np.argsort(distances[i], kind="stable") if kept[j]][:k]
        scores[i] = round(abs(p[i] - p[order].mean()), 12)
    worst = sorted(scores, key=lambda i: (-scores[i], i))
    kept[worst[: round(drop * n) - gone]] = False
    return kept, gone


def make(shape, n, seed):
    generator = torch.Generator().manual_seed(seed)
    if shape == "line":  # one class beside the other along a line: nearly everything hangs together
        acts = torch.randn(n, 4, generator=generator)
        p = torch.sigmoid(3 * acts[:, 0] + torch.randn(n, generator=generator))
    elif shape == "islands":  # far apart: each class falls into pieces
        island = torch.randint(0, 6, (n,), generator=generator)
        acts = 0.5 * torch.randn(n, 4, generator=generator) + 10 * torch.eye(6, 4)[island] + island[:, None]
        p = torch.sigmoid(4.0 * (island % 2) - 2 + torch.randn(n, generator=generator))
    else:  # a lattice with hard labels: distances, labels and scores are tied
        acts = torch.randint(0, 4, (n, 3), generator=generator).float()
        p = (acts[:, 0] + torch.randint(0, 3, (n,), generator=generator) > 2.5).float()
    return Labelled.of([f"{i:04d}" for i in range(n)], acts, p)


@pytest.mark.parametrize("shape", ["line", "islands", "lattice"])
@pytest.mark.parametrize(("n", "k"), [(60, 3), (250, 5), (250, 20)])
@pytest.mark.parametrize("drop", [0.1, 0.4])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_keeps_the_rows_that_the_definition_keeps(shape, n, k, drop, seed):
    rows = make(shape, n, seed)
    found = TopoFilter(k=k).keep(rows, drop, rows)
    kept, gone = dense(rows, k, drop)
    assert np.array_equal(found.kept, kept)
    assert found.facts["removed_by_components"] == gone / n


def test_both_outcomes_of_step_one_occur_above():
    """Else the comparison would leave one of the two branches out."""
    outcomes = {dense(make("line", 250, 0), k, 0.1)[1] >= 25 for k in (5, 20)}
    assert outcomes == {False, True}


def test_components_that_remove_more_than_the_quota_are_told_and_nothing_further_goes():
    rows = make("islands", 250, 0)
    found = TopoFilter(k=5).keep(rows, 0.1, rows)
    assert (~found.kept).sum() > 25
    assert "components alone removed" in found.notes[0]


@pytest.mark.parametrize("seed", range(4))
def test_components_are_the_rows_that_reach_each_other(seed):
    generator = np.random.default_rng(seed)
    nearest = np.array([generator.choice(np.delete(np.arange(80), i), 4, replace=False) for i in range(80)])
    hard = generator.random(80) < 0.4
    reach = np.eye(80, dtype=bool)
    for i in range(80):
        reach[i, nearest[i]] = hard[nearest[i]] == hard[i]
    for _ in range(7):  # paths of up to 2^7 steps
        reach = reach @ reach
    sizes = (reach & reach.T).sum(1)
    kept = largest_components(torch.from_numpy(nearest), torch.from_numpy(hard)).numpy()
    for one in (False, True):
        members = np.flatnonzero(hard == one)
        best = members[sizes[members].argmax()]
        assert 1 < sizes[best] < len(members)
        assert np.array_equal(kept[members], (reach & reach.T)[best, members])


def test_of_equal_components_the_one_with_the_smallest_id_stays():
    nearest = torch.tensor([[1], [0], [3], [2], [5], [4]])
    hard = torch.tensor([True, True, True, True, False, False])
    assert largest_components(nearest, hard).tolist() == [True, True, False, False, True, True]


@pytest.mark.parametrize("k", [60, 61, 500])
def test_k_must_be_below_the_number_of_rows(k):
    rows = make("line", 60, 0)
    with pytest.raises(DataError, match=f"topofilter: k = {k} neighbours need more than {k} rows, there are 60"):
        TopoFilter(k=k).keep(rows, 0.1, rows)


def test_a_class_without_points_is_refused():
    rows = make("line", 60, 0)
    for hard in (torch.zeros(60, dtype=torch.bool), torch.ones(60, dtype=torch.bool)):
        with pytest.raises(DataError, match="all rows are of one class"):
            TopoFilter(k=5).keep(rows._replace(hard=hard), 0.1, rows)


def test_too_few_kept_rows_for_k_are_refused(monkeypatch):
    rows = make("line", 60, 0)
    few = torch.arange(60) < 9
    monkeypatch.setattr("outshine.learn.filters.topofilter.largest_components", lambda nearest, hard: few)
    with pytest.raises(DataError, match="components keep: k = 9 neighbours need more than 9 rows, there are 9"):
        TopoFilter(k=9).keep(rows, 0.9, rows)
