"""What every registered probe keeps: predictions in [0, 1], the same for any order of rows, repeatable."""

from __future__ import annotations

import pytest
import torch

from outshine.engine.errors import DataError
from outshine.learn.probes import Labelled, probes

N, D = 160, 6


def rows(seed=0, n=N, lattice=False):
    """Ids, activations, soft labels; on a lattice many distances are tied."""
    generator = torch.Generator().manual_seed(seed)
    acts = (
        torch.randint(0, 2, (n, D), generator=generator).float() if lattice else torch.randn(n, D, generator=generator)
    )
    p = torch.sigmoid(2 * acts[:, 0] - acts[:, 1] + torch.randn(n, generator=generator)).double()
    return [f"{seed}-{i:04d}" for i in range(n)], acts, p


@pytest.fixture(params=probes.names())
def probe(request):
    return probes.get(request.param)()


@pytest.mark.parametrize("lattice", [False, True])
def test_predictions_are_probabilities_ranked_by_their_log_odds(probe, lattice):
    train = Labelled.of(*rows(lattice=lattice))
    fitted = probe.fit(train)
    for found in (fitted.predict(rows(1)[1]), fitted.predict_own(train)):
        assert found.p.dtype == found.log_odds.dtype == torch.float64
        assert found.p.shape == found.log_odds.shape == (N,)
        assert ((found.p >= 0) & (found.p <= 1)).all()
        torch.testing.assert_close(found.p, found.log_odds.sigmoid(), rtol=0, atol=1e-11)
        assert found.p.std() > 0


@pytest.mark.parametrize("lattice", [False, True])
def test_the_order_of_rows_does_not_matter(probe, lattice):
    ids, acts, p = rows(lattice=lattice)
    new = rows(1, lattice=lattice)[1]
    train = Labelled.of(ids, acts, p)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(5))
    shuffled = Labelled.of([ids[i] for i in order], acts[order], p[order])
    assert shuffled.ids == train.ids
    fitted, again = probe.fit(train), probe.fit(shuffled)
    assert torch.equal(again.predict_own(shuffled).p, fitted.predict_own(train).p)
    torch.testing.assert_close(again.predict(new[order]).p, fitted.predict(new).p[order], rtol=1e-12, atol=0)


def test_a_second_fit_is_the_same_to_the_bit(probe):
    train = Labelled.of(*rows())
    state = torch.random.get_rng_state()
    assert torch.equal(probe.fit(train).predict(train.acts).p, probe.fit(train).predict(train.acts).p)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_it_learns_something(probe):
    train = Labelled.of(*rows())
    _, acts, p = rows(1)
    assert torch.corrcoef(torch.stack([probe.fit(train).predict(acts).p, p]))[0, 1] > 0.3


def test_labels_of_zero_and_one_give_finite_log_odds(probe):
    ids, acts, p = rows()
    found = probe.fit(Labelled.of(ids, acts, (p > 0.5).double())).predict(acts)
    assert torch.isfinite(found.log_odds).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ids, acts, p: (ids[:1] * len(ids), acts, p), "repeated ids"),
        (lambda ids, acts, p: (ids, acts, p * 2), r"numbers in \[0, 1\]"),
        (lambda ids, acts, p: (ids, acts, p * float("nan")), r"numbers in \[0, 1\]"),
        (lambda ids, acts, p: (ids, acts / 0, p), "not finite"),
        (lambda ids, acts, p: (ids, acts * 0 + 3, p), "the same: nothing can be told"),
        (lambda ids, acts, p: ([], acts[:0], p[:0]), "none were given"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        Labelled.of(*change(*rows()))
