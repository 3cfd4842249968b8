"""What every registered filter keeps: the exact number of rows, the same rows for any order, repeatable."""

from __future__ import annotations

import pytest
import torch

from outshine.engine.errors import DataError
from outshine.learn.filters import filters
from outshine.learn.filters.base import drop_highest
from outshine.learn.probes import Labelled

N = 150


def rows(seed=0, n=N, lattice=False):
    generator = torch.Generator().manual_seed(seed)
    acts = torch.randn(n, 3, generator=generator)
    if lattice:  # labels and distances tied
        acts = acts.round()
    p = torch.sigmoid(3 * acts[:, 0] + torch.randn(n, generator=generator)).double()
    return [f"{i:04d}" for i in range(n)], acts, p.round(decimals=1) if lattice else p


@pytest.fixture(params=filters.names())
def chosen(request):
    return filters.get(request.param)()


@pytest.mark.parametrize("lattice", [False, True])
@pytest.mark.parametrize("drop", [0.1, 0.25, 0.333])
def test_exactly_the_quota_goes(chosen, drop, lattice):
    train = Labelled.of(*rows(lattice=lattice))
    found = chosen.keep(train, drop, train)
    assert found.kept.dtype == torch.bool
    removed = found.facts.get("removed_by_components", 0.0)
    assert removed < drop  # else the quota would not be the filter's own choice
    assert int((~found.kept).sum()) == round(drop * N)


def test_nothing_goes_where_nothing_is_asked_for(chosen):
    train = Labelled.of(*rows())
    found = chosen.keep(train, 0.0, train)
    assert found.kept.sum() >= N * (1 - found.facts.get("removed_by_components", 0.0)) - 1e-9


@pytest.mark.parametrize("lattice", [False, True])
def test_the_order_of_rows_does_not_matter(chosen, lattice):
    ids, acts, p = rows(lattice=lattice)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(5))
    train, shuffled = Labelled.of(ids, acts, p), Labelled.of([ids[i] for i in order], acts[order], p[order])
    assert torch.equal(chosen.keep(shuffled, 0.2, shuffled).kept, chosen.keep(train, 0.2, train).kept)


def test_other_rows_than_the_training_rows_can_be_filtered(chosen):
    train, val = Labelled.of(*rows()), Labelled.of(*rows(1, 80))
    assert int((~chosen.keep(val, 0.1, train).kept).sum()) == 8


def test_a_planted_wrong_label_goes(chosen):
    ids, acts, p = rows()
    wrong = int(acts[:, 0].argmax())
    p = p.clone()
    p[wrong] = 0.01
    train = Labelled.of(ids, acts, p)
    assert not chosen.keep(train, 0.1, train).kept[wrong]


def test_removing_everything_is_refused(chosen):
    train = Labelled.of(*rows())
    with pytest.raises(DataError, match="leaves none"):
        chosen.keep(train, 0.999, train)


def test_the_highest_scores_go_and_ties_go_by_id():
    scores = torch.tensor([0.5, 0.9, 0.5, 0.1 + 0.2, 0.3, 0.5], dtype=torch.float64)
    kept = torch.tensor([True, True, True, True, True, False])
    assert drop_highest(scores, kept, 2).tolist() == [False, False, True, True, True, False]
    # 0.1 + 0.2 is 0.3 up to rounding: the smaller id goes
    assert drop_highest(scores, kept, 4).tolist() == [False, False, False, False, True, False]
    assert torch.equal(drop_highest(scores, kept, 0), kept)
