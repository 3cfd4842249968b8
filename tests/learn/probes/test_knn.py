"""kNN against a dense search in float64, ties included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsRegressor

from outshine.engine.errors import DataError
from outshine.learn.probes import Labelled
from outshine.learn.probes import nearest_neighbours as candidates
from outshine.learn.probes.knn import KNN
from outshine.learn.probes.nearest_neighbours import Neighbours


def dense_nearest(points, k, queries=None, marked=None):
    """Sorted numbers of the k nearest by the full float64 distance matrix; ties to the smaller number."""
    own = queries is None
    x = (points if own else queries).double()
    distances = torch.stack([(points.double() - row).square().sum(1) for row in x])
    if own:
        distances.fill_diagonal_(torch.inf)
    if marked is not None:
        distances[:, ~marked] = torch.inf
    return distances.argsort(dim=1, stable=True)[:, :k].sort(1).values


def gaussian(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def lattice(n, d, seed=0):
    return torch.randint(0, 3, (n, d), generator=torch.Generator().manual_seed(seed)).float()


def crowded(n, d, seed=0):
    """Far from the origin and close together: in float32 the matrix product alone cannot tell distances apart."""
    return 300 + 0.01 * gaussian(n, d, seed)


def copies(n, d, seed=0):
    """A few places with many points each."""
    return gaussian(7, d, seed)[torch.randint(0, 7, (n,), generator=torch.Generator().manual_seed(seed))]


def outliers(n, d, seed=0):
    """A few huge rows and a few huge dimensions, as in language models."""
    x = gaussian(n, d, seed)
    x[:, 0] *= 1000
    x[::50] *= 100
    return x


SHAPES = [gaussian, lattice, crowded, copies, outliers]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("n", "d", "k"), [(40, 3, 5), (301, 17, 50), (60, 2, 59)])
def test_neighbours_are_those_of_a_dense_search(shape, n, d, k):
    points, queries = shape(n, d), shape(33, d, 9)
    assert torch.equal(Neighbours(points, k).nearest(k).sort(1).values, dense_nearest(points, k))
    assert torch.equal(Neighbours(points, k, queries).nearest(k).sort(1).values, dense_nearest(points, k, queries))


@pytest.mark.parametrize("shape", SHAPES)
def test_many_small_chunks_change_nothing(shape, monkeypatch):
    monkeypatch.setattr(candidates, "CHUNK_ELEMENTS", 2000)
    points = shape(200, 5)
    assert torch.equal(Neighbours(points, 8).nearest(8).sort(1).values, dense_nearest(points, 8))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sample", [40, 100])
def test_multiplying_each_pair_once_changes_nothing(shape, sample, monkeypatch):
    monkeypatch.setattr(candidates, "SAMPLE", sample)
    monkeypatch.setattr(candidates, "CHUNK_ELEMENTS", 20_000)
    points = shape(400, 6)
    assert torch.equal(Neighbours(points, 10).nearest(10).sort(1).values, dense_nearest(points, 10))


def test_points_whose_radius_was_too_small_are_searched_again(monkeypatch):
    """The sample is drawn from a crowd, so that a lonely point's radius is too large and a crowd's too small."""
    monkeypatch.setattr(candidates, "SAMPLE", 50)
    monkeypatch.setattr(candidates, "_expected_in_sample", lambda depth, num_points: 2)
    points = gaussian(300, 6)
    assert torch.equal(Neighbours(points, 20).nearest(20).sort(1).values, dense_nearest(points, 20))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.95, 0.5, 0.1])
def test_neighbours_among_marked_points(shape, share):
    points = shape(300, 4)
    marked = torch.rand(300, generator=torch.Generator().manual_seed(2)) < share
    found = Neighbours(points, 12).nearest_among(10, marked)
    assert torch.equal(found.sort(1).values, dense_nearest(points, 10, marked=marked)[marked])


def test_probe_is_the_mean_label_of_the_neighbours():
    acts, p = gaussian(200, 8), torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rows = Labelled.of([f"{i:03d}" for i in range(200)], acts, p)
    new = gaussian(50, 8, 4)
    fitted = KNN(k=7).fit(rows)
    expected = KNeighborsRegressor(7).fit(acts.double().numpy(), p.numpy()).predict(new.double().numpy())
    np.testing.assert_allclose(fitted.predict(new).p, expected, rtol=1e-12)
    own = p[dense_nearest(acts, 7)].mean(1)
    torch.testing.assert_close(fitted.predict_own(rows).p, own, rtol=1e-12, atol=0)
    including = KNeighborsRegressor(7).fit(acts.double().numpy(), p.numpy()).predict(acts.double().numpy())
    np.testing.assert_allclose(KNN(k=7, include_self=True).fit(rows).predict_own(rows).p, including, rtol=1e-12)


def test_cosine_distance():
    acts, p = gaussian(150, 5) * torch.linspace(0.1, 30, 150)[:, None], torch.linspace(0, 1, 150, dtype=torch.float64)
    rows = Labelled.of([f"{i:03d}" for i in range(150)], acts, p)
    new = gaussian(20, 5, 4)
    expected = KNeighborsRegressor(9, metric="cosine", algorithm="brute").fit(acts.numpy(), p.numpy())
    found = KNN(k=9, metric="cosine").fit(rows).predict(new).p
    np.testing.assert_allclose(found, expected.predict(new.numpy()), rtol=1e-12)
    assert not torch.allclose(found, KNN(k=9).fit(rows).predict(new).p)


def test_ties_go_to_the_smaller_ids():
    acts = torch.tensor([[0.0], [1.0], [-1.0], [1.0]])
    p = torch.tensor([0.5, 0.1, 0.2, 0.9], dtype=torch.float64)
    rows = Labelled.of(["q", "c", "b", "a"], acts, p)  # by id: a, b, c, q at 1, -1, 1, 0
    assert rows.ids == ["a", "b", "c", "q"]
    found = KNN(k=2).fit(rows).predict_own(rows).p
    assert found[3].item() == pytest.approx((0.9 + 0.2) / 2)


@pytest.mark.parametrize("k", [30, 31])
def test_k_must_be_below_the_number_of_rows(k):
    rows = Labelled.of([f"{i:02d}" for i in range(30)], gaussian(30, 2), torch.linspace(0, 1, 30))
    with pytest.raises(DataError, match=f"k = {k} neighbours need more than {k} rows, there are 30"):
        KNN(k=k).fit(rows)
    KNN(k=29).fit(rows).predict_own(rows)
