"""Every registered probe keeps what every probe keeps: `outshine.testing.probes_and_filters` has the demands in words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from outshine.engine.errors import DataError
from outshine.learn.probes import FittedProbe, Labelled, Predicted, Probe, probes
from outshine.testing import PROBE_DEMANDS, check_probe
from outshine.testing import probes_and_filters as demands
from outshine.testing.demands import Demand, sentence
from outshine.testing.probes_and_filters import made_up_rows

BUILT_IN = [name for name, cls in probes if cls.__module__.startswith("outshine.")]


@pytest.mark.parametrize("demand", PROBE_DEMANDS, ids=lambda demand: demand.__name__)
@pytest.mark.parametrize("name", probes.names())
def test_every_registered_probe_keeps(name: str, demand: Demand) -> None:
    demand(probes.get(name)())


@pytest.mark.parametrize("lattice", [False, True])
@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_probes_compute_in_float64(name: str, lattice: bool) -> None:
    """In another order their predictions are the same but for rounding of that, which no probe is asked for."""
    fitted = probes.get(name)().fit(Labelled.of(*made_up_rows(lattice=lattice)))
    new = made_up_rows(1, lattice=lattice)[1]
    order = torch.randperm(len(new), generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(fitted.predict(new[order]).p, fitted.predict(new).p[order], rtol=1e-12, atol=0)


class Fitted(FittedProbe):
    """A line through the mean of the positive class, in float32."""

    def __init__(self, rows: Labelled) -> None:
        self.weight = rows.acts[rows.hard].mean(0)

    def predict(self, acts: Tensor) -> Predicted:
        return Predicted.of_log_odds(acts @ self.weight)


class Mean(Probe):
    def fit(self, rows: Labelled) -> FittedProbe:
        return Fitted(rows)


def test_a_correct_probe_in_float32_passes() -> None:
    check_probe(Mean())


class Float32(Fitted):
    def predict(self, acts: Tensor) -> Predicted:
        log_odds = acts @ self.weight
        return Predicted(log_odds.sigmoid(), log_odds)


class ByPlace(Fitted):
    def predict(self, acts: Tensor) -> Predicted:
        return Predicted.of_log_odds(acts @ self.weight + torch.linspace(-1, 1, len(acts)))


class Backwards(Fitted):
    def predict(self, acts: Tensor) -> Predicted:
        return Predicted.of_log_odds(-acts @ self.weight)


class Drawn(Fitted):
    def __init__(self, rows: Labelled) -> None:
        super().__init__(rows)
        self.weight = self.weight + 1e-3 * torch.randn(len(self.weight))


class Certain(Fitted):
    def predict(self, acts: Tensor) -> Predicted:
        p = super().predict(acts).p.round()
        return Predicted(p, p.logit())


WRONG: dict[str, tuple[type[Fitted], Demand, str]] = {
    "float32": (Float32, demands.predictions_are_probabilities, "it gave (160,) of torch.float32"),
    "infinite log-odds": (Certain, demands.predictions_are_probabilities, "some log-odds are not finite"),
    "order of rows": (ByPlace, demands.the_order_of_rows_does_not_matter_to_a_probe, "Predicted in another order"),
    "global randomness": (Drawn, demands.a_second_fit_is_the_same, "drew from torch's global random numbers"),
    "backwards": (Backwards, demands.predictions_rise_with_the_labels, "Their correlation is -"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_probe_is_told_which_demand_it_breaks(name: str) -> None:
    fitted, demand, observation = WRONG[name]

    class Wrong(Probe):
        def fit(self, rows: Labelled) -> FittedProbe:
            return fitted(rows)

    with pytest.raises(AssertionError) as caught:
        check_probe(Wrong())
    (line,) = (line for line in str(caught.value).splitlines() if sentence(demand) in line)
    assert observation in line


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
def test_rows_that_cannot_be_used_are_refused(change: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Labelled.of(*change(*made_up_rows()))
